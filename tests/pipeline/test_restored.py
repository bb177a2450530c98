"""A store that came back from a backup: nothing that it forgot is sent again (SEC-08, LOG-05)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import uuid4

import pytest
from daily import Practice
from databases import Makes
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.errors import LedgerError, StoreError
from reengage.ledger import records
from reengage.ledger.append import append
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint
from reengage.pipeline import attempts, outbox, restored
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle
from simulators.smtp import HostileRelay
from sqlalchemy import make_url, text

Backup = Callable[[Practice], Practice]


@pytest.fixture
def backed_up(database: Makes) -> Backup:
    """The practice as it will be when a backup of now is restored."""

    def taken_now(practice: Practice) -> Practice:
        url = database(make_url(practice.settings.store_url).database)
        return replace(practice, settings=replace(practice.settings, store_url=url))

    return taken_now


def signed(run: Run) -> None:
    """As the audit does every day."""
    with run.store.begin() as connection:
        sign_checkpoint(connection, run.keyring, checkpoints(run))


def checkpoints(run: Run) -> Checkpoints:
    return Checkpoints(run.settings.checkpoints_location)


def accepted(run: Run) -> None:
    with run.store.begin() as connection:
        restored.accept(connection, run.keyring, checkpoints(run), "olga")


def test_a_restored_store_sends_nothing_until_somebody_knows_and_nothing_again_then(
    changing_practice: Practice, ready: Ready, relay: HostileRelay, backed_up: Backup
) -> None:
    later = backed_up(changing_practice)
    run = run_of(changing_practice, ready.live)
    assert send(run, CHUNK) == {"sent": LETTERS}
    signed(run)

    again = run_of(later, ready.live)
    for attempt in (lambda: send(again, CHUNK), lambda: later.open(CAMPAIGN)):
        with pytest.raises(StoreError, match="came back from a backup"):
            attempt()
    accepted(again)
    assert send(again, CHUNK) == {"unknown": LETTERS}
    assert {reason for _, reason in states(later, again)} == {restored.IN_DOUBT}
    # By their Message-IDs the relay's log tells which had left.
    found = later.rows("SELECT message_id FROM letter WHERE rehearsal IS NULL")
    assert {row["message_id"] for row in found} == set(taken(relay))
    settle(again)

    # Who is due for the first run since may have been written to by one that is forgotten.
    for patient, outcome in (("p7", "unknown"), ("p8", "sent")):
        later.world.patient(patient)
        following = later.open(CAMPAIGN)
        [chunk] = later.hurry(following)
        assert send(following, chunk) == {outcome: 1}
        settle(following)
    assert len(taken(relay)) == LETTERS + 1


def test_what_is_missing_of_after_the_newest_checkpoint_stops_it_too(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, backed_up: Backup
) -> None:
    """A point-in-time recovery, a standby that was promoted: elsewhere than where it last sent."""
    run = run_of(ready_practice, ready.live)
    signed(run)
    later = backed_up(ready_practice)
    assert send(run, CHUNK) == {"sent": LETTERS}
    again = run_of(later, ready.live)
    for attempt in (lambda: send(again, CHUNK), lambda: later.open(CAMPAIGN)):
        with pytest.raises(StoreError, match=r"is not where it last sent from.*was promoted"):
            attempt()
    assert states(later, again) == [("composed", None)] * LETTERS
    accepted(again)
    assert send(again, CHUNK) == {"unknown": LETTERS}
    assert len(relay.letters) == LETTERS


def test_a_synchronous_standby_goes_on_where_the_other_was_once_somebody_says_so(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, backed_up: Backup
) -> None:
    run = run_of(ready_practice, ready.live)
    signed(run)
    again = run_of(backed_up(ready_practice), ready.live)
    with again.store.begin() as connection:
        restored.accept_complete(connection, run.keyring, checkpoints(run))
    assert send(again, CHUNK) == {"sent": LETTERS}


def test_nobody_calls_a_store_complete_that_lacks_what_was_signed(
    ready_practice: Practice, ready: Ready, backed_up: Backup
) -> None:
    again = run_of(backed_up(ready_practice), ready.live)
    run = run_of(ready_practice, ready.live)
    _opened(run, 1)
    signed(run)
    with again.store.begin() as connection, pytest.raises(StoreError, match="without --nothing"):
        restored.accept_complete(connection, run.keyring, checkpoints(run))
    with again.store.connect() as connection, pytest.raises(StoreError, match="checkpoint"):
        restored.require_whole(connection, again)


def test_an_earlier_run_that_is_cleared_later_is_still_in_doubt(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    accepted(run)  # of what no checkpoint tells
    ready_practice.spoil(
        "INSERT INTO run SELECT (jsonb_populate_record(r, jsonb_build_object("
        f"'run_id', '{uuid4()}', 'opened_at', clock_timestamp(), 'finished_at', now()))).*"
        f" FROM run r WHERE run_id = '{ready.live}'"
    )
    assert send(run, CHUNK) == {"unknown": LETTERS}
    assert taken(relay) == []


def test_entries_that_were_added_since_make_no_restored_ledger_whole(
    ready_practice: Practice, ready: Ready, backed_up: Backup
) -> None:
    again = run_of(backed_up(ready_practice), ready.live)
    run = run_of(ready_practice, ready.live)
    _opened(run, 1)
    signed(run)
    _opened(again, 5)
    with again.store.connect() as connection, pytest.raises(StoreError, match="checkpoint"):
        restored.require_whole(connection, again)


def test_a_checkpoint_whose_record_a_crash_has_lost_stops_nothing(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        sign_checkpoint(connection, run.keyring, checkpoints(run))
        connection.rollback()
        restored.require_whole(connection, run)
        signed(run)
        restored.require_whole(connection, run)


def test_a_file_that_nobody_signed_stops_what_is_sent(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    checkpoints(run).put(10**6, "not a note")
    with run.store.connect() as connection, pytest.raises(LedgerError, match="is refused"):
        restored.require_whole(connection, run)


def test_a_claim_of_another_place_is_not_given_back(
    ready_practice: Practice, ready: Ready, backed_up: Backup
) -> None:
    """A dump holds the incarnation, too, and its letters may have left since."""
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        attempts.incarnation(connection)
        connection.commit()
    with run.store.begin() as connection:
        [one, *_] = outbox.open_letters(connection, run, 0)
        connection.execute(
            text("UPDATE letter SET state = 'claimed', incarnation = :i WHERE letter_id = :id"),
            {"i": attempts.incarnation(connection), "id": one.letter_id},
        )
    again = run_of(backed_up(ready_practice), ready.live)
    with again.store.connect() as connection:
        assert attempts.recover(connection, again, 0) == 1
    with run.store.connect() as connection:
        assert attempts.recover(connection, run, 0) == 0


def test_an_incarnation_holds_for_its_table_only(ready_practice: Practice, ready: Ready) -> None:
    """Into the same database a dump makes the table anew."""
    run = run_of(ready_practice, ready.live)
    with run.store.begin() as connection:
        before = attempts.incarnation(connection)
        assert attempts.incarnation(connection) == before
        connection.execute(text("ALTER TABLE incarnation RENAME TO dumped"))
        connection.execute(text("CREATE UNLOGGED TABLE incarnation (LIKE dumped INCLUDING ALL)"))
        connection.execute(text("INSERT INTO incarnation TABLE dumped"))
        assert attempts.incarnation(connection) != before


def _opened(run: Run, times: int) -> None:
    with run.store.begin() as connection:
        looks = [records.access(actor="a", action="opened", of="x") for _ in range(times)]
        append(connection, run.keyring, looks)
