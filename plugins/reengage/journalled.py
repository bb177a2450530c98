"""Journalled: what a store follows in a journal, by a mark of how far it came.

One order for all: who commits has applied every line that was written before their own, under the
mark's lock. A store restored from a backup has an older mark, and gets everything since (SEC-08).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Generic, TypeVar

from sqlalchemy import Connection, text

from reengage.errors import StoreError
from reengage.journal import Journal, Mark

T = TypeVar("T")


@dataclass(frozen=True)
class Journalled(Generic[T]):
    """One kind of thing that is in a journal before it is in the store."""

    noun: str
    """`refusal`: what a line is."""
    table: str
    """Of the mark."""
    from_line: Callable[[bytes], T]
    """Raises ValueError, KeyError, TypeError or AttributeError for a line that is none."""
    put: Callable[[Connection, Sequence[T]], int]
    """Inserts what the store does not have; gives how many that were."""
    batch: Callable[[], int]
    """How many are read and written at once."""
    begin: Callable[[Connection, Journal], None] | None = None
    """What fills a journal that has nothing yet, from a store that has applied nothing."""

    def mark(self, connection: Connection, *, lock: bool = False) -> Mark:
        """How much of the journal the store has; with a lock, nobody moves it until the commit."""
        found = connection.execute(
            text(f"SELECT applied, tail FROM {self.table} {'FOR UPDATE' if lock else ''}")  # noqa: S608
        ).one()
        return Mark(found.applied, found.tail)

    def replay(self, connection: Connection, journal: Journal) -> int:
        """Give the store what the journal has beyond its mark; gives how many it did not know.

        A look at one row and one file when there is nothing to do. Raises StoreError when the
        journal was lost or replaced, or has a line that is none.
        """
        mark = self.mark(connection)
        if journal.size() == mark.applied and (mark.applied or self.begin is None):
            journal.require(mark)
            return 0
        return self.catch_up(connection, journal)

    def catch_up(self, connection: Connection, journal: Journal) -> int:
        """The same under the mark's lock, which is held until the commit."""
        mark = self.mark(connection, lock=True)
        if self.begin is not None and mark == Mark() and not journal.size():
            self.begin(connection, journal)
        return self.apply(connection, journal, mark)

    def apply(self, connection: Connection, journal: Journal, mark: Mark) -> int:
        """Put all lines beyond `mark` into the store, and move its mark."""
        learnt, end = 0, mark.applied
        for lines in batches(journal.beyond(mark), self.batch()):
            learnt += self.put(connection, [self._read(journal, *line) for line in lines])
            end = lines[-1][1]
        if end != mark.applied:
            connection.execute(
                text(f"UPDATE {self.table} SET applied = :applied, tail = :tail"),  # noqa: S608
                asdict(journal.mark(end)),
            )
        return learnt

    def _read(self, journal: Journal, line: bytes, end: int) -> T:
        try:
            return self.from_line(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            number = journal.line_number(end)
        raise StoreError(
            f"{journal.path}:{number}: this line of the journal of {self.noun}s is no {self.noun},"
            " and nothing is sent until it is; restore the file from its newest copy"
        )


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most `size`."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
