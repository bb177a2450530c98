"""Small counts stay hidden, and nothing that is shown gives one away (PRV-27)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reengage.report import Funnel
from reengage.reports.cells import HIDDEN, Count, alone, is_small, parts, total
from reengage.reports.funnels import Shown, is_final, shown
from reengage.reports.overview import over_days

COUNTS = st.integers(0, 40)


def test_nought_is_shown_and_one_to_ten_are_not() -> None:
    assert [alone(n) for n in (0, 1, 10, 11)] == [0, HIDDEN, HIDDEN, 11]


def possible(counts: list[int], hidden: list[bool], whole: int) -> list[set[int]]:
    """What each hidden part may be, for who knows the shown ones, their total, and that hidden ones
    are at least 1 and one of them is small: every combination is tried."""
    rest = whole - sum(n for n, is_hidden in zip(counts, hidden, strict=True) if not is_hidden)
    many = sum(hidden)
    found: list[set[int]] = [set() for _ in range(many)]
    for some in product(range(1, rest + 1), repeat=many - 1):
        last = rest - sum(some)
        if last >= 1 and any(is_small(n) for n in (*some, last)):
            for at, n in enumerate((*some, last)):
                found[at].add(n)
    return found


@settings(max_examples=150)
@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_no_hidden_part_can_be_told_from_the_shown_ones_and_their_total(counts: list[int]) -> None:
    by_name = dict(enumerate(counts))
    seen = parts(by_name)
    assert all(seen[at] is HIDDEN for at, n in by_name.items() if is_small(n))
    if total(by_name, seen) is HIDDEN:
        return
    hidden = [seen[at] is HIDDEN for at in by_name]
    if sum(hidden) in (0, 4):  # four of them take too long to try
        return
    for values in possible(counts, hidden, sum(counts)):
        assert len(values) >= 10


def test_parts_that_are_all_as_large_as_a_small_one_can_be_are_not_told_by_their_sum() -> None:
    seen = parts({"a": 10, "b": 10, "c": 10, "d": 11, "e": 500})
    assert [name for name, n in seen.items() if n is HIDDEN] == ["a", "b", "c", "d"]


def funnel(excluded: dict[str, int], held_out: int, outcomes: dict[str, int]) -> Funnel:
    states = {"withheld": 0, "sent": 0, "refused": 0, "deferred": 0, "unknown": 0, **outcomes}
    eligible = held_out + sum(states.values())
    return Funnel(
        campaign="c", as_of=date(2025, 6, 2), mode="live", finished=True, living=9000,
        inactive=4000, candidates=eligible + sum(excluded.values()), excluded=excluded,
        eligible=eligible, held_out=held_out, outcomes=states, rehearsed=0, seconds={},
        quality=dict(excluded), seals={"tls": states["sent"]},
    )  # fmt: skip


def counts_of(seen: Shown) -> list[object]:
    return [
        seen.living, seen.inactive, seen.candidates, seen.excluded_total, seen.eligible,
        *seen.excluded.values(), *seen.rest.values(), *seen.seals.values(), *seen.quality.values(),
    ]  # fmt: skip


@settings(max_examples=200)
@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), max_size=4),
    st.integers(0, 30),
    st.fixed_dictionaries({"sent": st.integers(0, 300), "unknown": st.integers(0, 12)}),
)
def test_a_funnel_for_analysts_shows_no_small_count_and_no_two_that_differ_by_one(
    excluded: dict[str, int], held_out: int, outcomes: dict[str, int]
) -> None:
    given = funnel(excluded, held_out, outcomes)
    seen = shown(given, small=False)
    assert not any(isinstance(n, int) and is_small(n) for n in counts_of(seen))
    numbers = (seen.candidates, seen.excluded_total, seen.eligible)
    if all(isinstance(n, int) for n in numbers):
        assert seen.candidates == seen.excluded_total + seen.eligible  # type: ignore[operator]
    # Two of the three give the third: hidden in one place means hidden in all.
    if seen.eligible is HIDDEN:
        assert seen.candidates is HIDDEN or seen.excluded_total is HIDDEN
        assert all(n == 0 or n is HIDDEN for n in seen.rest.values())
    assert shown(given, small=True).excluded == excluded


@pytest.mark.parametrize("count", [1, 10])
def test_one_small_reason_takes_another_count_with_it(count: int) -> None:
    seen = shown(funnel({"opted_out": count, "restriction": 200}, 0, {"sent": 900}), small=False)
    assert seen.excluded == {"opted_out": HIDDEN, "restriction": HIDDEN}
    assert seen.quality["restriction"] is HIDDEN
    assert (seen.eligible, seen.excluded_total) == (900, count + 200)


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([15, HIDDEN, 0], HIDDEN),  # the others are shown: it would be told
        ([HIDDEN, HIDDEN], HIDDEN),
        ([15, 20, 0], 35),
        ([], 0),
    ],
)
def test_a_sum_over_days_is_hidden_where_a_days_count_is(counts: list[Count], said: Count) -> None:
    assert over_days(counts, small=False) == said


DAYS = st.lists(st.tuples(COUNTS, COUNTS, COUNTS), min_size=1, max_size=5)


@settings(max_examples=200)
@given(DAYS)
def test_no_sum_over_days_less_the_shown_days_tells_a_hidden_one(
    days: list[tuple[int, int, int]],
) -> None:
    """PRV-27: of each day the run's page shows what its own funnel hides nothing of."""
    found = [
        shown(funnel({}, held, {"sent": sent, "refused": refused}), small=False).rest
        for sent, refused, held in days
    ]
    for state in ("sent", "refused"):
        whole = over_days([day[state] for day in found], small=False)
        if whole is not HIDDEN:
            assert all(day[state] is not HIDDEN for day in found)
            assert not is_small(whole)


def test_a_funnel_for_analysts_begins_with_the_candidates() -> None:
    """Living and inactive are the same for every campaign; its candidates are not."""
    whole = funnel({}, 0, {"sent": 300})
    found = shown(whole, small=False)
    assert (found.living, found.inactive, found.candidates) == (None, None, 300)
    assert shown(whole, small=True).living == 9000


@pytest.mark.parametrize(
    ("change", "final"),
    [
        ({}, True),
        ({"mode": "dry"}, False),
        ({"mode": "replay"}, False),
        ({"finished": False}, False),
        ({"outcomes": {"sent": 300, "deferred": 1, "unknown": 0}}, False),
        ({"outcomes": {"sent": 300, "deferred": 0, "unknown": 40}}, False),
    ],
)
def test_a_run_is_final_when_no_letter_of_it_can_change(
    change: dict[str, Any], final: bool
) -> None:
    assert is_final(replace(funnel({}, 0, {"sent": 300}), **change)) is final


def test_of_odd_data_those_without_are_no_small_count_either() -> None:
    whole = replace(funnel({}, 0, {"sent": 100}), quality={"a": 95, "b": 50, "c": 100})
    assert shown(whole, small=False).quality == {"a": HIDDEN, "b": 50, "c": 100}


def test_nor_are_those_of_odd_data_who_were_excluded_for_another_reason() -> None:
    whole = replace(funnel({"a": 40, "b": 60}, 0, {"sent": 100}), quality={"a": 43, "b": 60})
    assert shown(whole, small=False).quality == {"a": HIDDEN, "b": 60}
