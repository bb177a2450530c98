"""Intervals: of a share, of a difference between two shares, of the number needed to write to.

Wilson's score interval for one share (Wilson 1927), Newcombe's hybrid score interval for the
difference of two (Newcombe 1998, Statistics in Medicine 17:873, method 10), and the number needed
to write to as the reciprocal of that (Altman 1998, BMJ 317:1309). Vectorized: scalars or arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z95 = 1.959963984540054
"""Two-sided 95 % of the normal distribution."""

Verdict = Literal["more", "fewer", "undecided"]
Floats = NDArray[np.float64]


def wilson(returned: ArrayLike, of: ArrayLike, z: float = Z95) -> tuple[Floats, Floats]:
    """Lower and upper bound of the share `returned / of`; `of` must be positive."""
    n = np.asarray(of, dtype=float)
    share = np.asarray(returned, dtype=float) / n
    middle = share + z * z / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return np.maximum(0.0, (middle - half) / scale), np.minimum(1.0, (middle + half) / scale)


def newcombe(
    returned: ArrayLike, of: ArrayLike, held_returned: ArrayLike, held_of: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    """Difference of the shares, first minus second, with its lower and upper bound."""
    one = np.asarray(returned, dtype=float) / np.asarray(of, dtype=float)
    two = np.asarray(held_returned, dtype=float) / np.asarray(held_of, dtype=float)
    low_one, high_one = wilson(returned, of)
    low_two, high_two = wilson(held_returned, held_of)
    difference = one - two
    below = np.sqrt((one - low_one) ** 2 + (high_two - two) ** 2)
    above = np.sqrt((high_one - one) ** 2 + (two - low_two) ** 2)
    return difference, difference - below, difference + above


@dataclass(frozen=True)
class Effect:
    """What writing did: the difference to the holdout, and letters per patient who came back."""

    difference: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """`more` or `fewer` came back where the interval leaves zero out, else `undecided`."""
        if self.low > 0:
            return "more"
        return "fewer" if self.high < 0 else "undecided"

    @property
    def needed(self) -> tuple[float, float, float] | None:
        """Patients to write to for one more (or, negative, one fewer) return, with its interval.

        None where the difference's interval holds zero: its reciprocal is then everything beyond
        two limits, infinity included, and no number would be honest.
        """
        if self.verdict == "undecided":
            return None
        bounds = sorted((_reciprocal(self.low), _reciprocal(self.high)), key=abs)
        return _reciprocal(self.difference), bounds[0], bounds[1]


def effect(returned: int, of: int, held_returned: int, held_of: int) -> Effect | None:
    """The effect of writing; None where an arm has nobody to count."""
    if not of or not held_of:
        return None
    difference, low, high = newcombe(returned, of, held_returned, held_of)
    return Effect(float(difference), float(low), float(high))


def _reciprocal(share: float) -> float:
    return 1 / share if share else inf
