"""Summing: a report's lines, effects and curve, from the numbers that were told and nothing else.

Whoever reads report.told could work out every number here: none of them tells more (PRV-27).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date

from reengage.outcomes.cells import ARMS, HORIZONS
from reengage.outcomes.intervals import effect, wilson
from reengage.outcomes.survival import Followed, Point, curve
from reengage.outcomes.telling import ALL, Told


@dataclass(frozen=True)
class Line:
    """A line of report.outcome: one group of patients by one horizon. None = not told."""

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


def lines_of(told: Sequence[Told], arms: Sequence[str] = ARMS) -> list[Line]:
    """One line for everybody in an arm, and for each level that was ever told, by horizon."""
    keys = {(one.slice, one.level, one.arm) for one in told} | {(ALL, ALL, arm) for arm in arms}
    lines = []
    for slice_, level, arm in sorted(keys, key=lambda key: (key[0] != ALL, key)):
        mine = [one for one in told if (one.slice, one.level, one.arm) == (slice_, level, arm)]
        begun = {one.began: one.patients for one in mine}
        for horizon in HORIZONS:
            some = [one for one in mine if one.horizon_days == horizon]
            line = Line(slice_, level, arm, horizon)
            lines.append(_summed(line, some, sum(begun.values())) if some else line)
    return lines


def _summed(line: Line, told: Sequence[Told], enrolled: int) -> Line:
    mature, returned = _total(told, "patients"), _total(told, "returned")
    assert mature is not None and returned is not None  # noqa: S101, PT018 - never withheld alone
    line = replace(
        line,
        counted_on=max(one.told_on for one in told),
        enrolled=enrolled,
        mature=mature,
        returned=returned,
        written=_total(told, "written"),
        booked=_total(told, "booked"),
        kept=_total(told, "kept"),
    )
    if not mature:
        return line
    low, high = wilson(returned, mature)
    return replace(line, rate=returned / mature, rate_low=float(low), rate_high=float(high))


def _total(told: Iterable[Told], name: str) -> int | None:
    """None where it is not told of each."""
    values: list[int | None] = [getattr(one, name) for one in told]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def effects_of(told: Sequence[Told]) -> list[dict[str, object]]:
    """What writing did, by group and horizon: of the months in which both arms are told."""
    by_group: dict[tuple[str, str, int], dict[tuple[str, date, date], Told]] = {}
    for horizon in HORIZONS:
        by_group[ALL, ALL, horizon] = {}
    for one in told:
        if one.slice != "variant" and one.horizon_days in HORIZONS:
            key = (one.slice, one.level, one.horizon_days)
            by_group.setdefault(key, {})[one.arm, one.began, one.ended] = one
    return [
        {"slice": slice_, "level": level, "horizon_days": horizon} | _effect(months)
        for (slice_, level, horizon), months in sorted(by_group.items())
    ]


def _effect(months: dict[tuple[str, date, date], Told]) -> dict[str, object]:
    names = ("difference", "low", "high", "needed", "needed_low", "needed_high")
    pairs = [
        (one, months["holdout", began, ended])
        for (arm, began, ended), one in months.items()
        if arm == "write" and ("holdout", began, ended) in months
    ]
    found = effect(
        sum(write.returned for write, _ in pairs),
        sum(write.patients for write, _ in pairs),
        sum(held.returned for _, held in pairs),
        sum(held.patients for _, held in pairs),
    )
    if found is None:
        return dict.fromkeys(names) | {"verdict": "withheld"}
    needed = found.needed or (None, None, None)
    values = (found.difference, found.low, found.high, *needed)
    return dict(zip(names, values, strict=True)) | {"verdict": found.verdict}


def curve_of(told: Sequence[Told], arm: str) -> tuple[date | None, list[Point]]:
    """Time to return of everybody in an arm, and the day of the newest number in it."""
    mine = [one for one in told if (one.slice, one.arm) == (ALL, arm)]
    groups = [
        Followed(
            one.patients,
            {day.horizon_days: day.returned for day in mine if day.began == one.began},
        )
        for one in {row.began: row for row in mine}.values()
    ]
    return max((one.told_on for one in mine), default=None), curve(groups)
