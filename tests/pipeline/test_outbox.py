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
from reengage.pipeline import attempts, outbox
from reengage.pipeline.attempts import Answer, Outgoing
from reengage.pipeline.outbox import Queued
from reengage.pipeline.run import Run
from sqlalchemy import Connection, text
from world import NOW

STATES = (
    "composed", "claimed", "attempted", "answered", "sent", "refused", "deferred", "unknown",
    "withheld", "rehearsed",
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


def _answer(outcome: Outgoing, token: UUID = TOKEN) -> Step:
    def step(connection: Connection, run: Run, one: Queued) -> None:
        connection.commit()  # a mark is a transaction of its own
        attempts.mark(connection, run, token, answer=Answer(one.letter_id, outcome, None))

    return step


def _attempt(token: UUID) -> Step:
    def step(connection: Connection, run: Run, one: Queued) -> None:
        connection.commit()
        attempts.mark(connection, run, token, following=one.letter_id)

    return step


# What a function may do: from which states, to which.
LISTED: dict[str, tuple[Step, dict[str, str]]] = {
    "claim": (_claim, {"composed": "claimed", "deferred": "claimed"}),
    "claim, and the last look says no": (
        lambda connection, run, one: _claim(connection, run, one, "restriction"),
        {"composed": "withheld", "deferred": "withheld"},
    ),
    "mark attempted": (_attempt(TOKEN), {"claimed": "attempted"}),
    "mark attempted by another try": (_attempt(uuid4()), {}),
    "answer: sent": (_answer("sent"), {"attempted": "answered"}),
    "answer: unknown": (_answer("unknown"), {"attempted": "answered"}),
    "answer: refused": (
        _answer("refused"),
        {"claimed": "answered", "attempted": "answered"},
    ),
    "answer: deferred": (
        _answer("deferred"),
        {"claimed": "answered", "attempted": "answered"},
    ),
    "answer by another try": (_answer("sent", uuid4()), {}),
    "settle": (
        lambda connection, run, one: attempts.settle_answered(connection, run, 0),
        {"answered": "sent"},
    ),
    "settle another chunk": (
        lambda connection, run, one: attempts.settle_answered(connection, run, 1),
        {},
    ),
    "recover": (
        lambda connection, run, one: attempts.recover(connection, run, 0),
        {"claimed": "composed", "attempted": "unknown", "answered": "sent"},
    ),
    "recover another chunk": (
        lambda connection, run, one: attempts.recover(connection, run, 1),
        {},
    ),
    "release": (
        lambda connection, run, one: attempts.release(connection, run, 0, TOKEN),
        {"claimed": "composed"},
    ),
    "release by another try": (
        lambda connection, run, one: attempts.release(connection, run, 0, uuid4()),
        {},
    ),
    "leave for when its window opens": (
        lambda connection, run, one: outbox.defer(
            connection, [one], "outside_send_window", token=TOKEN
        ),
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
        lambda connection, run, one: outbox.mark_checked(connection, [one.letter_id]),
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
            queued.letter_id for queued in outbox.open_letters(connection, run, 0)
        ]
        with pytest.raises(StoreError, match="no letter of the batch could be claimed"):
            _claim(connection, run, one)


def test_what_the_warehouse_said_counts_for_a_minute(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)

    def claim(age: int) -> int:
        with run.store.connect() as connection:  # it is not committed
            letters = outbox.open_letters(connection, run, 0)
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
        letters = outbox.open_letters(connection, run, 0)
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
    due = run_of(ready_practice.at(NOW + timedelta(minutes=30)), run.run_id)
    with run.store.connect() as connection:
        one, other, *_ = outbox.open_letters(connection, run, 0)
        _claim(connection, run, one)
        _answer("deferred")(connection, run, one)
        attempts.settle_answered(connection, run, 0)
        outbox.defer(connection, [other], "outside_send_window", token=TOKEN)
        for at_work in (run, due):
            left = outbox.open_letters(connection, at_work, 0, TOKEN)
            assert len(left) == LETTERS - 2
        assert len(outbox.open_letters(connection, due, 0, uuid4())) == LETTERS


def test_a_clock_of_the_store_that_went_back_hides_no_letter(
    ready_practice: Practice, ready: Ready
) -> None:
    """Nor does it show one again to the try that put it off."""
    run = run_of(ready_practice, ready.live)
    due = run_of(ready_practice.at(NOW + timedelta(minutes=30)), run.run_id)
    with run.store.connect() as connection:
        one = _first(connection, run)
        _claim(connection, run, one)
        _answer("deferred")(connection, run, one)
        attempts.settle_answered(connection, run, 0)
        for hours in (6, -6):
            _set(connection, one, f"settled_at = clock_timestamp() + interval '{hours} hours'")
            assert len(outbox.open_letters(connection, due, 0, uuid4())) == LETTERS
            assert len(outbox.open_letters(connection, due, 0, TOKEN)) == LETTERS - 1


def test_of_an_earlier_try_no_evidence_is_left(ready_practice: Practice, ready: Ready) -> None:
    """What is unknown of this one was not deferred with a 450 over another connection."""
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        one = _first(connection, run)
        _claim(connection, run, one)
        earlier = Answer(one.letter_id, "deferred", "rcpt 450", {"code": 450}, b"450 later")
        _attempt(TOKEN)(connection, run, one)
        attempts.mark(connection, run, TOKEN, answer=earlier)
        attempts.settle_answered(connection, run, 0)
        assert _evidence(connection, one) == ({"code": 450}, True)
        _claim(connection, run, one)
        _attempt(TOKEN)(connection, run, one)
        attempts.recover(connection, run, 0)
        assert _state(connection, one) == "unknown"
        assert _evidence(connection, one) == (None, False)
        told = text(
            "SELECT convert_from(entry, 'UTF8')::jsonb #> '{body,transport}' FROM ledger_entry"
            " WHERE kind = 'disclosure' ORDER BY index DESC LIMIT 1"
        )
        assert connection.execute(told).scalar_one() is None


def test_a_batch_is_no_larger_than_a_minute_of_sending(
    ready_practice: Practice, ready: Ready, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        assert len(outbox.open_letters(connection, run, 0)) == 2
        assert outbox.open_letters(connection, run, CHUNK["number"] + 1) == []


def _evidence(connection: Connection, one: Queued) -> tuple[object, bool]:
    found = connection.execute(
        text("SELECT evidence, final_reply IS NOT NULL FROM letter WHERE letter_id = :id"),
        {"id": one.letter_id},
    ).one()
    return found[0], found[1]


def _first(connection: Connection, run: Run) -> Queued:
    return outbox.open_letters(connection, run, 0)[0]


def _force(connection: Connection, one: Queued, state: str) -> None:
    claim = "NULL" if state in ("composed", "deferred") else f"'{TOKEN}'"
    outcome = "'sent'" if state == "answered" else "NULL"
    _set(
        connection,
        one,
        f"state = '{state}', claim = {claim}, outcome = {outcome},"
        f" incarnation = '{attempts.incarnation(connection)}', settled_at = clock_timestamp()",
    )


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


# --- the lease, and a crash of the database ---


def test_while_a_try_is_at_work_no_other_works_on_its_chunk(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as first, run.store.connect() as second:
        attempts.lease(first, run, 0)
        attempts.lease(second, run, 1)  # another chunk
        with pytest.raises(StoreError, match="another try is at work on chunk 0"):
            attempts.lease(second, run, 0)
        first.rollback()
        with pytest.raises(StoreError):  # it is the session's, not a transaction's
            attempts.lease(second, run, 0)
        assert attempts.in_use(second, [(run.run_id, 0), (run.run_id, 2)]) == [(run.run_id, 0)]
    with run.store.connect() as third:
        attempts.lease(third, run, 0)  # it ended with the session


@pytest.mark.parametrize("state", ["claimed", "attempted"])
def test_what_was_claimed_before_the_database_crashed_is_in_doubt(
    state: str, ready_practice: Practice, ready: Ready
) -> None:
    """Its mark may be lost: it is never offered again."""
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        one = _first(connection, run)
        _claim(connection, run, one)
        if state == "attempted":
            _attempt(TOKEN)(connection, run, one)
        connection.execute(text("TRUNCATE incarnation"))  # as PostgreSQL does when it recovers
        assert attempts.recover(connection, run, 0) == 1
        assert (_state(connection, one), _reason(connection, one)) == (
            "unknown",
            "database_crashed",
        )


def test_the_table_that_tells_of_a_crash_is_one_that_postgresql_empties(
    ready_practice: Practice,
) -> None:
    [row] = ready_practice.rows("SELECT relpersistence FROM pg_class WHERE relname = 'incarnation'")
    assert row["relpersistence"] == "u"


def test_an_answer_and_the_next_mark_wait_for_no_disk_and_a_settlement_does(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        connection.execute(text(_TELLING))
        one, other = outbox.open_letters(connection, run, 0)[:2]
        _claim(connection, run, one)
        _claim(connection, run, other)
        connection.commit()
        attempts.mark(connection, run, TOKEN, following=one.letter_id)
        answer = Answer(one.letter_id, "sent", None)
        attempts.mark(connection, run, TOKEN, answer=answer, following=other.letter_id)
        attempts.settle_answered(connection, run, 0)
        connection.commit()
        told = connection.execute(text("SELECT state, waits FROM told")).all()
    assert sorted(tuple(row) for row in told) == [
        ("answered", "off"), ("attempted", "off"), ("attempted", "off"),
        ("claimed", "on"), ("claimed", "on"), ("sent", "on"),
    ]  # fmt: skip


_TELLING = """
    CREATE TABLE told (state text, waits text);
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO told (state, waits) VALUES (NEW.state, current_setting('synchronous_commit'));
        RETURN NULL;
    END $$;
    CREATE CONSTRAINT TRIGGER tell AFTER UPDATE ON letter DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION tell();
"""


def test_nothing_is_given_back_once_the_database_has_crashed(
    ready_practice: Practice, ready: Ready
) -> None:
    """The mark of what was attempted may be lost: a try that lives on gives back no claim."""
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection:
        one = _first(connection, run)
        _claim(connection, run, one)
        connection.execute(text("TRUNCATE incarnation"))
        attempts.release(connection, run, 0, TOKEN)
        assert _state(connection, one) == "claimed"
        attempts.recover(connection, run, 0)
        assert _state(connection, one) == "unknown"


def test_a_mark_that_the_store_does_not_take_ends_the_session_and_the_lease_with_it(
    ready_practice: Practice, ready: Ready
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.connect() as connection, run.store.connect() as other:
        one = _first(connection, run)
        attempts.lease(connection, run, 0)
        _claim(connection, run, one)
        connection.commit()
        other.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
        with pytest.raises(StoreError, match="the store did not take the mark of a letter"):
            attempts.mark(connection, run, TOKEN, following=one.letter_id)
        assert connection.invalidated
        attempts.lease(other, run, 0)
