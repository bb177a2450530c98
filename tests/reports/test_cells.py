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
from reengage.reports.campaign_tables import consent, funnel_table
from reengage.reports.cells import HIDDEN, Count, alone, between, has_room, is_small, total
from reengage.reports.funnels import is_final, shown
from reengage.reports.overview import over_days

COUNTS = st.integers(0, 40)


def test_nought_is_shown_and_one_to_ten_are_not() -> None:
    assert [alone(n) for n in (0, 1, 10, 11)] == [0, HIDDEN, HIDDEN, 11]


def test_a_total_is_hidden_with_any_of_its_parts_and_where_they_do_not_add_up_to_it() -> None:
    assert [total(parts, sum(parts)) for parts in ([20, 0, 11], [20, 3], [500, 500, 10], [])] == [
        31, HIDDEN, HIDDEN, 0,
    ]  # fmt: skip
    assert total([20, 11], 34) is HIDDEN


def test_a_hidden_total_lies_between_what_its_parts_leave_it() -> None:
    assert between([20, HIDDEN, 0, HIDDEN]) == (22, 40)


@settings(max_examples=150)
@given(st.lists(st.integers(1, 10), min_size=1, max_size=4))
def test_hidden_counts_have_room_if_their_sum_leaves_each_of_them_all_ten_values(
    hidden: list[int],
) -> None:
    worlds = [one for one in product(range(1, 11), repeat=len(hidden)) if sum(one) == sum(hidden)]
    possible = [{one[at] for one in worlds} for at in range(len(hidden))]
    assert has_room(hidden) is all(len(values) == 10 for values in possible)


def funnel(excluded: dict[str, int], held_out: int, outcomes: dict[str, int]) -> Funnel:
    states = {"withheld": 0, "sent": 0, "refused": 0, "deferred": 0, "unknown": 0, **outcomes}
    eligible = held_out + sum(states.values())
    return Funnel(
        campaign="c", as_of=date(2025, 6, 2), mode="live", finished=True, living=9000,
        inactive=4000, candidates=eligible + sum(excluded.values()), excluded=excluded,
        eligible=eligible, held_out=held_out, outcomes=states, rehearsed=0, seconds={},
        quality=dict(excluded), seals={"tls": states["sent"]},
    )  # fmt: skip


FUNNELS = st.builds(
    funnel,
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 60), max_size=4),
    st.integers(0, 30),
    st.fixed_dictionaries({"sent": st.integers(0, 300), "unknown": st.integers(0, 12)}),
)


@settings(max_examples=200)
@given(FUNNELS)
def test_what_an_analyst_sees_of_a_count_hangs_on_that_count_and_of_a_total_on_its_parts(
    whole: Funnel,
) -> None:
    seen = shown(whole, small=False)
    assert seen.excluded == {code: alone(n) for code, n in whole.excluded.items()}
    assert seen.rest["held_out"] == alone(whole.held_out)
    assert {name: seen.rest[name] for name in whole.outcomes} == {
        name: alone(n) for name, n in whole.outcomes.items()
    }
    excluded, rest = list(seen.excluded.values()), list(seen.rest.values())
    totals = [
        (seen.excluded_total, excluded, sum(whole.excluded.values())),
        (seen.eligible, rest, whole.eligible),
        (seen.candidates, [*excluded, *rest], whole.candidates),
    ]
    for said, parts, n in totals:
        assert said == (HIDDEN if HIDDEN in parts else n)
        assert not (isinstance(said, int) and is_small(said))
    assert shown(whole, small=True).excluded == whole.excluded


@pytest.mark.parametrize("count", [1, 10])
def test_a_small_reason_takes_no_other_count_with_it_but_the_totals(count: int) -> None:
    seen = shown(funnel({"opted_out": count, "restriction": 200}, 0, {"sent": 900}), small=False)
    assert seen.excluded == {"opted_out": HIDDEN, "restriction": 200}
    assert (seen.candidates, seen.excluded_total, seen.eligible) == (HIDDEN, HIDDEN, 900)
    lines = [row[0] for row in funnel_table(seen).rows]
    assert lines[:2] == ["Candidates, 1,101 to 1,110", "Excluded, 201 to 210"]
    assert "Eligible" in lines


def test_an_analyst_is_told_of_no_second_division_of_the_same_patients() -> None:
    """How letters are sealed, and odd data: less what is shown they would tell what is not."""
    whole = funnel({"restriction": 60}, 0, {"sent": 100})
    seen = shown(whole, small=False)
    assert (seen.seals, seen.quality) == ({}, {})
    assert (seen.candidates, seen.rest["sent"]) == (160, 100)
    known = shown(whole, small=True)
    assert (known.seals, known.quality) == ({"tls": 100}, {"restriction": 60})


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


@pytest.mark.parametrize(
    ("excluded", "said"),
    [
        ({"opted_out": 40, "no_authorization": 20}, (120, 100)),
        ({"restriction": 3, "no_authorization": 20}, (120, 100)),  # looked at before consent is
        ({"no_authorization": 3}, (HIDDEN, HIDDEN)),
        ({"no_authorization": 20, "no_address": 3}, (HIDDEN, HIDDEN)),
    ],
)
def test_consent_is_told_where_all_that_it_is_worked_out_from_is(
    excluded: dict[str, int], said: tuple[Count, Count]
) -> None:
    assert consent(shown(funnel(excluded, 0, {"sent": 100}), small=False)) == said
