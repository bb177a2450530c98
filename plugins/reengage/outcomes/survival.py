"""Survival: the share of patients who have come back, day by day (Kaplan and Meier 1958).

Who has not come back yet, has died, or whose days are over leaves the estimate on that day without
being counted as lost. Computed by lifelines, with Greenwood's variance on the log-log scale; a
test holds it against scipy. Told on few days only, so that between two of them no patient or more
than 10 came back (PRV-27).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan

from reengage.outcomes.cells import HORIZONS
from reengage.outcomes.suppression import SMALL, is_clear

DAYS = HORIZONS[-1]
GRID = tuple(sorted({*range(7, DAYS, 7), *HORIZONS}))
"""Days on which the curve may be told."""


@dataclass(frozen=True)
class Lasted:
    """So many patients came back on that day, 0 to 179, or were seen for so long and did not."""

    day: int
    came_back: bool
    patients: int


@dataclass(frozen=True)
class Point:
    """The share of patients who came back within `day` days."""

    day: int
    returned: float
    low: float
    high: float


def curve(lasted: Iterable[Lasted], horizons: int) -> list[Point]:
    """The curve on the days on which it may be told, up to the longest of the told horizons.

    A horizon is told where the report tells its counts; a day between two of them where no patient
    or more than 10 came back since the day before it that is told, and until the horizon after it.
    """
    some = [one for one in lasted if one.patients]
    days = _days(some, HORIZONS[:horizons])
    if not days:
        return []
    return _estimated(some, days)


def _days(lasted: Sequence[Lasted], horizons: Sequence[int]) -> list[int]:
    """Days to tell: up to day d counts who came back within d days of 24 hours."""

    def back(after: int, until: int) -> int:
        return sum(one.patients for one in lasted if one.came_back and after <= one.day < until)

    def left(day: int) -> int:
        return sum(one.patients for one in lasted if one.day >= day)

    told: list[int] = []
    last = 0
    for horizon in horizons:
        for day in GRID:
            if last < day < horizon and back(last, day) > SMALL and is_clear(back(day, horizon)):
                told.append(day)
                last = day
        told.append(horizon)
        last = horizon
    return [day for day in told if left(day) > SMALL]


def _estimated(lasted: Sequence[Lasted], days: Sequence[int]) -> list[Point]:
    from lifelines import KaplanMeierFitter  # brings matplotlib, which only this task needs

    fitter = KaplanMeierFitter(alpha=0.05).fit(
        [one.day for one in lasted],
        [one.came_back for one in lasted],
        weights=[one.patients for one in lasted],
    )
    # Of days 0 to d-1: the estimate at d-1 is after the events of that day.
    at = fitter.survival_function_.index.searchsorted([day - 1 for day in days], side="right") - 1
    away = fitter.survival_function_.iloc[at, 0]
    bounds = fitter.confidence_interval_survival_function_.iloc[at]
    return [
        Point(day, float(1 - share), _or(1 - high, 1 - share), _or(1 - low, 1 - share))
        for day, share, (low, high) in zip(days, away, bounds.to_numpy(), strict=True)
    ]


def _or(bound: float, share: float) -> float:
    """The bound, or the share where it has none: before the first event, after the last."""
    return float(share) if isnan(bound) else float(bound)
