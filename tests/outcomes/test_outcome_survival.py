"""Time to return: as another library estimates it, too, and told on days that give nobody away."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from reengage.outcomes.suppression import is_clear
from reengage.outcomes.survival import GRID, Lasted, Point, curve
from scipy.stats import CensoredData, ecdf


def drawn(seed: int, size: int) -> list[Lasted]:
    rng = np.random.default_rng(seed)
    counts: dict[tuple[int, bool], int] = {}
    for _ in range(size):
        back, seen = int(rng.exponential(250)), int(rng.integers(0, 181))
        key = (min(back, seen), back < seen)
        counts[key] = counts.get(key, 0) + 1
    return [Lasted(day, came, n) for (day, came), n in sorted(counts.items())]


def test_it_is_what_scipy_estimates() -> None:
    some = drawn(1, 3000)
    days = {came: [one.day for one in some if one.came_back is came for _ in range(one.patients)]
            for came in (True, False)}  # fmt: skip
    away = ecdf(CensoredData(uncensored=days[True], right=days[False])).sf
    bounds = away.confidence_interval(0.95, method="log-log")
    told = curve(some, 4)
    assert len(told) > 10
    for point in told:
        expected = [
            float(1 - one.evaluate([point.day - 1])[0]) for one in (away, bounds.high, bounds.low)
        ]
        assert (point.returned, point.low, point.high) == pytest.approx(expected, abs=1e-9)


def test_who_left_early_is_not_counted_as_one_who_did_not_return() -> None:
    # Of 100, 20 came back on day 10, 40 were seen for 40 days, 20 of the other 40 came on day 50.
    some = [
        Lasted(10, True, 20),
        Lasted(40, False, 40),
        Lasted(50, True, 20),
        Lasted(180, False, 20),
    ]
    told = {point.day: point.returned for point in curve(some, 4)}
    assert told[30] == pytest.approx(0.2)
    assert told[60] == pytest.approx(1 - 0.8 * 0.5)
    assert told[180] == told[60]


def test_without_a_return_the_share_is_nothing_on_every_day() -> None:
    told = curve([Lasted(180, False, 50)], 4)
    assert {(one.returned, one.low, one.high) for one in told} == {(0.0, 0.0, 0.0)}
    assert curve([], 4) == []
    assert curve([Lasted(180, False, 50)], 0) == []


@pytest.mark.parametrize(("seed", "size"), [(2, 60), (3, 400), (4, 4000)])
def test_between_two_days_that_are_told_nobody_or_more_than_ten_came_back(
    seed: int, size: int
) -> None:
    some = drawn(seed, size)
    told: list[Point] = curve(some, 1)
    days = [0, *(point.day for point in told)]
    assert set(days[1:]) <= set(GRID)
    for after, until in pairwise(days):
        if until != 30:  # a horizon is told where the report tells its counts, which sees to it
            back = sum(one.patients for one in some if one.came_back and after <= one.day < until)
            assert back > 0
            assert is_clear(back)
