"""The last look before a claim: the patient, the warehouse, the vendor, and the clock."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from daily import Practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, opt_out, reasons, run_of, states
from reengage.errors import StoreError, VendorError
from reengage.pipeline import outbox
from reengage.pipeline import send as room
from reengage.pipeline.last_look import LastLook, last_look
from reengage.pipeline.outbox import Queued
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from reengage.sealing.way import Means
from reengage.settings import HOME, Settings
from simulators.smtp import HostileRelay
from sqlalchemy import Connection
from world import NOW, World

Change = Callable[[World, str], None]
MEANS = Means(signs=False, by_contract=True, requires_tls=False, portal=False)

CHANGES: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    # the reason it is withheld for, and what changes in the warehouse once the letters are sealed
    "p0": ("authorization_revoked", "authorization", {"revoked_at": NOW}),
    "p1": ("deceased", "patient", {"death_date": NOW.date()}),
    "p2": ("address_changed", "contact", {"email": "new.p2@example.org"}),
    "p3": ("confidential_channel", "contact", {"confidential_channel": "post"}),
    "p4": ("address_unverified", "contact", {"verified_at": None}),
}
ADDITIONS: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    "p0": ("restriction", "restriction", {"kind": "no e-mail", "since": NOW, "until": None}),
    "p1": ("opted_out", "opt_out", {"campaign": None, "at": NOW}),
    "p2": ("opted_out", "opt_out", {"campaign": CAMPAIGN, "at": NOW}),
    "p3": ("sent", "opt_out", {"campaign": "health_education", "at": NOW}),
    "p4": ("sent", "restriction", {"kind": "is over", "since": NOW - timedelta(days=2),
                                   "until": NOW - timedelta(days=1)}),
}  # fmt: skip


def test_what_changed_in_the_warehouse_since_extraction_withholds_the_letter(
    changing_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    for key, (_, view, change) in CHANGES.items():
        changing_practice.world.change(view, key, **change)
    run = run_of(changing_practice, ready.live)
    send(run, CHUNK)
    expected = {key: reason for key, (reason, _, _) in CHANGES.items()}
    assert reasons(changing_practice, run) == expected
    assert relay.letters == []


def test_what_was_added_to_the_warehouse_since_extraction_withholds_the_letter(
    changing_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    for key, (_, view, row) in ADDITIONS.items():
        changing_practice.world.set(view, patient_key=key, **row)
    run = run_of(changing_practice, ready.live)
    send(run, CHUNK)
    expected = {key: reason for key, (reason, _, _) in ADDITIONS.items()}
    assert reasons(changing_practice, run) == expected
    assert len(relay.letters) == 2


def booked(**row: Any) -> Change:
    return lambda world, key: world.change("appointment", key, **row)


def of_another(world: World, key: str) -> None:
    world.execute(
        "UPDATE contract.appointment SET patient_key = 'x' WHERE patient_key = :key", key=key
    )


def came(start_at: datetime, status: str = "finished") -> Change:
    return lambda world, key: world.set(
        "visit", visit_key=f"new-{key}", patient_key=key, start_at=start_at, status=status
    )


def gone(view: str) -> Change:
    return lambda world, key: world.execute(
        f'DELETE FROM contract."{view}" WHERE patient_key = :key', key=key
    )


def twice(view: str) -> Change:
    return lambda world, key: world.execute(
        f'INSERT INTO contract."{view}" SELECT * FROM contract."{view}" WHERE patient_key = :key',
        key=key,
    )


# 180 days up to and including the day, in Chicago, where it was winter when they began.
WINDOW_OPENS = datetime(2024, 12, 5, 6, 0, tzinfo=UTC)
APPOINTMENTS: list[dict[str, tuple[str, Change]]] = [
    {
        "p0": ("appointment_changed", booked(status="cancelled")),
        "p1": ("appointment_changed", gone("appointment")),
        "p2": ("appointment_changed", booked(start_at=NOW + timedelta(days=7, minutes=15))),
        "p3": ("appointment_changed", booked(location="Another clinic")),
        "p4": ("appointment_changed", of_another),
    },
    {
        "p0": ("returned", came(NOW)),
        "p1": ("returned", came(WINDOW_OPENS)),
        "p2": ("sent", came(WINDOW_OPENS - timedelta(seconds=1))),
        "p3": ("sent", came(NOW, status="cancelled")),
        "p4": ("sent", came(NOW + timedelta(minutes=2))),
    },
    {
        "p0": ("ambiguous", twice("contact")),
        "p1": ("ambiguous", twice("patient")),
        "p2": ("ambiguous", twice("appointment")),
        "p3": ("sent", twice("visit")),
        "p4": ("sent", booked(booked_at=NOW, service_line="other")),
    },
]


@pytest.mark.parametrize("changes", APPOINTMENTS)
def test_a_letter_goes_only_while_what_it_says_is_so(
    changes: Mapping[str, tuple[str, Change]],
    changing_practice: Practice,
    ready: Ready,
    relay: HostileRelay,
) -> None:
    """PRV-17, PRV-18."""
    for key, (_, change) in changes.items():
        change(changing_practice.world, key)
    run = run_of(changing_practice, ready.live)
    send(run, CHUNK)
    expected = {key: reason for key, (reason, _) in changes.items()}
    assert reasons(changing_practice, run) == expected
    assert len(relay.letters) == list(expected.values()).count("sent")


def medicine(**row: Any) -> Change:
    return lambda world, key: world.change("medication", key, **row)


MEDICINES: dict[str, tuple[str, Change]] = {
    "p0": ("prescription_ended", medicine(end_at=NOW)),
    "p1": ("prescription_ended", medicine(lapsed_on=NOW.date() - timedelta(days=91))),
    "p2": ("prescription_ended", gone("medication")),
    "p3": ("sensitive_medicine", medicine(sensitive_class="hiv")),
    "p4": ("ambiguous", twice("medication")),
    "p5": ("sent", medicine(end_at=NOW + timedelta(days=1), lapsed_on=NOW.date())),
    "p6": ("sent", medicine(lapsed_on=NOW.date() - timedelta(days=90))),
    "p7": ("medication_changed", medicine(dosage_text="20 MG Oral Tablet")),
    "p8": ("medication_changed", medicine(name="Enalapril")),
}


def test_a_medicine_is_named_only_while_it_is_prescribed(practice: Practice) -> None:
    """PRV-10, PRV-32; and a cancelled appointment is nothing to this letter."""
    for key in MEDICINES:
        practice.world.patient(key)
    run = practice.open("medication_reminder")
    chunks = practice.hurry(run)
    for key, (_, change) in MEDICINES.items():
        change(practice.world, key)
        practice.world.change("appointment", key, status="cancelled")
    for chunk in chunks:
        send(run, chunk)
    assert reasons(practice, run) == {key: reason for key, (reason, _) in MEDICINES.items()}


def test_a_medicine_of_one_letter_is_not_held_against_another(practice: Practice) -> None:
    """A deferred letter and a new one of the same patient may go in one batch."""
    practice.world.patient("p0", appointment=None)
    run = practice.open("medication_reminder")
    [chunk] = practice.hurry(run)
    with run.store.connect() as connection:
        [one] = outbox.open_letters(connection, run, chunk["number"])
    other = replace(
        one, letter_id=uuid4(), letter=replace(one.letter, medication_key="another, and gone")
    )
    assert _looked(run, [one, other]).denied == {other.letter_id: "prescription_ended"}
    assert _looked(run, [other, one]).denied == {other.letter_id: "prescription_ended"}
    # Sealed before letters had keys: only the patient can be asked about.
    older = replace(one, letter=replace(one.letter, medication_key=None, says={}))
    practice.world.change("medication", "p0", sensitive_class="hiv")
    older = replace(older, letter_id=uuid4())
    assert _looked(run, [older, one]).denied == {one.letter_id: "sensitive_medicine"}


def test_a_patient_who_vanished_and_one_whose_case_changed(
    changing_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    for view in ("patient", "contact", "authorization"):
        changing_practice.world.execute(f"DELETE FROM contract.{view} WHERE patient_key = 'p0'")
    changing_practice.world.change("contact", "p1", email="P1@Example.org")
    run = run_of(changing_practice, ready.live)
    send(run, CHUNK)
    found = reasons(changing_practice, run)
    assert (found["p0"], found["p1"]) == ("no_authorization", "sent")
    assert len(relay.letters) == LETTERS - 1


def test_an_opt_out_between_the_warehouses_word_and_the_claim_wins(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(ready_practice, ready.live)
    really = room.last_look

    def look_and_be_overtaken(
        connection: Connection, run: Run, letters: Sequence[Queued], means: Means
    ) -> LastLook:
        look = really(connection, run, letters, means)
        opt_out(run, "p3")
        return look

    monkeypatch.setattr(room, "last_look", look_and_be_overtaken)
    assert send(run, CHUNK) == {"sent": LETTERS - 1, "withheld": 1}
    assert reasons(ready_practice, run)["p3"] == "opted_out"
    assert len(relay.letters) == LETTERS - 1


def test_with_a_slow_relay_the_last_look_is_taken_again(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LOOK_SECONDS", 0)  # every letter takes longer
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        letters = outbox.open_letters(connection, run, 0)
    last = letters[-1].letter.patient_key
    relay.at("reply", lambda: opt_out(run, last))  # while the first is on its way
    assert send(run, CHUNK) == {"sent": LETTERS - 1, "withheld": 1}
    assert reasons(ready_practice, run)[last] == "opted_out"


def test_a_warehouse_that_does_not_answer_lets_nothing_go_and_a_retry_goes_on(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    gone = replace(
        ready_practice.settings, warehouse_url=f"{ready_practice.settings.warehouse_url}x"
    )
    with pytest.raises(StoreError, match="warehouse did not answer the last look") as raised:
        send(run_of(replace(ready_practice, settings=gone), ready.live), CHUNK)
    assert "no letter of the batch was sent" in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None  # a driver's text may quote a row
    run = run_of(ready_practice, ready.live)
    assert states(ready_practice, run) == [("composed", None)] * LETTERS
    assert relay.letters == []
    assert send(run, CHUNK) == {"sent": LETTERS}


@pytest.fixture
def registry(ready_practice: Practice, tmp_path: Path) -> tuple[Practice, Path]:
    """The practice with a vendor registry that may be rewritten."""
    path = tmp_path / "vendors.yaml"
    shutil.copy(HOME / "vendors.yaml", path)
    settings = replace(ready_practice.settings, vendors_file=path)
    return replace(ready_practice, settings=settings), path


EDITS = {
    "the agreement has expired": ("expires: 2099-12-31", "expires: 2025-06-01", "expired on"),
    "the host is no longer listed": (
        "{host: localhost}",
        "{host: mx.example.org, port: 587}",
        "not listed",
    ),
    "a clause was struck": ("        - safeguards\n", "", "lacks the clauses safeguards"),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("already_sent", [0, 2])
def test_a_vendor_that_may_no_longer_be_used_gets_no_further_batch(
    edit: str,
    already_sent: int,
    registry: tuple[Practice, Path],
    ready: Ready,
    relay: HostileRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    practice, path = registry
    old, new, says = EDITS[edit]
    good = path.read_text(encoding="utf-8")
    spoiled = good.replace(old, new)
    assert spoiled != good
    monkeypatch.setattr(outbox, "BATCH", 2)
    if already_sent:  # while the connection is warm
        relay.at("reply", lambda: _write(path, spoiled))
    else:
        _write(path, spoiled)
    run = run_of(practice, ready.live)
    with pytest.raises(VendorError, match=says):
        send(run, CHUNK)
    assert states(practice, run) == [("sent", None)] * already_sent + [("composed", None)] * (
        LETTERS - already_sent
    )
    assert len(relay.letters) == already_sent
    relay.at("reply", lambda: None)
    _write(path, good)
    assert send(run, CHUNK) == {"sent": LETTERS}


def test_a_run_whose_day_ended_overnight_sends_nothing_and_on_its_last_day_an_agreement_holds(
    registry: tuple[Practice, Path], ready: Ready, relay: HostileRelay
) -> None:
    practice, path = registry
    _write(path, path.read_text(encoding="utf-8").replace("2099-12-31", "2025-06-02"))
    run = run_of(practice, ready.live)
    overnight = replace(run, settings=practice.at(NOW + timedelta(days=1)).settings)
    assert send(overnight, CHUNK) == {"deferred": LETTERS}
    assert states(practice, run) == [("deferred", "run_became_a_replay")] * LETTERS
    assert relay.connections == 0
    assert send(run, CHUNK) == {"sent": LETTERS}  # its last day


# The send window: 08:00 to 20:00 where the patient lives (test_windows.py)


def test_outside_the_window_letters_wait_and_the_next_run_inside_sends_them(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    evening = ready_practice.at(NOW + timedelta(hours=8))
    run = run_of(evening, ready.live)
    assert send(run, CHUNK) == {"deferred": LETTERS}
    assert states(evening, run) == [("deferred", "outside_send_window")] * LETTERS
    assert relay.connections == 0
    settle(run)
    assert shred(run) == 0
    second = ready_practice.at(NOW + timedelta(days=1)).play(CAMPAIGN)
    assert states(ready_practice, second) == [("sent", None)] * LETTERS
    assert len(relay.letters) == LETTERS


def test_a_window_that_closes_in_the_middle_ends_the_sending(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    monkeypatch.setattr(Settings, "now", lambda _: NOW + timedelta(hours=8 if relay.letters else 0))
    relay.script = {"rcpt": ["450 4.2.1 busy", "250 ok"]}
    run = run_of(ready_practice, ready.live)
    send(run, CHUNK)
    assert states(ready_practice, run) == [
        ("deferred", "rcpt 450 4.2.1"),  # its own reason is the better one
        ("sent", None),
        *[("deferred", "outside_send_window")] * 3,
    ]


def _looked(run: Run, letters: list[outbox.Queued]) -> LastLook:
    with run.store.connect() as connection:
        return last_look(connection, run, letters, MEANS)


def _write(path: Path, content: str) -> None:
    path.write_text(content, encoding="utf-8")


def test_that_the_address_on_file_was_confirmed_says_nothing_of_another(practice: Practice) -> None:
    """PRV-23: one that was asked for instead, and suppressed, is not free by that."""
    practice.world.patient("p0")
    run = practice.open(CAMPAIGN)
    [chunk] = practice.hurry(run)
    with run.store.connect() as connection:
        [one] = outbox.open_letters(connection, run, chunk["number"])
    assert set(_looked(run, [one]).verified) == {one.letter_id}
    elsewhere = replace(one, recipient=run.keyring.pseudonym("recipient", "c@example.net"))
    assert _looked(run, [elsewhere]).verified == {}
