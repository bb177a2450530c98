"""Cells: counts of follow-ups, and how they add up to what a report says of a group of patients.

A follow-up is counted when it is the first of its patient in the campaign. What became of it is
known by four horizons: within which of them the patient came back, booked, and kept an appointment.
Counted are only those whose horizon is over: who was written to last week is in no number yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass
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
    within: dict[Event, int]
    """Event -> place of the first horizon that it lies within, 1 to 4; 0 = none."""
    written: bool
    """Whether a letter left, or may have left."""
    patients: int


@dataclass(frozen=True)
class Counts:
    """A group of patients by one horizon: how many, and of how many of them each thing is so."""

    patients: int
    returned: int
    booked: int
    kept: int
    written: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


NOBODY = Counts(0, 0, 0, 0, 0)


def count(cells: Iterable[Cell], horizon: int) -> Counts:
    """The counts of these cells together within `horizon` days, one of HORIZONS."""
    place = HORIZONS.index(horizon) + 1
    patients = returned = booked = kept = written = 0
    for one in cells:
        within, n = one.within, one.patients
        patients += n
        returned += n if 0 < within["returned"] <= place else 0
        booked += n if 0 < within["booked"] <= place else 0
        kept += n if 0 < within["kept"] <= place else 0
        written += n if one.written else 0
    return Counts(patients, returned, booked, kept, written)


def by_level(cells: Iterable[Cell], place: int, horizon: int) -> dict[str, Counts]:
    """The counts of a slice, by its levels; `place` says which of the cells' levels is meant."""
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.levels[place], []).append(cell)
    return {level: count(mine, horizon) for level, mine in sorted(found.items())}
