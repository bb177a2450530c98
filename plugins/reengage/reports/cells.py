"""Cells: counts of patients that are too small to be shown.

Counts of 1 to 10 are hidden, 0 is shown (PRV-27). What becomes of a count is decided by that count
and nothing else, and a total is hidden with any of its parts. So no number that is shown has a
hidden one in it, whatever else was shown of other days, other runs or other pages (ADR 0056). Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

MOST = 10
"""The largest count that is hidden."""


class Hidden(Enum):
    """In place of a count."""

    HIDDEN = "*"


HIDDEN = Hidden.HIDDEN
Count = int | Hidden


def is_small(count: int) -> bool:
    """Whether a count is hidden."""
    return 1 <= count <= MOST


def alone(count: int) -> Count:
    """A count, or what stands in its place."""
    return HIDDEN if is_small(count) else count


def total(parts: Collection[int], said: int) -> Count:
    """A total, as it was counted; hidden where one of its parts is.

    Also where its parts do not add up to it: what they lack may be few.
    """
    whole = alone(said)
    return HIDDEN if any(map(is_small, parts)) or sum(parts) != said else whole


def between(parts: Collection[Count]) -> tuple[int, int]:
    """What a hidden total lies between, for who sees its parts."""
    shown = sum(n for n in parts if isinstance(n, int))
    hidden = sum(n is HIDDEN for n in parts)
    return shown + hidden, shown + MOST * hidden


def has_room(hidden: Collection[int]) -> bool:
    """Whether who knows the sum of these hidden counts knows none of them any better.

    Each may still be any of 1 to 10: what the others are may then be made up for by the rest.
    """
    room = MOST - 1
    return len(hidden) + room <= sum(hidden) <= MOST * len(hidden) - room
