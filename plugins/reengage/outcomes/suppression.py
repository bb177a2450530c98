"""Suppression: which counts may be told, so that no small one can be worked out (PRV-27).

A count of 1 to 10 patients is never told, and none that could be worked out from what is told. Not
cells are hidden, whose values the margins would give back, but whole levels of a slice: what is not
told of a slice is one group, the total less what is told, and that group's counts must themselves
be zero or more than 10. Of a level inside it nothing is then known but that it is no larger.

Within a group the horizons are nested, so that differences count, too: who is not mature yet, who
became so between two horizons, who did not return, who returned in between (`clear`). And from day
to day: new numbers are told only where each has grown by nothing or by more than 10 since the last
that were told (`may_follow`), else those stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from reengage.outcomes.cells import EVENTS, HORIZONS, Event, Group

SMALL = 10
"""The largest count that is not told, zero apart (CMS cell-size policy)."""


@dataclass(frozen=True)
class Told:
    """What of one slice and arm may be told."""

    levels: frozenset[str]
    """Those whose counts are told; the others are one group of which the total is known."""
    horizons: int
    """How many horizons, from the shortest on."""
    columns: frozenset[str]
    """Of `written`, `booked`, `kept`: those told beside `enrolled`, `mature` and `returned`."""


NOTHING = Told(frozenset(), 0, frozenset())


def is_clear(count: int) -> bool:
    """Whether a count may be told."""
    return count == 0 or count > SMALL


def clear(group: Group, event: Event, horizons: int) -> bool:
    """Whether the event's counts up to a horizon may be told of a group, and what they imply."""
    told = [(group.enrolled, 0)]
    told += [(one.patients, one.events[event]) for one in group.horizons[:horizons]]
    return (
        is_clear(group.enrolled)
        and all(is_clear(of) and is_clear(n) and is_clear(of - n) for of, n in told[1:])
        and all(_step_is_clear(*a, *b) for a, b in pairwise(told))
    )


def _step_is_clear(of: int, had: int, later_of: int, later_had: int) -> bool:
    """From one horizon to the next: who left the mature ones, and what happened in between.

    Of those who are mature at the first horizon only, some number had the event by then, which is
    not told; each number that is possible must imply clear counts, or there must be many of them.
    """
    left = of - later_of
    if not is_clear(left):
        return False
    least = max(0, had - later_had, left - (of - had))
    most = min(left, had)
    if most - least > SMALL:
        return True
    return all(
        is_clear(count)
        for n in range(least, most + 1)
        for count in (n, left - n, had - n, later_had - had + n)
    )


def choose(levels: Mapping[str, Group], total: Group, most_horizons: int) -> Told:
    """What may be told of a slice, where of the whole `most_horizons` are told."""
    for horizons in range(most_horizons, 0, -1):
        told = _clear_levels(levels, total, horizons)
        if told:
            return Told(told, horizons, _columns(levels, total, told, horizons))
    return NOTHING


def told_of_all(name: str, total: Group) -> Told:
    """What may be told of everybody in an arm, as a slice of one level."""
    horizons = horizons_of(total)
    if not horizons:
        return NOTHING
    columns = _columns({name: total}, total, [name], horizons)
    return Told(frozenset({name}), horizons, columns)


def horizons_of(total: Group) -> int:
    """How many horizons may be told of everybody in an arm; 0 = nothing may."""
    return next((n for n in range(len(HORIZONS), 0, -1) if clear(total, "returned", n)), 0)


def _clear_levels(levels: Mapping[str, Group], total: Group, horizons: int) -> frozenset[str]:
    """The levels to tell: all that are clear, less the smallest until the others together are."""
    told = {name for name, group in levels.items() if clear(group, "returned", horizons)}
    by_size = sorted(told, key=lambda name: (levels[name].enrolled, name))
    for name in [*by_size, None]:
        hidden = levels.keys() - told
        rest = _rest(levels, total, told)
        if not hidden or (len(hidden) > 1 and clear(rest, "returned", horizons)):
            return frozenset(told)
        if name is not None:
            told.discard(name)
    return frozenset()


def _columns(
    levels: Mapping[str, Group], total: Group, told: Iterable[str], horizons: int
) -> frozenset[str]:
    groups = [levels[name] for name in told]
    groups.append(_rest(levels, total, told))
    found: set[str] = {
        event for event in EVENTS[1:] if all(clear(group, event, horizons) for group in groups)
    }
    if all(is_clear(one.written) and is_clear(one.enrolled - one.written) for one in groups):
        found.add("written")
    return frozenset(found)


def _rest(levels: Mapping[str, Group], total: Group, told: Iterable[str]) -> Group:
    for name in told:
        total = total - levels[name]
    return total


@dataclass(frozen=True)
class Counted:
    """The numbers of one slice and arm on a day, and what of them was told."""

    levels: Mapping[str, Group]
    """Of those that were told at least."""
    total: Group
    told: Told


def may_follow(new: Counted, old: Counted) -> bool:
    """Whether these numbers may be told after those.

    Nothing that both tell of, or imply, may differ by 1 to 10 patients. Levels that not both tell
    of are one group, as long as the total is known.
    """
    both = new.told.levels & old.told.levels
    pairs = [(new.levels[name], old.levels[name]) for name in sorted(both)]
    pairs.append((_rest(new.levels, new.total, both), _rest(old.levels, old.total, both)))
    horizons = min(new.told.horizons, old.told.horizons)
    columns = new.told.columns & old.told.columns
    return all(_grew_clearly(one, was, horizons, columns) for one, was in pairs)


def _grew_clearly(new: Group, old: Group, horizons: int, columns: frozenset[str]) -> bool:
    differences = [new.enrolled - old.enrolled]
    if "written" in columns:
        written = new.written - old.written
        differences += [written, differences[0] - written]
    events: list[Event] = ["returned", *(one for one in EVENTS[1:] if one in columns)]
    for one, was in zip(new.horizons[:horizons], old.horizons[:horizons], strict=True):
        mature = one.patients - was.patients
        differences.append(mature)
        for event in events:
            had = one.events[event] - was.events[event]
            differences += [had, mature - had]
    return all(is_clear(abs(count)) for count in differences)
