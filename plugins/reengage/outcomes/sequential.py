"""Sequential: which of two variants brings more patients back, read as often as anybody likes.

Looking every day and stopping at the first good day turns a 5 % error into a large one. Two
readings that stay right under it, both exact for counts, with no size fixed beforehand:

`evidence`: an e-process for two shares (Turner, Ly and Grünwald 2024, J. Stat. Plan. Inference
230:106116). Without a difference its expectation never exceeds 1, so that it ever reaches 1/alpha
with probability alpha at most (Ville's inequality), whenever and however often it is looked at.

`always_valid`: confidence sequences of both shares (Robbins 1970, Ann. Math. Statist. 41:1397; the
beta-binomial mixture), half of alpha each, and the interval that their bounds leave the difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, inf, log

from scipy.optimize import brentq
from scipy.special import betaln

ALPHA = 0.05
NEEDED = 1 / ALPHA
"""Evidence from which on a difference may be believed."""
_PRIOR = 0.5
"""What each share is expected by before it was seen: Jeffreys' pseudo-counts for either outcome."""


@dataclass(frozen=True)
class Block:
    """Patients of both variants whose days became complete together: how many, who came back."""

    mature_a: int
    returned_a: int
    mature_b: int
    returned_b: int

    def __add__(self, other: Block) -> Block:
        return Block(
            self.mature_a + other.mature_a,
            self.returned_a + other.returned_a,
            self.mature_b + other.mature_b,
            self.returned_b + other.returned_b,
        )


NOBODY = Block(0, 0, 0, 0)


def evidence(blocks: Iterable[Block]) -> float:
    """Evidence that the variants differ, after these blocks in the order of time; 1 = none.

    What a block is expected to be rests on the blocks before it only. A block without patients of
    one variant waits for the next: by itself it could say nothing.
    """
    seen, waiting, total = NOBODY, NOBODY, 0.0
    for block in blocks:
        waiting += block
        if waiting.mature_a and waiting.mature_b:
            total += _log_evidence(waiting, seen)
            seen, waiting = seen + waiting, NOBODY
    return exp(total) if total < 700 else inf


def _log_evidence(block: Block, seen: Block) -> float:
    a = (seen.returned_a + _PRIOR) / (seen.mature_a + 2 * _PRIOR)
    b = (seen.returned_b + _PRIOR) / (seen.mature_b + 2 * _PRIOR)
    both = (block.mature_a * a + block.mature_b * b) / (block.mature_a + block.mature_b)
    return (
        block.returned_a * log(a / both)
        + (block.mature_a - block.returned_a) * log((1 - a) / (1 - both))
        + block.returned_b * log(b / both)
        + (block.mature_b - block.returned_b) * log((1 - b) / (1 - both))
    )


def always_valid(total: Block, alpha: float = ALPHA) -> tuple[float, float, float]:
    """Difference of the shares, a minus b, and an interval that holds at every look together."""
    low_a, high_a = share_bounds(total.returned_a, total.mature_a, alpha / 2)
    low_b, high_b = share_bounds(total.returned_b, total.mature_b, alpha / 2)
    difference = total.returned_a / total.mature_a - total.returned_b / total.mature_b
    return difference, low_a - high_b, high_a - low_b


def share_bounds(returned: int, of: int, alpha: float) -> tuple[float, float]:
    """Bounds of a share that hold at every look together: where the mixture is less than 1/alpha
    times as likely as the share itself."""
    lost = of - returned
    mixture = float(betaln(_PRIOR + returned, _PRIOR + lost) - betaln(_PRIOR, _PRIOR))

    def excess(share: float) -> float:
        return mixture - returned * log(share) - lost * log(1 - share) - log(1 / alpha)

    tiny = 1e-12
    middle = min(max(returned / of if of else 0.5, tiny), 1 - tiny)
    low = 0.0 if excess(tiny) < 0 else brentq(excess, tiny, middle)
    high = 1.0 if excess(1 - tiny) < 0 else brentq(excess, middle, 1 - tiny)
    return float(low), float(high)
