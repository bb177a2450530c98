"""Reading: the ledger's rows in order, block by block, in a memory that does not grow with it.

A ledger without gaps comes as one array for each column and block, which the driver takes apart at
several times the speed of single rows; one whose indices are not 0, 1, 2 ... comes row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

BLOCK = 256
"""Entries of a block: a power of two, so that its leaves are a perfect subtree."""
LEAVES = 8192
"""Leaf hashes of a block."""

_COLUMNS = {"index": "int8", "kind": "text", "subject": "text", "leaf": "bytea", "entry": "bytea"}


@dataclass(frozen=True)
class Block:
    """Rows of the table, column by column; whatever somebody wrote there, NULL included."""

    indices: Sequence[int | None]
    kinds: Sequence[str | None]
    subjects: Sequence[str | None]
    leaves: Sequence[bytes | None]
    entries: Sequence[bytes | None]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The same, row by row."""
        return zip(self.indices, self.kinds, self.subjects, self.leaves, self.entries, strict=True)


def blocks(connection: Connection) -> Iterator[Block]:
    """All rows in the order of their index. No other statement may run until it ends."""
    count, last, contiguous = connection.execute(
        text(
            "SELECT count(*), max(index), count(index) = count(*) AND min(index) = 0"
            " AND max(index) = count(*) - 1 FROM ledger_entry"
        )
    ).one()
    if count and contiguous:
        found = _copied(connection, _arrays(_COLUMNS, 0, last + 1, BLOCK), [
            f"{type_}[]" for type_ in _COLUMNS.values()
        ])  # fmt: skip
        return (Block(*columns) for columns in found)
    rows = _copied(
        connection,
        f"SELECT {', '.join(_COLUMNS)} FROM ledger_entry ORDER BY index, entry",  # noqa: S608
        list(_COLUMNS.values()),
    )
    return (Block(*map(list, zip(*some, strict=True))) for some in _batched(rows))


def leaf_hashes(connection: Connection, first: int, end: int) -> Iterator[list[bytes]]:
    """The leaf hashes that the table has from index `first` to `end` - 1, in lists, in order."""
    if first >= end:
        return iter(())
    statement = _arrays({"leaf": "bytea"}, first, end, LEAVES)
    found = _copied(connection, statement, ["bytea[]"])
    return (list(leaves) for (leaves,) in found if leaves is not None)


def _arrays(columns: Iterable[str], first: int, end: int, step: int) -> str:
    """One row of arrays for each `step` of indices. COPY takes no parameters: integers only."""
    arrays = ", ".join(f"array_agg({name})" for name in columns)
    return (
        f"SELECT block.* FROM generate_series({int(first)}, {int(end) - 1}, {int(step)}) AS low,"  # noqa: S608
        f" LATERAL (SELECT {arrays} FROM (SELECT * FROM ledger_entry WHERE index >= low"
        f" AND index < least(low + {int(step)}, {int(end)}) ORDER BY index) AS part) AS block"
    )


def _copied(connection: Connection, statement: str, types: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows as the server sends them on, while the ones before are worked on."""
    driver: Any = connection.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(f"COPY ({statement}) TO STDOUT (FORMAT binary)") as copy,
    ):
        copy.set_types(types)
        yield from copy.rows()


def _batched(rows: Iterator[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    while some := list(islice(rows, BLOCK)):
        yield some
