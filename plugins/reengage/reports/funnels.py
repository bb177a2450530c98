"""Funnels: a run's funnel as its visitor may see it, from what was kept when the run was settled.

The counts are those of `python -m reengage report`. An analyst's funnel hides small counts, and
every total that one is part of. It is told when it can change no more, and only of one run of a
day: between two states of the same letters a small count of them may have changed (PRV-27).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.pipeline import reported
from reengage.report import Funnel, funnel_of
from reengage.reports import runs
from reengage.reports.cells import HIDDEN, Count, alone, total
from reengage.reports.visit import Visit

_LEFT = ("sent", "unknown", "rehearsed")
"""States of letters that are counted by their seal."""


@dataclass(frozen=True)
class Shown:
    """A funnel; every count may be hidden.

    An analyst is told each patient in one way. Living and inactive are None then: they are of the
    whole practice, so that beside another campaign's candidates they would tell what this funnel
    hides. So would a second division of the same patients, by how their letters are sealed or by
    what is odd in their data: `seals` and `quality` are empty.
    """

    living: Count | None
    inactive: Count | None
    candidates: Count
    excluded: Mapping[str, Count]
    excluded_total: Count
    eligible: Count
    rest: Mapping[str, Count]
    """What became of the eligible: `held_out`, the outcomes, `rehearsed`, `pending`."""
    seals: Mapping[str, Count]
    quality: Mapping[str, Count]
    hides: bool
    """Whether anything is hidden."""


def shown(funnel: Funnel, *, small: bool) -> Shown:
    """The funnel as it is, or, without `small`, with what is too small hidden. Pure."""
    rest = {"held_out": funnel.held_out, **funnel.outcomes}
    rest |= {"rehearsed": funnel.rehearsed, "pending": funnel.pending}
    if small:
        return Shown(
            funnel.living, funnel.inactive, funnel.candidates, funnel.excluded,
            sum(funnel.excluded.values()), funnel.eligible, rest, funnel.seals, funnel.quality,
            hides=False,
        )  # fmt: skip
    return _hiding(funnel, rest)


def _hiding(funnel: Funnel, rest: Mapping[str, int]) -> Shown:
    excluded, below = _each(funnel.excluded), _each(rest)
    parts = [*funnel.excluded.values(), *rest.values()]
    candidates = total(parts, funnel.candidates)
    return Shown(
        None, None, candidates, excluded,
        total(funnel.excluded.values(), sum(funnel.excluded.values())),
        total(rest.values(), funnel.eligible), below, {}, {},
        hides=HIDDEN in (candidates, *excluded.values(), *below.values()),
    )  # fmt: skip


def _each(counts: Mapping[str, int]) -> dict[str, Count]:
    return {name: alone(n) for name, n in counts.items()}


def is_final(funnel: Funnel) -> bool:
    """Whether its counts can change no more: live, settled, no letter put off or unknown. Pure."""
    open_ones = funnel.outcomes["deferred"] + funnel.outcomes["unknown"]
    return funnel.mode == "live" and funnel.finished and not open_ones


@dataclass(frozen=True)
class Counted:
    """What a run comes to."""

    funnel: Funnel
    transport: list[dict[str, Any]]


def counted(visit: Visit, run_id: UUID) -> Counted | None:
    """What was kept of the run, or, where nothing is, what there is to count of it now.

    A run that has ended is kept then, so that this happens once. None where nothing was extracted,
    and for who sees no small count where it is not final, or another run tells of the day.
    """
    found = _counted(visit, run_id)
    if found is None or visit.visitor.sees_small_counts:
        return found
    with visit.reading() as connection:
        replaced = runs.replaced(connection, [run_id])
    return None if replaced or not is_final(found.funnel) else found


def _counted(visit: Visit, run_id: UUID) -> Counted | None:
    with visit.reading() as connection:
        found = _kept(connection, [run_id]).get(run_id)
        if found is not None:
            return found
        finished = connection.execute(
            text("SELECT finished_at IS NOT NULL FROM run WHERE run_id = :r"), {"r": run_id}
        ).scalar_one_or_none()
    home = visit.settings.home
    if finished:
        with visit.store.begin() as connection:
            reported.keep(connection, home, run_id)
            return _kept(connection, [run_id]).get(run_id)
    with visit.reading() as connection:
        funnel = reported.counted(connection, home, run_id)
        if funnel is None:
            return None
        return Counted(from_kept(funnel), reported.transport(connection, home, run_id))


def kept(connection: Connection, run_ids: list[UUID], *, small: bool) -> dict[UUID, Funnel]:
    """What was kept of these runs; those of which nothing is are left out.

    Without `small` so are those that are not final, and those whose day another run tells of.
    """
    hidden = set() if small else runs.replaced(connection, run_ids)
    found = _kept(connection, [one for one in run_ids if one not in hidden])
    return {run_id: one.funnel for run_id, one in found.items() if small or is_final(one.funnel)}


def _kept(connection: Connection, run_ids: list[UUID]) -> dict[UUID, Counted]:
    found = connection.execute(
        text("SELECT run_id, funnel, transport FROM run_report WHERE run_id = ANY(:runs)"),
        {"runs": run_ids},
    )
    return {row.run_id: Counted(from_kept(row.funnel), row.transport) for row in found}


def from_kept(said: Mapping[str, Any]) -> Funnel:
    """A funnel as `run_report` has it."""
    as_of = date.fromisoformat(said["as_of"])
    return funnel_of(SimpleNamespace(**{**said, "as_of": as_of, "seconds": {}}))
