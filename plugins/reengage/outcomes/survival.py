"""Survival: the share of patients who have come back, day by day (Kaplan and Meier 1958).

Of each group it is told how many came back by which days, until the last that is over for it; who
has not come back by then leaves the estimate on that day without being counted as lost. Who died
stays among those who did not return: a curve that left them out would tell how many they are.
Computed by lifelines, with Greenwood's variance on the log-log scale; a test holds it against
scipy. On the days that are told the estimate is that of all single days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan


@dataclass(frozen=True)
class Followed:
    """A group of patients, and how many of them had come back within so many days."""

    patients: int
    returned: Mapping[int, int]


@dataclass(frozen=True)
class Point:
    """The share of patients who came back within `day` days."""

    day: int
    returned: float
    low: float
    high: float


def curve(groups: Sequence[Followed]) -> list[Point]:
    """The curve on the days that are told of every group that was followed for so long."""
    some = [one for one in groups if one.patients and one.returned]
    days = sorted(
        day
        for day in {day for one in some for day in one.returned}
        if all(day in one.returned for one in some if day <= max(one.returned))
    )
    return _estimated(some, days) if days else []


def _estimated(groups: Sequence[Followed], days: Sequence[int]) -> list[Point]:
    from lifelines import KaplanMeierFitter  # brings matplotlib, which only this task needs

    lasted: list[tuple[int, bool, int]] = []
    for one in groups:
        mine = [0, *(day for day in days if day <= max(one.returned))]
        back = {0: 0, **one.returned}
        lasted += [(day, True, back[day] - back[before]) for before, day in pairwise(mine)]
        lasted.append((mine[-1], False, one.patients - back[mine[-1]]))
    some = [one for one in lasted if one[2] > 0]
    fitter = KaplanMeierFitter(alpha=0.05).fit(
        [day for day, _, _ in some],
        [came_back for _, came_back, _ in some],
        weights=[patients for _, _, patients in some],
    )
    at = fitter.survival_function_.index.searchsorted(list(days), side="right") - 1
    away = fitter.survival_function_.iloc[at, 0]
    bounds = fitter.confidence_interval_survival_function_.iloc[at]
    return [
        Point(day, float(1 - share), _or(1 - high, 1 - share), _or(1 - low, 1 - share))
        for day, share, (low, high) in zip(days, away, bounds.to_numpy(), strict=True)
    ]


def _or(bound: float, share: float) -> float:
    """The bound, or the share where it has none: before the first event, after the last."""
    return float(share) if isnan(bound) else float(bound)
