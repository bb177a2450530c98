"""Cells: counts of follow-ups, and how they add up to what a report says of a group of patients.

A follow-up is counted when it is the first of its patient in the campaign within its days. Its
state is known by four horizons: which of them are over (`mature`), and within which of them the
patient came back, booked, and kept an appointment. A horizon that is not over yet says nothing: who
was written to last week is not counted among those who did not return in a month.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

HORIZONS = (30, 60, 90, 180)
"""Days of 24 hours after a follow-up began."""

ARMS = ("write", "holdout")

Event = Literal["returned", "booked", "kept"]
EVENTS: tuple[Event, ...] = ("returned", "booked", "kept")


@dataclass(frozen=True)
class Cell:
    """Follow-ups that are alike in all that a report tells of them."""

    arm: str
    levels: tuple[str, ...]
    """One for each of a report's slices."""
    mature: int
    """How many horizons are over, 0 to 4."""
    within: dict[Event, int]
    """Event -> place of the first horizon that it lies within, 1 to 4; 0 = none, so far."""
    written: bool
    """Whether a letter left, or may have left."""
    patients: int


@dataclass(frozen=True)
class Mature:
    """Those whose horizon is over, and of how many of them each event lies within it."""

    patients: int
    events: dict[Event, int]


@dataclass(frozen=True)
class Group:
    """A group of patients, in the counts that a report tells of it."""

    enrolled: int
    written: int
    horizons: tuple[Mature, ...]
    """One for each of HORIZONS, in order."""

    def __sub__(self, other: Group) -> Group:
        return Group(
            self.enrolled - other.enrolled,
            self.written - other.written,
            tuple(
                Mature(
                    a.patients - b.patients, {one: a.events[one] - b.events[one] for one in EVENTS}
                )
                for a, b in zip(self.horizons, other.horizons, strict=True)
            ),
        )


def group_of(cells: Iterable[Cell]) -> Group:
    """The counts of these cells together."""
    some = list(cells)
    return Group(
        sum(cell.patients for cell in some),
        sum(cell.patients for cell in some if cell.written),
        tuple(_mature(some, place) for place in range(1, len(HORIZONS) + 1)),
    )


def by_level(cells: Sequence[Cell], place: int) -> dict[str, Group]:
    """The groups of a slice, by its levels; `place` says which of the cells' levels is meant."""
    levels = sorted({cell.levels[place] for cell in cells})
    return {
        level: group_of(cell for cell in cells if cell.levels[place] == level) for level in levels
    }


def _mature(cells: Sequence[Cell], place: int) -> Mature:
    over = [cell for cell in cells if cell.mature >= place]
    return Mature(
        sum(cell.patients for cell in over),
        {
            event: sum(cell.patients for cell in over if 0 < cell.within[event] <= place)
            for event in EVENTS
        },
    )
