"""Append: killed anywhere, by four at once, and as the role that may do nothing else (LOG-12)."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from made import Ledger, access, said_again
from reengage import store
from reengage.errors import LedgerError
from reengage.ledger import append as appending
from reengage.ledger.append import append, locked_head, read_head
from reengage.ledger.merkle import Frontier
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

APPEND = appending.__file__


def work(ledger: Ledger, number: int) -> None:
    """A task that changes a row of its own and records it, on a connection of its own."""
    engine = store.connect(ledger.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE outbox SET state = 'sent' WHERE id = :n"), {"n": number})
        append(connection, ledger.keyring, [access(str(number)), access(f"{number} again")])
    engine.dispose()


def killed(ledger: Ledger, number: int) -> bool:
    """Whether `work`, in a process of its own, was killed at its line of that number."""
    child = os.fork()
    if not child:
        seen = 0

        def at_line(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
            nonlocal seen
            if frame.f_code.co_filename not in (APPEND, __file__):
                return None
            seen += event == "line"
            if seen > number:
                os.kill(os.getpid(), signal.SIGKILL)
            return at_line

        try:
            sys.settrace(at_line)
            work(ledger, number)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.long
def test_killed_between_any_two_statements_state_and_record_stand_or_fall_together(
    ledger: Ledger,
) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(text("CREATE TABLE outbox (id int PRIMARY KEY, state text)"))
        connection.execute(text("INSERT INTO outbox SELECT n FROM generate_series(0, 999) n"))
    number = 0
    while killed(ledger, number):
        number += 1
    assert number > 30
    with ledger.engine.connect() as connection:
        sent = set(connection.scalars(text("SELECT id::text FROM outbox WHERE state = 'sent'")))
        recorded = list(
            connection.scalars(
                text("SELECT convert_from(entry, 'UTF8')::jsonb #>> '{body,of}' FROM ledger_entry")
            )
        )
        assert said_again(connection, ledger.checkpoints, ledger.keys) == []
    # Killed after its commit, and the one that was not killed.
    assert len(sent) > 1
    assert sorted(recorded) == sorted([*sent, *(f"{one} again" for one in sent)])
    assert ledger.verify().sound


def test_four_writers_at_once_leave_one_contiguous_ledger(ledger: Ledger) -> None:
    def write(writer: int) -> list[int]:
        taken: list[int] = []
        for batch in range(10):
            taken += ledger.append(*(access(f"{writer} {batch} {one}") for one in range(5)))
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(write, range(4)))
    assert sorted(chain.from_iterable(taken)) == list(range(200))
    assert all(own == sorted(own) for own in taken)
    verdict = ledger.verify()
    assert verdict.sound
    assert (verdict.size, verdict.clock_back) == (200, 0)


def test_what_is_rolled_back_was_never_appended(ledger: Ledger) -> None:
    ledger.append(access("kept"))
    with ledger.engine.connect() as connection:
        assert append(connection, ledger.keyring, [access("gone")]) == range(1, 2)
    assert ledger.append(access("kept, too")) == range(1, 2)
    assert ledger.append() == range(0)
    assert ledger.verify().size == 2


def test_the_tasks_role_appends_and_can_do_nothing_else(ledger: Ledger) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(text("SET LOCAL ROLE reengage_tasks"))
        append(connection, ledger.keyring, [access("a")])
        for statement in (
            "UPDATE ledger_entry SET entry = ''",
            "DELETE FROM ledger_entry",
            "TRUNCATE ledger_entry",
            "ALTER TABLE ledger_entry DISABLE TRIGGER ALL",
            "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_check",
            "DROP TRIGGER history_is_kept ON ledger_entry",
            "DROP TABLE ledger_entry",
            "DELETE FROM ledger_head",
            "TRUNCATE ledger_head",
            "INSERT INTO ledger_head VALUES (true, 'x', 0, '', NULL, '')",
            "DROP TABLE ledger_head",
            "SET LOCAL session_replication_role = replica",
        ):
            assert refused(connection, statement, "InsufficientPrivilege"), statement
        for statement in (
            "UPDATE ledger_head SET size = 0, peaks = ''",
            "UPDATE ledger_head SET origin = 'x', size = 9",
        ):
            assert refused(connection, statement, "RaiseException"), statement
    assert ledger.verify().sound


def test_triggers_stop_the_owners_mistakes(ledger: Ledger) -> None:
    ledger.append(access("a"))
    with ledger.engine.begin() as connection:
        for statement in (
            "UPDATE ledger_entry SET entry = entry",
            "DELETE FROM ledger_entry",
            "TRUNCATE ledger_entry",
            "UPDATE ledger_head SET size = size",
            "UPDATE ledger_head SET size = 0, peaks = '', mac = ''",
            "UPDATE ledger_head SET origin = 'x', size = 9",
            "DELETE FROM ledger_head",
            "TRUNCATE ledger_head",
        ):
            assert refused(connection, statement, "RaiseException"), statement
        for statement, error in (
            ("INSERT INTO ledger_entry VALUES (1, 'access', 'a', '\\x00', '{}')", "CheckViolation"),
            ("INSERT INTO ledger_entry SELECT -1, kind, subject, leaf, entry FROM ledger_entry",
             "CheckViolation"),
            ("INSERT INTO ledger_entry SELECT * FROM ledger_entry", "UniqueViolation"),
            ("INSERT INTO ledger_head VALUES (true, 'x', 0, '', NULL, '')", "UniqueViolation"),
            ("INSERT INTO ledger_head VALUES (false, 'x', 0, '', NULL, '')", "CheckViolation"),
        ):  # fmt: skip
            assert refused(connection, statement, error), statement
    assert ledger.verify().sound


def refused(connection: Connection, statement: str, error: str) -> bool:
    """Whether the database refuses it for that reason."""
    try:
        with connection.begin_nested():
            connection.execute(text(statement))
    except DBAPIError as found:
        return type(found.orig).__name__ == error
    return False


@pytest.mark.parametrize(
    "forged",
    [
        "mac = '\\x00'", "size = size + 2", "peaks = peaks || peaks", "recorded_at = now()",
        "recorded_at = NULL", "origin = 'reengage/another'",
    ],
)  # fmt: skip
def test_nothing_is_appended_to_a_head_that_no_writer_left(forged: str, ledger: Ledger) -> None:
    ledger.append(access("a"))
    with ledger.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"UPDATE ledger_head SET {forged}"))
    for use in (
        lambda connection: append(connection, ledger.keyring, [access("b")]),
        lambda connection: read_head(connection, ledger.keyring),
        lambda connection: locked_head(connection, ledger.keyring),
    ):
        with (
            ledger.engine.connect() as connection,
            pytest.raises(LedgerError, match=r"head of the ledger .* is not what its writers left"),
        ):
            use(connection)
    assert len(ledger.rows()) == 1


def test_another_keyrings_writer_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(access("a"))
    stranger = Ledger.create(ledger.url, tmp_path / "others")
    with pytest.raises(LedgerError, match="not what its writers left"):
        stranger.append(access("b"))
    stranger.engine.dispose()


def test_the_head_is_what_was_appended(ledger: Ledger) -> None:
    ledger.append(access("a"))
    ledger.append(access("b"), access("c"))
    with ledger.engine.connect() as connection:
        head = read_head(connection, ledger.keyring)
    leaves = [bytes(leaf) for _, _, _, leaf, _ in ledger.rows()]
    assert head.frontier == Frontier().extended(leaves)
