"""The outbox: a letter changes its state in the ways its docstring lists, and in no other."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, run_of
from reengage.errors import StoreError
from reengage.pipeline import outbox
from reengage.pipeline.outbox import Queued
from reengage.pipeline.run import Run
from sqlalchemy import Connection, text
from world import NOW

STATES = (
    "composed", "claimed", "attempted", "sent", "refused", "deferred", "unknown", "withheld",
    "rehearsed",
)  # fmt: skip
TOKEN = uuid4()
Step = Callable[[Connection, Run, Queued], object]


def _claim(connection: Connection, run: Run, one: Queued, reason: str | None = None) -> object:
    return outbox.claim(
        connection,
        run,
        [one],
        token=TOKEN,
        denied={one.letter_id: reason} if reason else {},
        consents={},
        warehouse_read_at=outbox.clock(connection),
        baa_id="baa-1",
    )


def _settle(state: outbox.Outgoing, token: UUID = TOKEN) -> Step:
    return lambda connection, run, one: outbox.settle(
        connection, run, one.letter_id, token, state, None, {}
    )


# What a function may do: from which states, to which.
LISTED: dict[str, tuple[Step, dict[str, str]]] = {
    "claim": (_claim, {"composed": "claimed", "deferred": "claimed"}),
    "claim, and the last look says no": (
        lambda connection, run, one: _claim(connection, run, one, "restriction"),
        {"composed": "withheld", "deferred": "withheld"},
    ),
    "mark attempted": (
        lambda connection, run, one: outbox.mark_attempted(connection, one.letter_id, TOKEN),
        {"claimed": "attempted"},
    ),
    "mark attempted by another try": (
        lambda connection, run, one: outbox.mark_attempted(connection, one.letter_id, uuid4()),
        {},
    ),
    "settle as sent": (_settle("sent"), {"attempted": "sent", "unknown": "sent"}),
    "settle as unknown": (_settle("unknown"), {"attempted": "unknown"}),
    "settle as refused": (
        _settle("refused"),
        {"claimed": "refused", "attempted": "refused", "unknown": "refused"},
    ),
    "settle as deferred": (
        _settle("deferred"),
        {"claimed": "deferred", "attempted": "deferred", "unknown": "deferred"},
    ),
    "settle by another try": (_settle("sent", uuid4()), {}),
    "recover": (
        lambda connection, run, one: outbox.recover(connection, run, 0),
        {"claimed": "composed", "attempted": "unknown"},
    ),
    "recover another chunk": (
        lambda connection, run, one: outbox.recover(connection, run, 1),
        {},
    ),
    "release": (
        lambda connection, run, one: outbox.release(connection, run, 0, TOKEN),
        {"claimed": "composed"},
    ),
    "release by another try": (
        lambda connection, run, one: outbox.release(connection, run, 0, uuid4()),
        {},
    ),
    "leave for when its window opens": (
        lambda connection, run, one: outbox.defer(connection, [one], "outside_send_window"),
        {"composed": "deferred"},
    ),
    "leave for a later run": (
        lambda connection, run, one: outbox.defer_open(connection, run, 0, "outside_send_window"),
        {"composed": "deferred"},
    ),
    "withhold what is too late, and it is not": (
        lambda connection, run, one: outbox.withhold_too_late(connection, run, 0),
        {},
    ),
    "mark rehearsed, and it is a real one": (
        lambda connection, run, one: outbox.mark_rehearsed(connection, [one]),
        {},
    ),
    "mark checked": (
        lambda connection, run, one: outbox.mark_checked(
            connection, [outbox.Draft(one.letter_id, one.identity, one.letter)]
        ),
        {},
    ),
}


@pytest.mark.parametrize("step", LISTED)
def test_no_function_makes_a_change_that_is_not_listed(
    step: str, ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    do, listed = LISTED[step]
    with run.store.connect() as connection:
        one = _first(connection, run)
        for before in STATES:
            _force(connection, one, before)
            try:
                do(connection, run, one)
            except StoreError:
                assert before not in listed
            assert _state(connection, one) == listed.get(before, before), before


REHEARSED = [name for name in LISTED if name not in ("recover", "release")]


@pytest.mark.parametrize("step", REHEARSED)
def test_a_rehearsed_letter_can_only_become_rehearsed(
    step: str, ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.dry)
    do, _ = LISTED[step]
    with run.store.connect() as connection:
        one = _first(connection, run)
        with suppress(StoreError):
            do(connection, run, one)
        expected = "rehearsed" if step.startswith("mark rehearsed") else "composed"
        assert _state(connection, one) == expected


@pytest.mark.parametrize("state", ["composed", "deferred"])
def test_an_open_letter_past_its_time_is_withheld_without_being_opened(
    state: str, ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    run.keyring.data_key(run.run_id)  # there; the point is that it is not needed
    with run.store.connect() as connection:
        one = _first(connection, run)
        _force(connection, one, state)
        _set(connection, one, f"expires_at = '{run.settings.now().isoformat()}', sealed = ''")
        assert outbox.withhold_too_late(connection, run, 0) == 1
        assert _state(connection, one) == "withheld"


def test_only_a_checked_letter_can_be_claimed(ready_practice: Practice, ready: Ready) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        one = _first(connection, run)
        _set(connection, one, "checked_at = NULL")
        assert one.letter_id not in [
            queued.letter_id
            for queued in outbox.open_letters(connection, run, 0, outbox.clock(connection))
        ]
        with pytest.raises(StoreError, match="no letter of the batch could be claimed"):
            _claim(connection, run, one)


def test_what_the_warehouse_said_counts_for_a_minute(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)

    def claim(age: int) -> int:
        with run.store.connect() as connection:  # it is not committed
            letters = outbox.open_letters(connection, run, 0, outbox.clock(connection))
            read_at = outbox.clock(connection) - timedelta(seconds=age)
            found = outbox.claim(
                connection,
                run,
                letters,
                token=TOKEN,
                denied={},
                consents={},
                warehouse_read_at=read_at,
                baa_id="baa-1",
            )
            return len(found)

    assert claim(age=50) == LETTERS
    with pytest.raises(StoreError, match="the warehouse took longer than a minute"):
        claim(age=60)
    assert ready_practice.rows("SELECT DISTINCT state FROM letter") == [{"state": "composed"}]


def test_the_store_checks_opt_outs_and_suppressions_in_the_claim_itself(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        letters = outbox.open_letters(connection, run, 0, outbox.clock(connection))
        by_key = {one.letter.patient_key: one for one in letters}
        for key, campaign in (("p0", None), ("p1", run.campaign.slug), ("p2", "health_education")):
            connection.execute(
                text("INSERT INTO opt_out (patient, campaign, channel) VALUES (:p, :c, 'desk')"),
                {"p": run.pseudonym(key), "c": campaign},
            )
        connection.execute(
            text("INSERT INTO suppression (recipient, reason) VALUES (:r, 'hard_bounce')"),
            {"r": by_key["p3"].recipient},
        )
        claimed = outbox.claim(
            connection,
            run,
            letters,
            token=TOKEN,
            denied={},
            consents={},
            warehouse_read_at=outbox.clock(connection),
            baa_id="baa-1",
        )
        assert {one.letter.patient_key for one in claimed} == {"p2", "p4"}
        reasons = {key: _reason(connection, one) for key, one in by_key.items()}
    assert reasons == {
        "p0": "opted_out",
        "p1": "opted_out",
        "p2": None,
        "p3": "address_suppressed",
        "p4": None,
    }


def test_a_deferred_letter_is_tried_once_in_a_try(ready_practice: Practice, ready: Ready) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        before = outbox.clock(connection)
        one = _first(connection, run)
        _claim(connection, run, one)
        _settle("deferred")(connection, run, one)
        later = outbox.open_letters(connection, run, 0, before)
        assert len(later) == LETTERS - 1
        assert len(outbox.open_letters(connection, run, 0, outbox.clock(connection))) == LETTERS


def test_a_batch_is_no_larger_than_a_minute_of_sending(
    ready_practice: Practice, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        assert len(outbox.open_letters(connection, run, 0, outbox.clock(connection))) == 2
        assert outbox.open_letters(connection, run, CHUNK["number"] + 1, NOW) == []


def _first(connection: Connection, run: Run) -> Queued:
    return outbox.open_letters(connection, run, 0, outbox.clock(connection))[0]


def _force(connection: Connection, one: Queued, state: str) -> None:
    claim = "NULL" if state in ("composed", "deferred") else f"'{TOKEN}'"
    _set(connection, one, f"state = '{state}', claim = {claim}, settled_at = clock_timestamp()")


def _set(connection: Connection, one: Queued, changes: str) -> None:
    connection.execute(
        text(f"UPDATE letter SET {changes} WHERE letter_id = :id"), {"id": one.letter_id}
    )


def _state(connection: Connection, one: Queued) -> str:
    return str(_column(connection, one, "state"))


def _reason(connection: Connection, one: Queued) -> object:
    return _column(connection, one, "reason")


def _column(connection: Connection, one: Queued, name: str) -> object:
    found: object = connection.execute(
        text(f"SELECT {name} FROM letter WHERE letter_id = :id"), {"id": one.letter_id}
    ).scalar_one()
    return found
