"""Intervals: the published values, and their cover over campaigns whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from reengage.outcomes.intervals import effect, newcombe, wilson

CAMPAIGNS = 500
"""Of one truth; over several truths the share that is covered is known to a tenth of a point."""


def test_the_difference_has_the_bounds_of_newcombes_own_examples() -> None:
    # Newcombe 1998, table II, method 10: contrasts (a) to (f).
    examples = {
        (56, 70, 48, 80): (0.2000, 0.0524, 0.3339),
        (9, 10, 3, 10): (0.6000, 0.1705, 0.8090),
        (6, 7, 2, 7): (0.5714, 0.0582, 0.8062),
        (5, 56, 0, 29): (0.0893, -0.0381, 0.1926),
        (0, 10, 0, 20): (0.0, -0.1611, 0.2775),
        (10, 10, 0, 10): (1.0, 0.6075, 1.0),
    }
    for counts, expected in examples.items():
        assert tuple(map(float, newcombe(*counts))) == pytest.approx(expected, abs=6e-5)


def test_a_share_has_wilsons_bounds_and_keeps_within_0_and_1() -> None:
    assert tuple(map(float, wilson(10, 100))) == pytest.approx((0.0552, 0.1744), abs=5e-5)
    assert [tuple(map(float, wilson(n, 15))) for n in (0, 15)] == [
        pytest.approx((0.0, 0.2039), abs=5e-5), pytest.approx((0.7961, 1.0), abs=5e-5),
    ]  # fmt: skip


def test_how_many_to_write_to_is_told_only_where_the_interval_leaves_zero_out() -> None:
    helps = effect(56, 70, 48, 80)
    assert helps is not None
    assert helps.verdict == "more"
    assert helps.needed == pytest.approx((5.0, 2.995, 19.07), abs=5e-3)
    harms = effect(48, 80, 56, 70)
    assert harms is not None
    assert harms.verdict == "fewer"
    assert harms.needed == pytest.approx((-5.0, -2.995, -19.07), abs=5e-3)
    neither = effect(5, 56, 0, 29)
    assert neither is not None
    assert (neither.verdict, neither.needed) == ("undecided", None)
    assert effect(0, 0, 3, 9) is None


@pytest.mark.parametrize(
    ("people", "held", "rate", "gain"),
    [
        (2000, 220, 0.08, 0.03),
        (400, 400, 0.2, 0.05),
        (5000, 550, 0.05, 0.0),
        (900, 100, 0.3, -0.06),
    ],
)  # fmt: skip
def test_of_500_campaigns_the_interval_holds_the_true_effect_in_93_to_97_per_cent(
    people: int, held: int, rate: float, gain: float
) -> None:
    """Each truth forty times 500 campaigns, so that the share itself is known well enough."""
    rng = np.random.default_rng(20260701)
    size = (40, CAMPAIGNS)
    returned = rng.binomial(people, rate + gain, size)
    held_returned = rng.binomial(held, rate, size)
    _, low, high = newcombe(returned, people, held_returned, held)
    covered = ((low <= gain) & (gain <= high)).mean(axis=1)
    assert 0.93 <= covered.mean() <= 0.97
    # A single set of 500 scatters by one percentage point around that.
    assert 0.93 <= covered[0] <= 0.97
