"""Telling: the numbers of a day, less what may not be told, beside those told before.

A unit is one slice in one arm: its numbers are told together or not at all, and where they may not
follow those told before, those stand, with the day on which they were counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

from reengage.outcomes.cells import EVENTS, HORIZONS, Cell, Event, Group, Mature, by_level, group_of
from reengage.outcomes.counting import SLICES
from reengage.outcomes.intervals import wilson
from reengage.outcomes.suppression import (
    NOTHING,
    Counted,
    Told,
    choose,
    horizons_of,
    may_follow,
    told_of_all,
)

ALL = "all"


@dataclass(frozen=True)
class Line:
    """A line of report.outcome: one group of patients by one horizon. None = withheld."""

    slice: str
    level: str
    arm: str
    horizon_days: int
    counted_on: date | None = None
    enrolled: int | None = None
    written: int | None = None
    mature: int | None = None
    returned: int | None = None
    booked: int | None = None
    kept: int | None = None
    rate: float | None = None
    rate_low: float | None = None
    rate_high: float | None = None

    def fields(self) -> dict[str, object]:
        """By column."""
        return asdict(self)


@dataclass(frozen=True)
class Before:
    """What was told last, and what was told of everybody on the days on which it was counted."""

    lines: Sequence[Line]
    totals: Mapping[tuple[str, date], Sequence[Line]]
    """Arm and day -> the lines of everybody."""

    def unit(self, slice_: str, arm: str) -> list[Line]:
        """The lines of a slice in an arm."""
        return [one for one in self.lines if (one.slice, one.arm) == (slice_, arm)]


NEVER = Before((), {})


def tell(cells: Sequence[Cell], arm: str, day: date, before: Before) -> list[Line]:
    """The lines of an arm on a day: everybody's first, then slice by slice."""
    mine = [cell for cell in cells if cell.arm == arm]
    total = group_of(mine)
    everybody = Counted({ALL: total}, total, told_of_all(ALL, total))
    lines = _unit(everybody, ALL, arm, day, before)
    counted_today = any(one.counted_on == day for one in lines)
    for place, slice_ in enumerate(SLICES):
        levels = by_level(mine, place)
        if slice_ == "variant" and not levels.keys() - {"none"}:
            continue
        told = choose(levels, total, horizons_of(total)) if counted_today else NOTHING
        lines += _unit(Counted(levels, total, told), slice_, arm, day, before)
    return lines


def _unit(new: Counted, slice_: str, arm: str, day: date, before: Before) -> list[Line]:
    """The unit's new lines where they may follow the old ones, else those."""
    old_lines = before.unit(slice_, arm)
    old = _counted(old_lines, before, arm)
    if old is None:
        return _lines(new, slice_, arm, day)
    if new.told == NOTHING or not may_follow(new, old):
        return old_lines
    return _lines(new, slice_, arm, day)


def _lines(counted: Counted, slice_: str, arm: str, day: date) -> list[Line]:
    lines = []
    for level, group in sorted(counted.levels.items()):
        for place, horizon in enumerate(HORIZONS):
            line = Line(slice_, level, arm, horizon)
            if level in counted.told.levels and place < counted.told.horizons:
                line = _told(line, group, place, counted.told, day)
            lines.append(line)
    return lines


def _told(line: Line, group: Group, place: int, told: Told, day: date) -> Line:
    mature = group.horizons[place]
    returned = mature.events["returned"]
    columns: dict[str, int] = {
        event: mature.events[event] for event in EVENTS[1:] if event in told.columns
    }
    if "written" in told.columns:
        columns["written"] = group.written
    line = replace(
        line,
        counted_on=day,
        enrolled=group.enrolled,
        mature=mature.patients,
        returned=returned,
        **columns,  # type: ignore[arg-type]
    )
    if not mature.patients:
        return line
    low, high = wilson(returned, mature.patients)
    rate = returned / mature.patients
    return replace(line, rate=rate, rate_low=float(low), rate_high=float(high))


def _counted(lines: Sequence[Line], before: Before, arm: str) -> Counted | None:
    """What lines tell, as numbers; None where they tell nothing."""
    told = [one for one in lines if one.counted_on is not None]
    if not told:
        return None
    levels = sorted({one.level for one in told})
    horizons = len({one.horizon_days for one in told})
    columns = {
        name
        for name in ("written", "booked", "kept")
        if all(getattr(one, name) is not None for one in told)
    }
    counted_on = told[0].counted_on
    groups = {level: _group([one for one in told if one.level == level]) for level in levels}
    everybody = before.totals.get((arm, counted_on)) if counted_on else None
    total = _group([one for one in everybody or () if one.counted_on is not None])
    return Counted(groups, total, Told(frozenset(levels), horizons, frozenset(columns)))


def _group(lines: Sequence[Line]) -> Group:
    """A group by the horizons that are told of it; what is not told is 0, and is not looked at."""
    by_horizon = {one.horizon_days: one for one in lines}
    horizons = []
    for days in HORIZONS:
        line = by_horizon.get(days)
        events: dict[Event, int] = {
            event: (getattr(line, event) or 0) if line else 0 for event in EVENTS
        }
        horizons.append(Mature((line.mature or 0) if line else 0, events))
    first = lines[0] if lines else None
    return Group(
        (first.enrolled or 0) if first else 0,
        (first.written or 0) if first else 0,
        tuple(horizons),
    )
