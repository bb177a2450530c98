"""Suppression: which counts may be told, so that no small one can be worked out (PRV-27).

A count of 1 to 10 patients is never told, and none that could be worked out from what is told. What
makes that easy to believe is that nothing is told twice (telling.py): each patient is in one group,
whose horizons are each counted once, when they are over for all of it. So only this is to be seen
to, within a group, for everybody and for each slice by itself:

- its levels, and all that are not told together (`rest`), are the rows of a table; the horizons,
  from one that was told to the next, are its columns; who did not return is the last column. Every
  margin of that table is zero or more than 10 (`clear`);
- rows only ever merge from one horizon to the next: a level that is not told joins the rest.

In a table of counts with known margins an entry can be anything between max(0, row + column - all)
and min(row, column). The width of that span is the row, the column, or what is left of all without
either: each a sum of clear margins, hence none, when the entry is itself a margin, or more than 10.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from reengage.outcomes.cells import Counts

SMALL = 10
"""The largest count that is not told, zero apart (CMS cell-size policy)."""

Column = Literal["booked", "kept", "written"]
COLUMNS: tuple[Column, ...] = ("booked", "kept", "written")
"""Told beside `patients` and `returned`, where they may be."""


@dataclass(frozen=True)
class Part:
    """A group of patients by a horizon, and by the last one that was told of it."""

    now: Counts
    before: Counts | None = None

    def __sub__(self, other: Part) -> Part:
        both = self.before and other.before
        before = self.before - other.before if both and self.before and other.before else None
        return Part(self.now - other.now, before)


def is_clear(count: int) -> bool:
    """Whether a count may be told."""
    return count == 0 or count > SMALL


def clear(part: Part, columns: Collection[Column] = ()) -> bool:
    """Whether a group's counts may be told: each, what each leaves, and what is new of each."""
    now = part.now
    counts = [now.patients, *_margins(now, columns)]
    if part.before is not None:
        was = [part.before.patients, *_margins(part.before, columns)]
        counts += [one - old for one, old in zip(counts, was, strict=True)]
    return all(is_clear(abs(one)) for one in counts)


def _margins(counts: Counts, columns: Collection[Column]) -> list[int]:
    """Of each column those who have it and those who have not; and kept, of returned and booked:
    who kept an appointment was there, and had one.
    """
    found = [counts.returned, counts.patients - counts.returned]
    for column in COLUMNS:
        if column in columns:
            found += [getattr(counts, column), counts.patients - getattr(counts, column)]
    if "kept" in columns:
        found += [counts.returned - counts.kept]
        if "booked" in columns:  # which is 0 for reminders, whose patients all have one
            found += [max(0, counts.booked - counts.kept)]
    return found


def choose(levels: Mapping[str, Part], total: Part) -> frozenset[str]:
    """The levels to tell: all that are clear, less the smallest until the others together are.

    `levels`: those that may be told; who is in none of them is in the total.
    """
    told = {name for name, part in levels.items() if clear(part)}
    by_size = sorted(told, key=lambda name: (levels[name].now.patients, name))
    for name in by_size:
        if clear(_rest(levels, total, told)):
            break
        told.discard(name)
    return frozenset(told)


def choose_columns(
    levels: Mapping[str, Part], total: Part, told: Collection[str], candidates: Collection[Column]
) -> frozenset[Column]:
    """The columns that may be told of each of these levels and of the others together."""
    parts = [*(levels[name] for name in told), _rest(levels, total, told)]
    found: list[Column] = []
    for column in COLUMNS:
        if column in candidates and all(clear(part, [*found, column]) for part in parts):
            found.append(column)
    return frozenset(found)


def _rest(levels: Mapping[str, Part], total: Part, told: Collection[str]) -> Part:
    for name in told:
        total = total - levels[name]
    return total
