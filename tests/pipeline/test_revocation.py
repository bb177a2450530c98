"""Whoever revoked is not written to: a second before the claim, after a restore, until signed anew.

PRV-06, SEC-08, EML-26.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from backup import backed_up, restored
from daily import Practice, dry_practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, reasons, run_of, states
from reengage import refusals
from reengage.embedded.postgres import Postgres
from reengage.errors import StoreError
from reengage.pipeline import outbox
from reengage.pipeline import send as room
from reengage.pipeline.extract import extract
from reengage.pipeline.last_look import LastLook
from reengage.pipeline.outbox import Queued
from reengage.pipeline.remember import remember_warehouse
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.refusals import Refusal
from reengage.sealing.way import Means
from simulators.smtp import HostileRelay
from sqlalchemy import Connection
from world import NOW

SIGNED = NOW - timedelta(days=1000)
SECOND = timedelta(seconds=1)
AFTER = NOW - SECOND

REVOCATIONS: dict[str, tuple[str | None, datetime, bool]] = {
    # which purpose was revoked, when, and whether that ends the form for this campaign
    "p0": ("email", AFTER, True),
    "p1": (None, SIGNED, True),
    "p2": ("email", SIGNED - timedelta(microseconds=1), False),
    "p3": ("marketing", AFTER, False),
    "p4": ("part2", AFTER, False),
}


def refused(
    run: Run, key: str, at: datetime, scope: str | None = None, kind: str = "revocation"
) -> Refusal:
    return Refusal(kind, run.pseudonym(key), scope, at, "phone", "patient", at)  # type: ignore[arg-type]


def record(run: Run, *found: Refusal) -> None:
    with run.store.begin() as connection:
        refusals.record(connection, run.settings.journal_path, found)


def record_all(run: Run) -> None:
    record(run, *(refused(run, key, at, of) for key, (of, at, _) in REVOCATIONS.items()))


def remember(run: Run) -> int:
    with run.warehouse.connect() as source:
        return remember_warehouse(source, run)


def test_a_revocation_a_second_before_the_claim_withholds_the_letter(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the warehouse gave its last word; p1 to p4 are the boundaries of time and purpose."""
    run = run_of(ready_practice, ready.live)
    really = room.last_look

    def look_and_be_overtaken(
        connection: Connection, run: Run, letters: Sequence[Queued], means: Means
    ) -> LastLook:
        look = really(connection, run, letters, means)
        record_all(run)
        return look

    monkeypatch.setattr(room, "last_look", look_and_be_overtaken)
    send(run, CHUNK)
    ended = {key: ends for key, (_, _, ends) in REVOCATIONS.items()}
    assert reasons(ready_practice, run) == {
        key: "authorization_revoked" if ends else "sent" for key, ends in ended.items()
    }
    assert len(relay.letters) == list(ended.values()).count(False)


def test_where_the_signing_is_not_known_any_revocation_of_the_purpose_counts(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    record_all(run)
    with run.store.begin() as connection:
        letters = outbox.open_letters(connection, run, 0)
        claimed = outbox.claim(
            connection, run, letters, token=run.run_id, denied={}, consents={},
            warehouse_read_at=outbox.clock(connection),
            baa_id="baa-1",
        )  # fmt: skip
    assert sorted(one.letter.patient_key for one in claimed) == []


@pytest.mark.parametrize("at", ["preflight", "send"])
def test_a_restored_store_learns_of_every_refusal_before_it_sends(
    at: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        backup = backed_up(connection)
        record(run, refused(run, "p0", AFTER), refused(run, "p1", AFTER, kind="opt_out"))
        restored(connection, backup)
    if at == "preflight":
        ready_practice.open(dry=True)
        assert len(ready_practice.rows("SELECT FROM revocation, opt_out")) == 1
    send(run, CHUNK)
    found = reasons(ready_practice, run)
    assert (found["p0"], found["p1"]) == ("authorization_revoked", "opted_out")
    assert len(relay.letters) == LETTERS - 2


def test_without_its_journal_a_store_opens_no_run_and_sends_nothing(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    record(run, refused(run, "p0", AFTER))
    run.settings.journal_path.unlink()
    for act in (lambda: ready_practice.open(dry=True), lambda: send(run, CHUNK)):
        with pytest.raises(StoreError, match="lost or replaced"):
            act()
    assert states(ready_practice, run) == [("composed", None)] * LETTERS
    assert relay.letters == []


def test_the_decision_knows_our_own_revocations_until_a_form_is_signed_anew(
    server: Postgres, tmp_path: Path
) -> None:
    with dry_practice(server, tmp_path) as practice:
        for key in REVOCATIONS:
            practice.world.patient(key)
        practice.world.patient("anew", authorization={"signed_at": AFTER + SECOND})
        practice.world.patient("none", authorization=None)
        run = practice.open("appointment_reminder", dry=True)
        record_all(run)
        record(run, refused(run, "anew", AFTER), refused(run, "none", AFTER))
        extract(run)
        assert practice.reasons(run) == {
            **{
                key: ["authorization_revoked"] if ends else []
                for key, (_, _, ends) in REVOCATIONS.items()
            },
            "anew": [],
            "none": ["no_authorization", "authorization_revoked"],
        }


def test_what_the_warehouse_said_once_holds_when_it_is_restored(
    changing_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    """p0 revoked, p1 revoked and signed anew, p2 opted out; then the warehouse forgets it all."""
    world, run = changing_practice.world, run_of(changing_practice, ready.live)
    for key in ("p0", "p1"):
        world.change("authorization", key, revoked_at=AFTER)
    world.set("opt_out", patient_key="p2", campaign=None, at=NOW)
    world.set("opt_out", patient_key="p3", campaign="health_education", at=NOW)
    extract(changing_practice.open(CAMPAIGN))
    assert len(run.settings.journal_path.read_bytes().splitlines()) == 4
    assert remember(run) == 0  # all of it is known
    world.execute("UPDATE contract.authorization SET revoked_at = NULL")
    world.execute("DELETE FROM contract.opt_out")
    world.change("authorization", "p1", signed_at=AFTER + SECOND)
    send(run, CHUNK)
    assert reasons(changing_practice, run) == {
        "p0": "authorization_revoked", "p1": "sent", "p2": "opted_out", "p3": "sent", "p4": "sent",
    }  # fmt: skip
    assert len(relay.letters) == 3


def test_of_made_up_consents_nothing_is_remembered(
    changing_practice: Practice, ready: Ready
) -> None:
    """A trial's draws must not be held against the patients that come later under the same keys."""
    world, run = changing_practice.world, run_of(changing_practice, ready.live)
    world.change("authorization", "p0", revoked_at=AFTER)
    world.set("opt_out", patient_key="p1", campaign=None, at=NOW)
    world.execute("UPDATE contract.load SET drawn = true")
    assert remember(run) == 0
    world.execute("UPDATE contract.load SET drawn = false")
    assert remember(run) == 2


def test_a_revocation_ends_forms_of_its_own_purpose_only(
    changing_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    """Revoked and signed anew since, while a form of another purpose is older than that."""
    run = run_of(changing_practice, ready.live)
    record(run, refused(run, "p0", AFTER, "email"), refused(run, "p1", AFTER, None))
    for key in ("p0", "p1"):
        changing_practice.world.change("authorization", key, signed_at=AFTER + SECOND / 2)
    record(run, refused(run, "p2", AFTER, "marketing"))
    send(run, CHUNK)
    assert set(reasons(changing_practice, run).values()) == {"sent"}


def test_a_large_warehouse_is_remembered_batch_by_batch(
    changing_practice: Practice, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, run = changing_practice.world, run_of(changing_practice, ready.live)
    for key in REVOCATIONS:
        world.change("authorization", key, revoked_at=AFTER)
    sizes: list[int] = []
    really = refusals.record

    def counting(connection: Connection, journal: Path, found: Sequence[Refusal]) -> int:
        sizes.append(len(found))
        return really(connection, journal, found)

    monkeypatch.setattr(refusals, "BATCH", 2)
    monkeypatch.setattr(refusals, "record", counting)
    assert remember(run) == len(REVOCATIONS)
    assert sizes == [2, 2, 1]


def test_what_is_remembered_is_what_was_known_at_the_end_of_the_day(
    changing_practice: Practice, ready: Ready
) -> None:
    """And of live runs only; in Chicago the day ends at five in the morning, UTC."""
    world, run = changing_practice.world, run_of(changing_practice, ready.live)
    midnight = NOW.replace(hour=5) + timedelta(days=1)
    world.change("authorization", "p0", revoked_at=midnight)
    world.set("opt_out", patient_key="p1", campaign=None, at=midnight)
    world.set("opt_out", patient_key="p2", campaign="No campaign's name; DROP", at=NOW)
    world.change("authorization", "p3", revoked_at=NOW, purpose="no purpose of ours")
    assert remember(run) == 1  # the opt-out of a word that is no campaign is one of all
    world.change("authorization", "p0", revoked_at=midnight - SECOND)
    world.change("opt_out", "p1", at=midnight - SECOND)
    assert [remember(replace(run, mode=mode)) for mode in ("dry", "replay")] == [0, 0]
    assert remember(run) == 2
    # A month's lateness is caught up with, not a year's, so that no day reads the whole history.
    for key, days in (("p3", 29), ("p4", 31)):
        late = midnight - SECOND - timedelta(days=days)
        world.change("authorization", key, revoked_at=late, purpose="email")
        world.set("opt_out", patient_key=key, campaign=None, at=late)
    assert remember(run) == 2
    journal = run.settings.journal_path.read_text(encoding="utf-8")
    assert len(journal.splitlines()) == 5
    assert run.pseudonym("p3") in journal
    assert '"p3"' not in journal
