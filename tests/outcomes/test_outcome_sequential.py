"""Sequential reading: looked at every day, it errs no more often than it says."""

from __future__ import annotations

import numpy as np
import pytest
from reengage.outcomes.sequential import (
    NEEDED,
    NOBODY,
    Block,
    always_valid,
    evidence,
)

DAYS = 90


def evidence_by_day(a: np.ndarray, b: np.ndarray, per_day: tuple[int, int]) -> np.ndarray:
    """The same reading for many campaigns at once: a and b are returns by campaign and day."""
    n_a, n_b = per_day
    before_a, before_b = (np.cumsum(x, axis=1) - x for x in (a, b))
    days = np.arange(a.shape[1])
    share_a = (before_a + 0.5) / (days * n_a + 1)
    share_b = (before_b + 0.5) / (days * n_b + 1)
    both = (n_a * share_a + n_b * share_b) / (n_a + n_b)
    gained = (
        a * np.log(share_a / both) + (n_a - a) * np.log((1 - share_a) / (1 - both))
        + b * np.log(share_b / both) + (n_b - b) * np.log((1 - share_b) / (1 - both))
    )  # fmt: skip
    return np.cumsum(gained, axis=1)


def test_the_simulation_reads_as_the_report_does() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.binomial(7, 0.2, (3, DAYS)), rng.binomial(5, 0.3, (3, DAYS))
    found = np.exp(evidence_by_day(a, b, (7, 5))[:, -1])
    for row in range(3):
        blocks = [Block(7, int(x), 5, int(y)) for x, y in zip(a[row], b[row], strict=True)]
        assert evidence(blocks) == pytest.approx(found[row])


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("per_day", [(20, 20), (3, 12)])
def test_without_an_effect_daily_looks_stop_falsely_in_5_per_cent_at_most(
    rate: float, per_day: tuple[int, int]
) -> None:
    rng = np.random.default_rng(5)
    a = rng.binomial(per_day[0], rate, (4000, DAYS))
    b = rng.binomial(per_day[1], rate, (4000, DAYS))
    ever = (evidence_by_day(a, b, per_day) >= np.log(NEEDED)).any(axis=1)
    assert ever.mean() <= 0.05


def test_looking_daily_at_a_fixed_interval_would_stop_falsely_far_more_often() -> None:
    """What the reading is there for."""
    from reengage.outcomes.intervals import newcombe

    rng = np.random.default_rng(5)
    a, b = (rng.binomial(20, 0.1, (1000, DAYS)).cumsum(axis=1) for _ in range(2))
    n = 20 * np.arange(1, DAYS + 1)
    _, low, high = newcombe(a, n, b, n)
    assert ((low > 0) | (high < 0)).any(axis=1).mean() > 0.15


def test_a_real_difference_is_found() -> None:
    rng = np.random.default_rng(6)
    a, b = rng.binomial(50, 0.15, (500, DAYS)), rng.binomial(50, 0.10, (500, DAYS))
    ever = (evidence_by_day(a, b, (50, 50)) >= np.log(NEEDED)).any(axis=1)
    assert ever.mean() > 0.9


@pytest.mark.parametrize(("rate_a", "rate_b"), [(0.2, 0.3), (0.1, 0.1), (0.03, 0.05)])
def test_the_always_valid_interval_holds_at_every_look_together(
    rate_a: float, rate_b: float
) -> None:
    """From where a report tells it: more than ten of each kind."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(300):
        a, b = rng.binomial(20, rate_a, DAYS), rng.binomial(20, rate_b, DAYS)
        total, misses = NOBODY, False
        for x, y in zip(a, b, strict=True):
            total += Block(20, int(x), 20, int(y))
            if min(total.returned_a, total.returned_b) > 10:
                _, low, high = always_valid(total)
                misses = misses or not low <= rate_a - rate_b <= high
        held += not misses
    assert held >= 0.95 * 300


def test_the_interval_narrows_and_leaves_zero_out_where_the_evidence_is_strong() -> None:
    few, many = (always_valid(Block(n, n // 5, n, n // 3)) for n in (300, 3000))
    assert few[1] < many[1] < many[2] < 0
    assert many[2] - many[1] < few[2] - few[1]
    assert always_valid(Block(50, 0, 50, 0))[0] == 0.0


def test_a_block_without_patients_of_one_variant_waits_for_the_next() -> None:
    together = evidence([Block(6, 3, 4, 0), Block(5, 3, 5, 0)])
    assert evidence([Block(6, 3, 0, 0), Block(0, 0, 4, 0), Block(5, 3, 5, 0)]) == together
    assert evidence([Block(6, 6, 0, 0)]) == 1.0
    assert evidence([]) == 1.0


def test_evidence_has_an_end_that_can_be_written_down() -> None:
    assert evidence([Block(500, 500, 500, 0)] * 5) > 1e300
