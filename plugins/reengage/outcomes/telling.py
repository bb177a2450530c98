"""Telling: what of a campaign's year is told, each number once and for good (ADR 0043).

A group is the follow-ups that began in some months of the year, one after another. Its horizon is
counted when it is over for all of them, and told then or never: no number is told again when a few
patients more are known of, so that no two days' reports differ by a few patients. What is not clear
when its first horizon is over waits for the next month, and is one group with it.

Every report is added up from what is told here (summing.py), and from nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, time, timedelta

from reengage.outcomes.cells import ARMS, HORIZONS, NOBODY, Cell, Counts, by_level, count
from reengage.outcomes.counting import SLICES, Days
from reengage.outcomes.suppression import (
    COLUMNS,
    SMALL,
    Column,
    Part,
    choose,
    choose_columns,
    is_clear,
)

ALL = "all"
GRID = tuple(range(7, HORIZONS[-1], 7))
"""Days on which the curve may be told, the horizons besides."""


@dataclass(frozen=True)
class Told:
    """A row of report.told: what was told of a group's level in an arm. None = not told.

    Days between two horizons are those of the curve, of everybody in an arm.
    """

    cohort: int
    began: date
    """First day of the group's first month, UTC."""
    ended: date
    """First day of the month after its last."""
    slice: str
    level: str
    arm: str
    horizon_days: int
    told_on: date
    patients: int
    returned: int
    booked: int | None = None
    kept: int | None = None
    written: int | None = None

    @property
    def columns(self) -> frozenset[Column]:
        """Those that are told."""
        return frozenset(name for name in COLUMNS if getattr(self, name) is not None)

    @property
    def counts(self) -> Counts:
        """As counts; what is not told is 0, and is not looked at."""
        return Counts(
            self.patients, self.returned, self.booked or 0, self.kept or 0, self.written or 0
        )


TOLD_COLUMNS = tuple(one.name for one in fields(Told))


@dataclass(frozen=True, order=True)
class Due:
    """A horizon that is over for everybody whose follow-up began before `ended`."""

    at: datetime
    horizon: int
    ended: date


def due(cohort: int, after: datetime | None, until: datetime) -> list[Due]:
    """What has become due of a year's months, in the order of time: later than `after`."""
    found = []
    for month in range(1, 13):
        ended = date(cohort + month // 12, month % 12 + 1, 1)
        for horizon in HORIZONS:
            at = datetime.combine(ended, time(), UTC) + timedelta(days=horizon)
            if at <= until and (after is None or at > after):
                found.append(Due(at, horizon, ended))
    return sorted(found)


@dataclass
class Telling:
    """What is told of a campaign's year, and what a day adds to it."""

    cohort: int
    day: date
    told: list[Told]
    cells: Callable[[date, date], Sequence[Cell]]
    """The follow-ups that began from the first day on and before the second."""
    days: Callable[[date, date], Days]
    new: list[Told] = field(default_factory=list)

    def tell(self, one: Due) -> None:
        """Tell what may be told of a horizon that is over; everybody first, then by slice."""
        for slice_ in (ALL, *SLICES):
            began = self._began(slice_, one)
            if began is None:
                continue
            found = {arm: self._rows(slice_, arm, began, one) for arm in ARMS}
            opens = not self._groups(slice_, one.ended)
            waits = any(rows == [] for rows in found.values())
            if opens and waits and not self._is_last(one.ended):
                continue  # both arms are told of the same patients, or wait for more of them
            for rows in found.values():
                self.new += rows or []
                self.told += rows or []

    def _is_last(self, ended: date) -> bool:
        return ended.year > self.cohort

    def _groups(self, slice_: str, ended: date | None = None) -> set[tuple[date, date]]:
        return {
            (one.began, one.ended)
            for one in self.told
            if one.slice == slice_ and ended in (None, one.ended)
        }

    def _began(self, slice_: str, one: Due) -> date | None:
        """The beginning of the group that ends there; a new one begins where the last has ended."""
        if known := self._groups(slice_, one.ended):
            return max(known)[0]
        last = max((ended for _, ended in self._groups(slice_)), default=date(self.cohort, 1, 1))
        opens = one.horizon == HORIZONS[0] or self._is_last(one.ended)
        return last if opens and last < one.ended else None

    def _rows(self, slice_: str, arm: str, began: date, one: Due) -> list[Told] | None:
        """What is told of a group in an arm, maybe nothing; None where nobody is in it."""
        cells = [cell for cell in self.cells(began, one.ended) if cell.arm == arm]
        if not cells or (slice_ == "variant" and arm == "holdout"):
            return None
        if slice_ != ALL and not self._everybody_is_told(arm, began, one):
            return []
        now = self._levels(slice_, cells, one.horizon)
        total = count(cells, one.horizon)
        last = self._last(slice_, arm, began, one)
        if last:
            before = {old.level: old.counts for old in last}
            levels = {name: Part(now.get(name, NOBODY), counts) for name, counts in before.items()}
            whole = Part(total, self._everybody(arm, began, one.ended, last[0].horizon_days))
            candidates = frozenset.intersection(*(old.columns for old in last))
        else:
            levels, whole = {name: Part(counts) for name, counts in now.items()}, Part(total)
            candidates = frozenset(COLUMNS)
        if slice_ != ALL:  # whose levels together are everybody
            everybody = self._all(arm, began, one.ended, one.horizon)
            candidates = candidates.intersection(*(row.columns for row in everybody))
        told = choose(levels, whole)
        if not told:
            return []
        columns = choose_columns(levels, whole, told, candidates)
        rows = [
            self._row(slice_, name, arm, began, one, levels[name].now, columns)
            for name in sorted(told)
        ]
        if slice_ == ALL:
            rows += self._curve(arm, began, one, last[0] if last else None, rows[0])
        return rows

    def _levels(self, slice_: str, cells: Sequence[Cell], horizon: int) -> dict[str, Counts]:
        if slice_ == ALL:
            return {ALL: count(cells, horizon)}
        found = by_level(cells, SLICES.index(slice_), horizon)
        return {} if slice_ == "variant" and not found.keys() - {"none"} else found

    def _row(
        self, slice_: str, level: str, arm: str, began: date, one: Due, counts: Counts,
        columns: frozenset[Column],
    ) -> Told:  # fmt: skip
        more = {name: getattr(counts, name) for name in columns}
        return Told(
            self.cohort, began, one.ended, slice_, level, arm, one.horizon, self.day,
            counts.patients, counts.returned, **more,
        )  # fmt: skip

    def _last(self, slice_: str, arm: str, began: date, one: Due) -> list[Told]:
        """What was told of the group at the last horizon before this one, by level."""
        rows = [
            old for old in self.told
            if (old.slice, old.arm, old.began, old.ended) == (slice_, arm, began, one.ended)
            and old.horizon_days in HORIZONS
        ]  # fmt: skip
        last = max((old.horizon_days for old in rows), default=0)
        return [old for old in rows if old.horizon_days == last]

    def _everybody_is_told(self, arm: str, began: date, one: Due) -> bool:
        """Whether that horizon is told of all groups of everybody that this one is made of."""
        within = {
            group for group in self._groups(ALL) if began <= group[0] and group[1] <= one.ended
        }
        told = {(old.began, old.ended) for old in self._all(arm, began, one.ended, one.horizon)}
        return bool(within) and within == told

    def _everybody(self, arm: str, began: date, ended: date, horizon: int) -> Counts:
        return sum((old.counts for old in self._all(arm, began, ended, horizon)), NOBODY)

    def _all(self, arm: str, began: date, ended: date, horizon: int) -> list[Told]:
        return [
            old for old in self.told
            if (old.slice, old.arm, old.horizon_days) == (ALL, arm, horizon)
            and began <= old.began and old.ended <= ended
        ]  # fmt: skip

    def _curve(
        self, arm: str, began: date, one: Due, last: Told | None, end: Told
    ) -> list[Told]:  # fmt: skip
        """Days between the horizon told before and this one: more columns of everybody's table."""
        found = self.days(began, one.ended)
        since, back = (last.horizon_days, last.returned) if last else (0, 0)
        rows: list[Told] = []
        for day in (day for day in GRID if since < day < one.horizon):
            now = sum(n for (of, on), n in found.items() if of == arm and on < day)
            left = end.returned - now
            if now - back > SMALL and left >= 0 and is_clear(left):
                rows.append(
                    replace(
                        end, horizon_days=day, returned=now, booked=None, kept=None, written=None
                    )
                )
                back = now
        return rows
