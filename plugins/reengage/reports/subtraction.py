"""Subtraction: whether a month tells what its days hide, for who subtracts the days that are shown.

What a month tells of its follow-ups (patients of both arms, letters that left) are sums of counts
of its days, as long as nobody is followed a second time. What the shown days leave of such a sum is
the sum of the hidden ones, which are of 1 to 10 each. It may be told only if each of them could
still be any of these ten: less of it on one day is more of it on others. Pure (PRV-27, ADR 0053).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reengage.report import Funnel
from reengage.reports.cells import MOST, has_room, is_small

_APART = (("held_out",), ("sent",), ("refused", "withheld"))
"""Counts that a month tells the sum of: the holdout, the letters that left, and, of those who were
to be written to, the others. Of a day that can change no more there is nothing else."""
_WRITE = ("sent", "refused", "withheld")


@dataclass(frozen=True)
class Sums:
    """What a month tells, None = not; and what its days come to."""

    write: int | None = None
    holdout: int | None = None
    written: int | None = None


def gives_away(days: Sequence[Funnel]) -> bool:
    """Whether who knows all sums over these days has a small count within fewer than ten values."""
    left = [hidden for names in _APART if (hidden := _hidden(days, names))]
    return not all(map(has_room, left))


def _hidden(days: Sequence[Funnel], names: Collection[str]) -> list[int]:
    """What an Analyst is not shown of these counts of the days."""
    whole = [{"held_out": day.held_out, **day.outcomes} for day in days]
    return [counts[name] for counts in whole for name in names if is_small(counts[name])]


def sums_of(found: Sequence[Funnel]) -> Sums:
    """What the days come to."""
    return Sums(
        sum(one.eligible - one.held_out for one in found),
        sum(one.held_out for one in found),
        sum(one.outcomes["sent"] for one in found),
    )


def counts_again(days: Sequence[Funnel], whole: Sums, told: Sums) -> bool:
    """Whether days and month differ by a small count: so few were counted on two days."""
    pairs = (
        (whole.write, told.write, _WRITE),
        (whole.holdout, told.holdout, ("held_out",)),
        (whole.written, told.written, ("sent",)),
    )
    return any(
        of_days is not None and of_month is not None and is_small(abs(of_days - of_month))
        and _more(days, names) < MOST
        for of_days, of_month, names in pairs
    )  # fmt: skip


def _more(days: Sequence[Funnel], names: Collection[str]) -> int:
    """By how much these counts of the days may be more than they are, for who sees the days."""
    return sum(MOST - n for n in _hidden(days, names))
