"""Time to return: as another library estimates it, too, of numbers that are told already."""

from __future__ import annotations

import numpy as np
import pytest
from reengage.outcomes.survival import Followed, curve
from scipy.stats import CensoredData, ecdf

DAYS = (14, 30, 45, 60, 90, 120, 180)


def drawn(seed: int, sizes: dict[int, int]) -> tuple[list[Followed], list[int], list[int]]:
    """Groups by how long they were followed; and all single days, of who came back and who not."""
    rng = np.random.default_rng(seed)
    groups, back, away = [], list[int](), list[int]()
    for last, size in sizes.items():
        days = np.ceil(rng.exponential(250, size)).astype(int)
        told = {day: int((days <= day).sum()) for day in DAYS if day <= last}
        groups.append(Followed(size, told))
        back += [int(day) for day in days if day <= last]
        away += [last for day in days if day > last]
    return groups, back, away


def test_it_is_what_scipy_estimates_of_all_single_days() -> None:
    groups, back, away = drawn(1, {180: 900, 90: 1200, 30: 900})
    sf = ecdf(CensoredData(uncensored=back, right=away)).sf
    told = curve(groups)
    assert [point.day for point in told] == list(DAYS)
    for point in told:
        assert point.returned == pytest.approx(1 - sf.evaluate([point.day])[0], abs=0.002)
    first = told[0]  # nobody has left before it: exact, and so are its bounds
    bounds = sf.confidence_interval(0.95, method="log-log")
    expected = [float(1 - one.evaluate([14])[0]) for one in (sf, bounds.high, bounds.low)]
    assert (first.returned, first.low, first.high) == pytest.approx(expected, abs=1e-3)


def test_who_left_early_is_not_counted_as_one_who_did_not_return() -> None:
    # Of 100, 20 came back by day 30; 40 are followed no longer, 20 of the other 40 came by day 60.
    some = [Followed(50, {30: 10}), Followed(50, {30: 10, 60: 30, 180: 30})]
    told = {point.day: point.returned for point in curve(some)}
    assert told[30] == pytest.approx(0.2)
    assert told[60] == pytest.approx(1 - 0.8 * 0.5)
    assert told[180] == told[60]


def test_a_day_is_told_where_every_group_tells_it_that_was_followed_for_so_long() -> None:
    some = [Followed(50, {14: 12, 30: 20, 60: 30}), Followed(50, {30: 25, 90: 40})]
    assert [point.day for point in curve(some)] == [30, 90]


def test_without_a_return_the_share_is_nothing_on_every_day() -> None:
    told = curve([Followed(50, {30: 0, 180: 0})])
    assert {(one.returned, one.low, one.high) for one in told} == {(0.0, 0.0, 0.0)}
    assert curve([]) == []
