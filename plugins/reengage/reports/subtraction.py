"""Subtraction: whether a month tells what its days hide, for who subtracts the days that are shown.

What a month tells of its follow-ups (patients of both arms, letters that left) are sums of counts
of its days, as long as nobody is followed a second time. So the days' hidden counts are parts of
known totals. A small one of them may be told of only if it could still be any of ten values: some
hidden counts of its day can be moved against each other, and back again on other days of the month,
so that every total and everything that is shown stays as it is. Pure (PRV-27).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from reengage.report import Funnel
from reengage.reports import funnels
from reengage.reports.cells import HIDDEN, MOST, ROOM, is_small

_OUTSIDE = "outside"
"""Who is not eligible. No month tells of them; hidden eligible ones may be some of these."""
_ANY = 10**9
"""As many as one likes: of candidates who are hidden, too."""
_WRITE = frozenset({"sent", "refused", "withheld"})
"""What became of those who were to be written to, on a day that can change no more."""


@dataclass(frozen=True)
class Day:
    """What a day hides."""

    moves: Mapping[str, int]
    """Hidden counts that can be moved against each other: how many there are to move."""
    asks: Collection[tuple[str, int]]
    """Small counts that hang on these: which, and how many it is."""


@dataclass(frozen=True)
class Sums:
    """What a month tells, None = not; and what its days come to."""

    write: int | None = None
    holdout: int | None = None
    written: int | None = None


def day_of(funnel: Funnel) -> Day:
    """What an Analyst is not shown of a day."""
    seen = funnels.shown(funnel, small=False)
    whole = {"held_out": funnel.held_out, **funnel.outcomes}
    moves = {name: n for name, n in whole.items() if n and seen.rest[name] is HIDDEN}
    asks = [(name, n) for name, n in moves.items() if is_small(n)]
    if "sent" in moves and funnel.seals:
        # Who moves letters moves those of a seal; a seal's small count may hang on no month at all.
        asks += [("sent", n) for n in _apart(funnel.seals.values())]
        moves["sent"] = max(funnel.seals.values())
    if seen.eligible is HIDDEN:
        excluded = [n for code, n in funnel.excluded.items() if n and seen.excluded[code] is HIDDEN]
        moves[_OUTSIDE] = _ANY if seen.candidates is HIDDEN else max(excluded, default=1)
        sums = (funnel.eligible, sum(funnel.excluded.values()), funnel.candidates)
        asks += [(_OUTSIDE, n) for n in sums if is_small(n)]
        if seen.candidates is not HIDDEN:
            asks += [(_OUTSIDE, n) for n in _apart(excluded)]
    return Day(moves, asks)


def _apart(counts: Collection[int]) -> list[int]:
    """The small ones of hidden parts that the day's other parts leave fewer than ten values."""
    found, ordered = [], sorted(counts, reverse=True)
    for at, n in enumerate(ordered):
        largest = ordered[1] if at == 0 and len(ordered) > 1 else ordered[0] if at else 1
        if is_small(n) and n + largest - 1 < ROOM:
            found.append(n)
    return found


def gives_away(days: Sequence[Day]) -> bool:
    """Whether who knows all sums over these days has a small count within fewer than ten values."""
    together = [_all_small(days, name) for name in {name for day in days for name in day.moves}]
    return any(together) or any(
        all(_values(days, day, name, n, other) < ROOM for other in day.moves if other != name)
        for day in days
        for name, n in day.asks
    )


def _values(days: Sequence[Day], day: Day, name: str, count: int, other: str) -> int:
    """How many values a day's count may have if it is moved against another: less of it here is
    more of it on other days, and the other way round.
    """
    rest = [one.moves for one in days if one is not day and {name, other} <= one.moves.keys()]
    less = min(count - 1, sum(one[other] - 1 for one in rest))
    more = min(day.moves[other] - 1, sum(one[name] - 1 for one in rest))
    return 1 + less + more


def _all_small(days: Sequence[Day], name: str) -> bool:
    """Whether all of a kind are small, and together so many that each is nearly the largest."""
    counts = [day.moves[name] for day in days if name in day.moves]
    return all(map(is_small, counts)) and MOST * len(counts) - sum(counts) < ROOM


def sums_of(found: Sequence[Funnel]) -> Sums:
    """What the days come to."""
    return Sums(
        sum(one.eligible - one.held_out for one in found),
        sum(one.held_out for one in found),
        sum(one.outcomes["sent"] for one in found),
    )


def counts_again(days: Sequence[Day], whole: Sums, told: Sums) -> bool:
    """Whether days and month differ by a small count: so few were counted on two days."""
    pairs = (
        (whole.write, told.write, _WRITE),
        (whole.holdout, told.holdout, {"held_out"}),
        (whole.written, told.written, {"sent"}),
    )
    return any(
        of_days is not None and of_month is not None and is_small(abs(of_days - of_month))
        and _more(days, names) < ROOM
        for of_days, of_month, names in pairs
    )  # fmt: skip


def _more(days: Sequence[Day], names: Collection[str]) -> int:
    """By how much these counts of the days may be more than they are, for who sees the days."""
    return sum(
        n - 1
        for day in days
        if not day.moves.keys().isdisjoint(names)
        for name, n in day.moves.items()
        if name not in names
    )
