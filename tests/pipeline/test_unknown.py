"""Letters that may have been delivered: found, resolved once by a person, and never sent again."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, run_of, taken
from reengage.errors import LedgerError, StoreError
from reengage.keys import ensure_keyring
from reengage.ledger.accounting import letters_of
from reengage.ledger.outbox import check_outbox
from reengage.notes import WITHHELD, note_of
from reengage.pipeline import unknown
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from reengage.pipeline.traces import Trace
from reengage.pipeline.unknown import Unknown, UnresolvedError
from reengage.return_path import envid_of
from simulators.smtp import DROP, HostileRelay


@pytest.fixture
def run(ready_practice: Practice, ready: Ready, relay: HostileRelay) -> Run:
    """A run one of whose letters was taken, and the relay hung up before it said so."""
    relay.script = {"reply": [DROP, "250 2.0.0 ok"]}
    run = run_of(ready_practice, ready.live)
    assert send(run, CHUNK) == {"sent": LETTERS - 1, "unknown": 1}
    return run


def the_one(run: Run) -> Unknown:
    with run.store.connect() as connection:
        [found] = unknown.list_unknown(connection)
    return found


def resolve(
    run: Run, letter: UUID, verdict: unknown.Verdict, ground: str = "person: asked"
) -> None:
    with run.store.begin() as connection:
        unknown.resolve(connection, run.keyring, letter, verdict, ground)


def test_it_is_listed_with_what_finds_it_elsewhere(run: Run, relay: HostileRelay) -> None:
    found = the_one(run)
    assert found.message_id == taken(relay)[0]
    assert f"ENVID={envid_of(run.keyring, found.letter_id)}" in " ".join(relay.commands)
    assert (found.campaign, found.days) == (run.campaign.slug, 0)
    assert found.reason == "connection_lost_at_dot"


@pytest.mark.parametrize("verdict", ["sent", "refused"])
def test_a_verdict_supersedes_the_record_and_letter_and_ledger_agree(
    verdict: unknown.Verdict, run: Run, ready_practice: Practice, relay: HostileRelay
) -> None:
    """LOG-12, PRV-25: the newest record counts, and the letter's first day stays its day."""
    letter = the_one(run).letter_id
    resolve(run, letter, verdict)
    [row] = ready_practice.rows("SELECT patient, state FROM letter WHERE letter_id = :l", l=letter)
    assert row["state"] == verdict
    with run.store.connect() as connection:
        [told] = letters_of(connection, str(row["patient"]))
        assert check_outbox(connection, run.settings.home) == []
    assert len(told.entries) == 2
    assert told.disclosed is (verdict == "sent")
    assert (told.said["outcome"], told.said["transport"]["ground"]) == (verdict, "person: asked")
    assert told.said["message_id"] == taken(relay)[0]
    assert settle(run) == (
        {"sent": LETTERS} if verdict == "sent" else {"refused": 1, "sent": LETTERS - 1}
    )


def test_neither_unresolved_nor_resolved_is_it_ever_sent_again(
    run: Run, ready_practice: Practice, relay: HostileRelay
) -> None:
    assert send(run, CHUNK) == {"sent": LETTERS - 1, "unknown": 1}
    resolve(run, the_one(run).letter_id, "refused")
    assert send(run, CHUNK) == {"refused": 1, "sent": LETTERS - 1}
    assert len(relay.letters) == LETTERS


def test_only_an_unknown_letter_is_resolved_and_only_once(
    run: Run, ready_practice: Practice
) -> None:
    letter = the_one(run).letter_id
    resolve(run, letter, "sent")
    before = ready_practice.rows("SELECT letter_id, state, evidence FROM letter ORDER BY 1")
    [other] = ready_practice.rows("SELECT letter_id FROM letter WHERE state = 'composed' LIMIT 1")
    for one in (letter, other["letter_id"], uuid4()):
        with pytest.raises(StoreError, match="is not `unknown`, so there is nothing to resolve"):
            resolve(run, one, "refused")  # type: ignore[arg-type]
    assert ready_practice.rows("SELECT letter_id, state, evidence FROM letter ORDER BY 1") == before


def test_a_letter_without_a_record_is_not_resolved(run: Run, ready_practice: Practice) -> None:
    letter = the_one(run).letter_id
    ready_practice.spoil(f"UPDATE letter SET patient = 'nobody' WHERE letter_id = '{letter}'")
    with pytest.raises(LedgerError, match="has no record of letter"):
        resolve(run, letter, "sent")
    assert the_one(run).letter_id == letter


# --- evidence ---


def a_letter(days: int = 0, campaign: str = "x") -> Unknown:
    one = uuid4()
    since = datetime(2025, 6, 2, tzinfo=UTC)
    return Unknown(one, campaign, date(2025, 6, 2), "", f"<{one.hex}@x.test>", since, days)


def test_a_final_failure_outweighs_every_sign_that_it_was_taken(tmp_path: Path) -> None:
    keyring = ensure_keyring(tmp_path / "keys")
    one, other = a_letter(), a_letter()
    taken_, failed = ("sent", "log", "in the queue"), ("refused", "notice", "failed 5.1.1")
    traces = [
        Trace(one.message_id, *taken_),  # type: ignore[arg-type]
        Trace(envid_of(keyring, one.letter_id).upper(), *failed),  # type: ignore[arg-type]
        Trace(other.message_id, *taken_),  # type: ignore[arg-type]
        Trace("<elsewhere@x.test>", *failed),  # type: ignore[arg-type]
    ]
    found = {finding.letter: finding for finding in unknown.match(keyring, [one, other], traces)}
    assert {letter: finding.says for letter, finding in found.items()} == {
        one: "refused", other: "sent",
    }  # fmt: skip
    assert found[one].ground == "notice: failed 5.1.1; log: in the queue"


def test_no_trace_is_no_evidence(tmp_path: Path) -> None:
    assert unknown.match(ensure_keyring(tmp_path / "keys"), [a_letter()], []) == []


# --- the alert ---


def test_who_is_unknown_for_too_long_is_told_by_count_and_id_only() -> None:
    late = unknown.overdue(
        [a_letter(3, "slow"), a_letter(3, "quick"), a_letter(2), a_letter(9)],
        {"slow": 7, "quick": 1},
    )
    assert [(one.campaign, one.days) for one in late] == [("quick", 3), ("x", 9)]
    with pytest.raises(UnresolvedError) as raised:
        unknown.require_resolved(late)
    assert str(raised.value).startswith(
        f"2 letters are still `unknown` (oldest: 9 days): {late[0].letter_id}, {late[1].letter_id};"
    )
    assert "never sent again" in str(raised.value)
    assert note_of(raised.value) == WITHHELD  # PRV-27
    unknown.require_resolved([])


def test_a_day_counts_from_when_it_became_unknown(run: Run, ready_practice: Practice) -> None:
    ready_practice.spoil(
        "UPDATE letter SET settled_at = clock_timestamp() - INTERVAL '71 hours 59 minutes'"
        " WHERE state = 'unknown'"
    )
    assert the_one(run).days == 2
    ready_practice.spoil(
        "UPDATE letter SET settled_at = clock_timestamp() - INTERVAL '40 days'"
        " WHERE state = 'unknown'"
    )
    assert the_one(run).days == 40
