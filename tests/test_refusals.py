"""Refusals outlive the store: the journal, the mark, and what either does without the other.

PRV-06, SEC-08, EML-26. One store for all tests; each begins with it empty.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from backup import backed_up, restored
from databases import Makes, create_database
from reengage import journal as journals
from reengage import refusals
from reengage.embedded.postgres import Postgres
from reengage.errors import StoreError
from reengage.refusals import Refusal, mend, record, replay
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

AT = datetime(2025, 6, 2, 17, 0, tzinfo=UTC)
REVOKED = Refusal("revocation", "a" * 32, None, AT, "phone", "patient", AT + timedelta(hours=1))
OPTED_OUT = Refusal("opt_out", "b" * 32, "health_education", AT, "desk", "patient", AT)
OTHERS = [
    replace(REVOKED, scope="email", channel="warehouse", source="warehouse"),
    replace(REVOKED, at=AT + timedelta(microseconds=1)),
    replace(OPTED_OUT, scope=None, channel="warehouse", source="warehouse"),
    replace(OPTED_OUT, patient="c" * 32, at=AT.astimezone(), received_at=AT.astimezone()),
]


@pytest.fixture(scope="module")
def engine(server: Postgres) -> Engine:
    return create_engine(create_database(server, "store"), poolclass=NullPool)


@pytest.fixture
def store(engine: Engine) -> Iterator[Connection]:
    """The store, empty; committed where a test does so."""
    with engine.connect() as connection:
        restored(connection)
        yield connection


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "refusals.jsonl"


def known(connection: Connection) -> set[Refusal]:
    return set(refusals._known(connection))


def one_more(connection: Connection, path: Path) -> int:
    return record(connection, path, [OTHERS[0]])


def test_a_refusal_is_in_the_journal_and_in_the_store_once(
    store: Connection, journal: Path
) -> None:
    everything = [REVOKED, OPTED_OUT, *OTHERS]
    assert record(store, journal, everything) == 6
    assert record(store, journal, everything) == 0
    assert record(store, journal, []) == 0
    assert replay(store, journal) == 0
    assert known(store) == set(everything)
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        "v": 1, "kind": "revocation", "patient": "a" * 32, "scope": None, "channel": "phone",
        "source": "patient", "at": "2025-06-02T17:00:00+00:00",
        "received_at": "2025-06-02T18:00:00+00:00",
    }  # fmt: skip
    assert len(lines) == 6
    assert journal.stat().st_mode & 0o777 == 0o600


def test_history_is_added_to_and_nothing_else(store: Connection, journal: Path) -> None:
    record(store, journal, [REVOKED, OPTED_OUT])
    store.commit()
    for table in ("revocation", "opt_out"):
        for statement in ("UPDATE {} SET channel = 'desk'", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(DBAPIError, match=f"table {table} is a history"):
                store.execute(text(statement.format(table)))
            store.rollback()
    assert known(store) == {REVOKED, OPTED_OUT}


def test_a_store_from_a_backup_is_given_all_that_came_after_it(
    store: Connection, journal: Path
) -> None:
    """SEC-08, and a second restore of the same backup."""
    record(store, journal, [OPTED_OUT])
    backup = backed_up(store)
    record(store, journal, [REVOKED])
    record(store, journal, OTHERS)
    store.commit()
    for _ in range(2):
        restored(store, backup)
        assert known(store) == {OPTED_OUT}
        assert replay(store, journal) == 5
        assert replay(store, journal) == 0
        assert known(store) == {OPTED_OUT, REVOKED, *OTHERS}
        store.commit()
    restored(store)
    assert replay(store, journal) == 6  # a store that was made anew
    assert record(store, journal, [REVOKED]) == 0


def test_what_was_not_committed_is_applied_by_whoever_comes_next(
    store: Connection, journal: Path
) -> None:
    record(store, journal, [REVOKED])
    store.rollback()
    assert known(store) == set()
    assert record(store, journal, [OPTED_OUT]) == 1
    assert known(store) == {REVOKED, OPTED_OUT}
    store.rollback()
    assert replay(store, journal) == 2


def test_refusals_from_before_there_was_a_journal_go_into_it(
    store: Connection, journal: Path
) -> None:
    insert = "INSERT INTO opt_out (patient, campaign, channel) VALUES (:patient, NULL, 'desk')"
    store.execute(text(insert), {"patient": "d" * 32})
    assert replay(store, journal) == 0
    store.commit()
    restored(store)
    assert replay(store, journal) == 1
    assert [one.patient for one in known(store)] == ["d" * 32]


def test_nothing_to_do_needs_no_file(store: Connection, journal: Path) -> None:
    assert replay(store, journal) == 0
    assert not journal.exists()


@pytest.mark.parametrize("cut", [1, 40, 150])
def test_a_line_that_was_cut_short_was_never_confirmed_and_is_dropped(
    cut: int, store: Connection, journal: Path
) -> None:
    record(store, journal, [OPTED_OUT])
    store.commit()
    whole = journal.read_bytes()
    with journal.open("ab") as file:
        file.write(REVOKED.line()[:cut])
    assert replay(store, journal) == 0
    assert record(store, journal, [OTHERS[1]]) == 1
    assert journal.read_bytes() == whole + OTHERS[1].line() + b"\n"
    assert known(store) == {OPTED_OUT, OTHERS[1]}


def test_of_lines_that_a_crash_cut_off_the_whole_ones_count(
    store: Connection, journal: Path
) -> None:
    journal.write_bytes(REVOKED.line() + b"\n" + OPTED_OUT.line()[:-2])
    assert replay(store, journal) == 1
    assert known(store) == {REVOKED}


def spoiled(**changes: object) -> bytes:
    return json.dumps({**json.loads(REVOKED.line()), **changes}).encode()


NO_REFUSALS = {
    "not JSON": b"{",
    "no object": b"[]",
    "empty": b"",
    "zeros": b"\0" * 80,
    "another version": spoiled(v=2),
    "more than is known": spoiled(name="canary"),
    "less than is needed": json.dumps({"v": 1}).encode(),
    "another kind": spoiled(kind="wish"),
    "another source": spoiled(source="canary"),
    "a key instead of a pseudonym": spoiled(patient="canary"),
    "no patient": spoiled(patient=None),
    "no instant": spoiled(at="canary"),
    "an instant without its offset": spoiled(received_at="2025-06-02T17:00:00"),
}


@pytest.mark.parametrize("line", NO_REFUSALS.values(), ids=NO_REFUSALS.keys())
def test_a_line_that_is_no_refusal_stops_everything_and_is_named(
    line: bytes, store: Connection, journal: Path
) -> None:
    journal.write_bytes(b"\n".join([OPTED_OUT.line(), line, REVOKED.line(), b""]))
    for act in (replay, mend, one_more):
        with pytest.raises(StoreError, match=r"refusals\.jsonl:2: this line.*newest copy") as told:
            act(store, journal)
        assert "canary" not in str(told.value)
        store.rollback()
        assert known(store) == set()


def test_the_number_of_a_bad_line_counts_the_applied_ones(store: Connection, journal: Path) -> None:
    record(store, journal, [OPTED_OUT, REVOKED])
    with journal.open("ab") as file:
        file.write(b"x\n")
    with pytest.raises(StoreError, match=r"refusals\.jsonl:3: "):
        replay(store, journal)


def lose(journal: Path) -> None:
    journal.unlink()


def shorten(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes()[:-1])


def replace_by_another(journal: Path) -> None:
    other = replace(REVOKED, patient="e" * 32).line() + b"\n"
    journal.write_bytes(other * (journal.stat().st_size // len(other) + 1))


def replace_by_one_of_its_size(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().replace(b"a" * 32, b"e" * 32))


LOSSES: list[Callable[[Path], None]] = [
    lose, shorten, replace_by_another, replace_by_one_of_its_size,
]  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_a_journal_that_was_lost_or_replaced_stops_everything_until_it_is_mended(
    loss: Callable[[Path], None], store: Connection, journal: Path
) -> None:
    record(store, journal, [OPTED_OUT, REVOKED])
    store.commit()
    loss(journal)
    left = journal.read_bytes() if journal.exists() else None
    for act in (replay, one_more):
        with pytest.raises(StoreError, match=r"lost or replaced.*restore its newest copy.*mend"):
            act(store, journal)
        store.rollback()
    assert (journal.read_bytes() if journal.exists() else None) == left
    mend(store, journal)
    store.commit()
    assert replay(store, journal) == 0
    kept = known(store)
    assert {OPTED_OUT, REVOKED} <= kept
    restored(store)
    replay(store, journal)
    assert known(store) == kept


def test_mending_learns_what_the_journal_knows_and_the_store_does_not(
    store: Connection, journal: Path
) -> None:
    record(store, journal, [OPTED_OUT])
    store.commit()
    journal.write_bytes(REVOKED.line() + b"\n")
    assert mend(store, journal) == 1
    assert known(store) == {OPTED_OUT, REVOKED}
    assert OPTED_OUT.line() in journal.read_bytes()


def test_mending_adds_nothing_behind_a_line_that_is_no_refusal(
    store: Connection, journal: Path
) -> None:
    record(store, journal, [OPTED_OUT])
    store.commit()
    journal.write_bytes(b"x\n")
    with pytest.raises(StoreError, match=r"refusals\.jsonl:1: "):
        mend(store, journal)
    assert journal.read_bytes() == b"x\n"


def test_a_journal_that_cannot_be_written_records_nothing(
    store: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "nowhere" / "refusals.jsonl", tmp_path):
        with pytest.raises(StoreError, match=r"journal of refusals .* cannot be"):
            record(store, path, [REVOKED])
        store.rollback()
    journal = tmp_path / "refusals.jsonl"
    record(store, journal, [OPTED_OUT])
    store.commit()
    before = journal.read_bytes()
    write, room = os.write, [100]

    def full(descriptor: int, content: memoryview) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return write(descriptor, content[: room.pop()])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StoreError, match="No space left on device"):
            record(store, journal, [REVOKED])
    store.rollback()
    assert journal.read_bytes() == before
    assert known(store) == {OPTED_OUT}


def test_it_is_on_the_disk_before_it_is_in_the_store(
    store: Connection, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(refusals, "_insert", dying)
        with pytest.raises(KeyboardInterrupt):
            record(store, journal, [REVOKED])
    store.rollback()
    assert replay(store, journal) == 1


def test_a_second_writer_waits_for_the_first_and_takes_over_what_it_left(
    store: Connection, engine: Engine, journal: Path
) -> None:
    """However the first ends, the store has all of both and the mark stands at the end."""
    for number, end in enumerate((store.commit, store.rollback)):
        first = replace(REVOKED, patient=f"{number}" * 32)
        second = replace(OPTED_OUT, patient=f"{number}" * 32)
        record(store, journal, [first])

        def write(one: Refusal = second) -> None:
            with engine.begin() as connection:
                record(connection, journal, [one])

        other = threading.Thread(target=write)
        other.start()
        end()
        other.join(30)
        assert not other.is_alive()
        assert {first, second} <= known(store)
        store.rollback()
    assert len(journal.read_bytes().splitlines()) == 4
    assert replay(store, journal) == 0


def test_one_at_a_time_moves_the_mark(store: Connection, engine: Engine, journal: Path) -> None:
    record(store, journal, [])
    with engine.connect() as other, pytest.raises(DBAPIError, match="could not obtain lock"):
        other.execute(text("SELECT FROM refusal_mark FOR UPDATE NOWAIT"))


def test_two_stores_may_share_a_journal(
    store: Connection, server: Postgres, journal: Path, database: Makes
) -> None:
    """As while one is restored beside the other: neither cuts into the other's lines."""
    other = create_engine(database("store"), poolclass=NullPool)
    many = [replace(REVOKED, at=AT + timedelta(seconds=number)) for number in range(40)]
    halves = [(store, many[::2]), (other.connect(), many[1::2])]

    def write(connection: Connection, mine: list[Refusal]) -> None:
        for one in mine:
            record(connection, journal, [one])
            connection.commit()

    writers = [threading.Thread(target=write, args=half) for half in halves]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    for connection, _ in halves:
        replay(connection, journal)
        assert known(connection) == set(many)
        connection.commit()
    halves[1][0].close()
    assert len(journal.read_bytes().splitlines()) == 40


def test_a_writer_has_the_journal_to_itself(
    store: Connection, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = journals._add

    def add(descriptor: int, content: bytes) -> None:
        with journal.open("ab") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        really(descriptor, content)

    monkeypatch.setattr(journals, "_add", add)
    assert record(store, journal, [REVOKED]) == 1


def test_what_is_read_in_batches_is_read_whole(
    store: Connection, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "BATCH", 3)
    monkeypatch.setattr(journals, "TAIL_BYTES", 10)
    many = [replace(REVOKED, at=AT + timedelta(seconds=number)) for number in range(10)]
    record(store, journal, many)
    store.commit()
    restored(store)
    assert replay(store, journal) == 10
    journal.unlink()
    mend(store, journal)
    assert len(journal.read_bytes().splitlines()) == 10


@pytest.mark.parametrize(
    "wrong",
    [{"patient": "patient-key"}, {"patient": "A" * 32}, {"at": AT.replace(tzinfo=None)},
     {"kind": "wish"}, {"source": "us"}],
)  # fmt: skip
def test_only_a_pseudonym_with_an_instant_is_a_refusal(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a refusal"):
        replace(REVOKED, **wrong)


def test_the_newest_of_the_warehouse_is_not_the_newest_of_all(
    store: Connection, journal: Path
) -> None:
    assert refusals.newest_of_warehouse(store) == {"revocation": None, "opt_out": None}
    later = replace(REVOKED, at=AT + timedelta(days=9))
    patients_own = replace(OPTED_OUT, at=AT + timedelta(days=9))
    record(store, journal, [later, patients_own, OTHERS[0], OTHERS[2]])
    assert refusals.newest_of_warehouse(store) == {"revocation": AT, "opt_out": AT}
