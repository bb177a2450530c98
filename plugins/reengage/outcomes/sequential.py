"""Sequential: which of two variants brings more patients back, read as often as anybody likes.

Looking every day and stopping at the first good day turns a 5 % error into a large one. Two
readings that stay right under it, with no size fixed beforehand:

`evidence`, which decides: an e-process for two shares, exact for any counts (Turner, Ly and
Grünwald 2024, J. Stat. Plan. Inference 230:106116). Without a difference its expectation never
exceeds 1, so that it ever reaches 1/alpha with probability alpha at most (Ville's inequality),
whenever and however often it is looked at.

`always_valid`: the interval of the difference that the mixture sequential probability ratio test
leaves (Johari, Koomen, Pekelis and Walsh 2022, Operations Research 70:1806): normal, so that it is
right enough once each count exceeds ten, below which no report tells it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, inf, log, sqrt

ALPHA = 0.05
NEEDED = 1 / ALPHA
"""Evidence from which on a difference may be believed."""
_PRIOR = 0.5
"""What each share is expected by before it was seen: Jeffreys' pseudo-counts for either outcome."""

_EXPECTED = 0.05
"""How large a difference is expected to be, where the interval is to be narrowest."""


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
    share_a, spread_a = _share(total.returned_a, total.mature_a)
    share_b, spread_b = _share(total.returned_b, total.mature_b)
    spread = spread_a + spread_b
    wider = spread + _EXPECTED**2
    half = sqrt(spread * wider / _EXPECTED**2 * (2 * log(1 / alpha) + log(wider / spread)))
    difference = share_a - share_b
    return difference, max(-1.0, difference - half), min(1.0, difference + half)


def _share(returned: int, of: int) -> tuple[float, float]:
    """A share, and the variance of its estimate; never none, also where nobody came back."""
    smooth = (returned + _PRIOR) / (of + 2 * _PRIOR)
    return returned / of, smooth * (1 - smooth) / of
