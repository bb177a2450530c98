"""Send: what the relay, the clock or another try may do to a chunk half-way.

After each: the state and the reason of every letter, what the relay took, and that a re-run goes
on from there with nothing lost and nothing sent twice.
"""

from __future__ import annotations

import mailbox
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from daily import Practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, reasons, run_of, states, taken
from reengage.embedded.certificates import Certificates
from reengage.embedded.relay import RelayProcess
from reengage.errors import RelayError, StoreError
from reengage.pipeline import outbox
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.composing import identity_of
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from reengage.sealing.way import Way
from simulators import certificates as certs
from simulators.smtp import DROP, HostileRelay
from sqlalchemy import text
from world import NOW


def through(practice: Practice, relay: HostileRelay) -> Practice:
    settings = replace(
        practice.settings, relays={"embedded": relay.url}, relay_trust=relay.certificates.ca
    )
    return replace(practice, settings=settings)


UNUSABLE: dict[str, tuple[dict[str, Any], Callable[[Path], Certificates], str]] = {
    "no STARTTLS": ({"extensions_before_tls": ()}, certs.good, "offers no STARTTLS"),
    "454 to STARTTLS": ({"script": {"starttls": "454 4.7.0 no"}}, certs.good, "454 instead of 220"),
    "drops after STARTTLS": ({"tls": "drop"}, certs.good, "hung up"),
    "drops at once": ({"script": {"connect": DROP}}, certs.good, "hung up"),
    "421 in its greeting": ({"script": {"connect": "421 4.3.2 bye"}}, certs.good, "421"),
    "TLS 1.1": ({"tls": "old"}, certs.good, "no TLS 1.2"),
    "another's certificate": ({}, certs.wrong_name, "another name"),
    "an expired certificate": ({}, certs.expired, "expired"),
    "an unknown authority": ({}, certs.unknown_authority, "unknown authority"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_relay_without_verified_tls_gets_nothing_and_a_retry_sends_all(
    case: str, ready_practice: Practice, ready: Ready, relay: HostileRelay, tmp_path: Path
) -> None:
    options, issued, says = UNUSABLE[case]
    with HostileRelay(issued(tmp_path / "c"), **options) as unusable:
        with pytest.raises(RelayError, match=says):
            send(run_of(through(ready_practice, unusable), ready.live), CHUNK)
        assert unusable.letters == []
    run = run_of(ready_practice, ready.live)
    assert states(ready_practice, run) == [("composed", None)] * LETTERS
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_a_relay_that_is_down_leaves_every_letter_as_it_was(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    with HostileRelay(ready.certificates) as stopped:
        down = through(ready_practice, stopped)
    with pytest.raises(RelayError, match="refused the connection"):
        send(run_of(down, ready.live), CHUNK)
    run = run_of(ready_practice, ready.live)
    assert states(ready_practice, run) == [("composed", None)] * LETTERS
    with pytest.raises(StoreError, match=r"unaccounted for: \{'composed': 5\}"):
        settle(run)


# What the relay does to the second letter: its state, its reason, whether the relay has taken it.
AT_A_STAGE: dict[str, tuple[str, str, str, str, bool]] = {
    "4xx at MAIL": ("mail", "451 4.3.0 later", "deferred", "mail 451 4.3.0", False),
    "5xx at MAIL": ("mail", "550 5.7.1 no", "refused", "mail 550 5.7.1", False),
    "421 at MAIL": ("mail", "421 4.3.2 bye", "deferred", "mail 421 4.3.2", False),
    "dropped at MAIL": ("mail", DROP, "deferred", "connection_lost_at_", False),
    "4xx at RCPT": ("rcpt", "450 4.2.1 busy", "deferred", "rcpt 450 4.2.1", False),
    "5xx at RCPT": ("rcpt", "550 5.1.1 no", "refused", "rcpt 550 5.1.1", False),
    "421 at RCPT": ("rcpt", "421 4.3.2 bye", "deferred", "rcpt 421 4.3.2", False),
    "dropped at RCPT": ("rcpt", DROP, "deferred", "connection_lost_at_rcpt", False),
    "4xx at DATA": ("data", "451 4.3.0 later", "deferred", "data 451 4.3.0", False),
    "5xx at DATA": ("data", "554 5.5.1 no", "refused", "data 554 5.5.1", False),
    "dropped at DATA": ("data", DROP, "deferred", "connection_lost_at_data", False),
    "4xx to the dot": ("dot", "451 4.3.0 later", "deferred", "dot 451 4.3.0", False),
    "5xx to the dot": ("dot", "554 5.6.0 spam", "refused", "dot 554 5.6.0", False),
    "421 to the dot": ("dot", "421 4.3.2 bye", "deferred", "dot 421 4.3.2", False),
    "dropped before it is taken": ("dot", DROP, "unknown", "connection_lost_at_dot", False),
    "dropped after it is taken": ("reply", DROP, "unknown", "connection_lost_at_dot", True),
}


@pytest.mark.parametrize("case", AT_A_STAGE)
def test_what_befalls_one_letter_is_recorded_and_the_others_go(
    case: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    stage, action, state, reason, is_taken = AT_A_STAGE[case]
    fine = {"mail": "250 ok", "rcpt": "250 ok", "data": "354 go", "dot": "", "reply": "250 ok"}
    relay.script = {stage: [fine[stage], action, fine[stage]]}
    run = run_of(ready_practice, ready.live)
    send(run, CHUNK)
    first, second, *others = states(ready_practice, run)
    assert (first, others) == (("sent", None), [("sent", None)] * (LETTERS - 2))
    assert second[0] == state
    assert str(second[1]).startswith(reason)
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS - 1 + is_taken
    assert settle(run) == {"sent": LETTERS - 1, state: 1}

    in_an_hour = run_of(ready_practice.at(NOW + timedelta(hours=1)), run.run_id)
    again = send(in_an_hour, CHUNK)
    assert again == ({"sent": LETTERS} if state == "deferred" else {"sent": LETTERS - 1, state: 1})
    assert len(set(taken(relay))) == len(relay.letters) == again["sent"] + is_taken


def test_a_relay_that_dies_in_the_middle_gives_the_rest_back(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    relay.script = {
        "connect": ["220 ready", DROP, "220 ready"],
        "mail": ["250 ok", "250 ok", DROP, "250 ok"],
    }
    run = run_of(ready_practice, ready.live)
    with pytest.raises(RelayError, match="hung up"):
        send(run, CHUNK)
    found = states(ready_practice, run)
    assert found[:3] == [("sent", None)] * 2 + [("deferred", "connection_lost_at_mail")]
    assert found[3:] == [("composed", None)] * 2
    assert send(run, CHUNK) == {"deferred": 1, "sent": LETTERS - 1}
    in_an_hour = run_of(ready_practice.at(NOW + timedelta(hours=1)), run.run_id)
    assert send(in_an_hour, CHUNK) == {"sent": LETTERS}
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_evidence_of_each_letter_is_kept_and_quotes_no_address(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    relay.script = {
        "rcpt": ["550 5.1.1 <p0@example.org> is unknown, said p0@example.org", "250 ok"]
    }
    run = run_of(ready_practice, ready.live)
    send(run, CHUNK)
    rows = ready_practice.rows(
        "SELECT state, reason, evidence FROM letter WHERE rehearsal IS NULL ORDER BY letter_id"
    )
    assert "example.org" not in str(rows)
    evidence = rows[1]["evidence"]
    assert isinstance(evidence, Mapping)
    assert {name: evidence[name] for name in ("host", "tls_version", "code", "queue_id")} == {
        "host": "localhost", "tls_version": "TLSv1.3", "code": 250, "queue_id": "4F1A2B3C",
    }  # fmt: skip


def test_a_chunk_with_nothing_to_send_opens_no_connection(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    assert send(run, {"number": 7, "first": 0, "last": -1}) == {}
    assert relay.connections == 0


# The next run


@pytest.mark.parametrize("hours", [1, 24], ids=["the same day", "the next day"])
def test_a_new_run_takes_over_what_an_earlier_one_left(
    hours: int, changing_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    relay.script = {"mail": ["451 4.3.0 later"] * 3 + ["250 ok"]}
    first = run_of(changing_practice, ready.live)
    assert send(first, CHUNK) == {"deferred": 3, "sent": 2}
    settle(first)
    assert shred(first) == 0  # its letters are still sealed under its key
    left = [key for key, what in reasons(changing_practice, first).items() if "451" in what]
    changing_practice.world.change("authorization", left[0], revoked_at=NOW)
    changing_practice.world.change("patient", left[1], death_date=NOW.date())

    second = changing_practice.at(NOW + timedelta(hours=hours)).play(CAMPAIGN)
    assert {key: reasons(changing_practice, second)[key] for key in left} == {
        left[0]: "authorization_revoked",
        left[1]: "deceased",
        left[2]: "sent",
    }
    assert len(set(taken(relay))) == len(relay.letters) == 3
    assert not second.keyring.has_data_key(first.run_id)


def test_a_letter_that_is_too_late_is_withheld_although_its_key_is_gone(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    relay.script = {"mail": "451 4.3.0 later"}
    run = run_of(ready_practice, ready.live)
    send(run, CHUNK)
    run.keyring.destroy_data_key(run.run_id)
    later = ready_practice.at(NOW + timedelta(days=8))  # the appointments were after seven
    assert send(run_of(later, ready.live), CHUNK) == {"withheld": LETTERS}
    assert states(later, run) == [("withheld", "too_late")] * LETTERS
    assert relay.letters == []


@pytest.mark.parametrize("stage", ["rcpt", "dot"])
def test_a_second_try_of_a_chunk_at_work_is_refused_and_the_first_goes_on(
    stage: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    """Airflow took the first for dead, and it is not: they never work on the same letters."""
    refused: list[str] = []

    def second() -> None:
        try:
            send(run_of(ready_practice, ready.live), CHUNK)
        except StoreError as error:
            refused.append(str(error))

    _at_the(3, relay, stage, second)
    run = run_of(ready_practice, ready.live)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert [told.partition(";")[0] for told in refused] == [
        "another try is at work on chunk 0 of this run"
    ]
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS
    assert settle(run) == {"sent": LETTERS}


def test_a_new_run_leaves_a_chunk_that_is_at_work_to_the_run_that_works_on_it(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    busy: list[dict[str, int]] = []

    def another_run() -> None:
        run = ready_practice.open(CAMPAIGN)
        ready_practice.planned(run)
        busy.append(dict.fromkeys([str(s) for s, _ in states(ready_practice, run)], 1))

    _at_the(3, relay, "dot", another_run)
    run = run_of(ready_practice, ready.live)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert busy == [{}]


def test_several_tries_at_once_send_each_letter_once(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    barrier = threading.Barrier(4)

    def attempt(_: int) -> str:
        run = run_of(ready_practice, ready.live)
        barrier.wait()
        try:
            send(run, CHUNK)
        except StoreError as error:  # another try is at work: Airflow tries again
            return str(error)
        return "done"

    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(attempt, range(4)))
    assert {result.partition(";")[0] for result in results} <= {
        "done",
        "another try is at work on chunk 0 of this run",
    }
    run = run_of(ready_practice, ready.live)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def _at_the(nth: int, relay: HostileRelay, stage: str, action: Callable[[], object]) -> None:
    """At the nth time that a client reaches the stage, and only then."""
    reached = 0

    def callback() -> None:
        nonlocal reached
        reached += 1
        if reached == nth:
            action()

    relay.at(stage, callback)


@pytest.mark.long
def test_two_thousand_letters_over_the_embedded_relay_all_arrive_once(
    changing_practice: Practice, ready: Ready, relay_process: RelayProcess
) -> None:
    wanted = {f"<{number}@many.example.org>" for number in range(2000)}
    settings = replace(
        changing_practice.settings,
        relays={"embedded": relay_process.url},
        relay_trust=relay_process.ca,
    )
    practice = replace(changing_practice, settings=settings)
    run = run_of(practice, ready.live)
    _add_many(practice, run, len(wanted))
    before = set(mailbox.Maildir(relay_process._maildir).keys())  # what other tests have sent
    started = monotonic()
    assert send(run, CHUNK) == {"sent": len(wanted) + LETTERS}
    print(f"{len(wanted) / (monotonic() - started):.0f} letters a second")
    box = mailbox.Maildir(relay_process._maildir)
    arrived = [str(box[key]["Message-ID"]) for key in set(box.keys()) - before]
    assert wanted <= set(arrived)
    assert len(arrived) == len(set(arrived))


def _add_many(practice: Practice, run: Run, number: int) -> None:
    """Patients q0, q1, ... like p0, and a sealed letter for each."""
    for view in ("patient", "contact", "authorization"):
        names = [
            column.name for one in run.contract.views if one.name == view for column in one.columns
        ]
        new = [_NEW.get(name, f'"{name}"') for name in names]
        practice.world.execute(
            f"INSERT INTO contract.{view} SELECT {', '.join(new)} FROM contract.{view},"
            " generate_series(0, :number - 1) AS n WHERE patient_key = 'p0'",
            number=number,
        )
    key, rows = run.data_key, []
    for n in range(number):
        message = f"Message-ID: <{n}@many.example.org>\r\nSubject: x\r\n\r\ntext\r\n".encode()
        letter = Addressed(f"q{n}", f"q{n}@example.org", "en", {}, message, TLS)
        patient = run.pseudonym(f"q{n}")
        identity = identity_of(CAMPAIGN, patient, "many")
        sealed = key.seal(letter.to_bytes(), bound_to=f"letter/{identity}")
        rows.append({"patient": patient, "sealed": sealed, "message_id": f"<{n}@many.example.org>"})
    statement = (
        "INSERT INTO letter (campaign, period, run_id, campaign_date, sender_run_id, chunk,"
        " template_sha256, expires_at, checked_at, patient, sealed, message_id)"
        f" VALUES ('{CAMPAIGN}', 'many', '{run.run_id}', '{run.day}', '{run.run_id}', 0, 'x',"
        " '2099-12-31', now(), :patient, :sealed, :message_id)"
    )
    with run.store.begin() as connection:
        connection.execute(text(statement), rows)


TLS = Way("tls", "contract")
_NEW = {"patient_key": "'q' || n", "email": "'q' || n || '@example.org'"}
