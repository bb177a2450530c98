"""Survival: the share of patients who have come back, day by day (Kaplan and Meier 1958).

Who has not come back yet, has died, or whose days are over leaves the estimate on that day without
being counted as lost. Computed by scipy, with Greenwood's variance on the log-log scale; a test
holds it against lifelines. Told on few days only, so that between two of them no patient or more
than 10 came back (PRV-27).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import CensoredData, ecdf

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
    came = np.repeat(
        [one.day for one in lasted if one.came_back],
        [one.patients for one in lasted if one.came_back],
    )
    seen = np.repeat(
        [one.day for one in lasted if not one.came_back],
        [one.patients for one in lasted if not one.came_back],
    )
    if not came.size:
        return [Point(day, 0.0, 0.0, 0.0) for day in days]
    away = ecdf(CensoredData(uncensored=came, right=seen)).sf
    with warnings.catch_warnings():  # where everybody is at risk the interval is a point
        warnings.simplefilter("ignore", RuntimeWarning)
        bounds = away.confidence_interval(confidence_level=0.95, method="log-log")
    points = []
    for day in days:
        # Of days 0 to d-1: scipy's function at d-1 is after the events of that day.
        share, low, high = (
            float(1 - np.atleast_1d(one.evaluate(day - 1))[0])
            for one in (away, bounds.high, bounds.low)
        )
        points.append(
            Point(day, share, share if np.isnan(low) else low, share if np.isnan(high) else high)
        )
    return points
