"""Cells: counts of patients that are too small to be shown, and those that would give them away.

Counts of 1 to 10 are hidden, 0 is shown (PRV-27). Where the parts of a shown total hide something,
so many of them are hidden that each may still be any of at least ten values: at least two, and more
until what is hidden together leaves that room. A total that is hidden hides all its parts. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from typing import TypeVar

MOST = 10
"""The largest count that is hidden for its own sake."""
ROOM = 10
"""What hidden parts together leave open for each of them."""

Key = TypeVar("Key")


class Hidden(Enum):
    """In place of a count."""

    HIDDEN = "*"


HIDDEN = Hidden.HIDDEN
Count = int | Hidden


def is_small(count: int) -> bool:
    """Whether a count is hidden for its own sake."""
    return 1 <= count <= MOST


def alone(count: int) -> Count:
    """A count that is part of no total."""
    return HIDDEN if is_small(count) else count


def parts(
    counts: Mapping[Key, int], *, hide: Collection[Key] = (), total_hidden: bool = False
) -> dict[Key, Count]:
    """The parts of a total which is shown, or hidden: what of them may be shown.

    `hide` names parts that are hidden for a reason of their own.
    """
    occupied = sorted((key for key, n in counts.items() if n), key=lambda key: counts[key])
    hidden = {key for key in occupied if total_hidden or is_small(counts[key]) or key in hide}
    for key in occupied:
        if not hidden or _has_room([counts[one] for one in occupied if one in hidden]):
            break
        hidden.add(key)
    return {key: HIDDEN if key in hidden else n for key, n in counts.items()}


def total(counts: Mapping[Key, int], shown: Mapping[Key, Count]) -> Count:
    """The total of these parts; hidden where it would say what the parts do not."""
    hidden = [n for key, n in counts.items() if shown[key] is HIDDEN]
    whole = sum(counts.values())
    return HIDDEN if is_small(whole) or (hidden and not _has_room(hidden)) else whole


def _has_room(hidden: list[int]) -> bool:
    """Whether who knows the sum of these, and that each is at least 1, knows none of them."""
    whole, many = sum(hidden), len(hidden)
    if many < 2 or whole - many < ROOM:
        return False
    # If all of them were small, their sum must not be so large that each is the largest it can be.
    return any(not is_small(n) for n in hidden) or MOST * many - whole >= ROOM
