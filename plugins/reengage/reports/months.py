"""Months: what an Analyst, who sees days, is told of who came back.

A group of months whose days would give away a small count is left out, and the report made again
from what else was told and from nothing else (`outcomes.summing`): no share, effect or total knows
of it. Role `reengage_reporter`, which sees no day, reads all groups (PRV-27, ADR 0053).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, text

from reengage.outcome_report import CampaignReport, EffectLine, Experiment
from reengage.outcomes import experiments
from reengage.outcomes.experiments import Reading
from reengage.outcomes.publish import read_told
from reengage.outcomes.summing import effects_of, lines_of
from reengage.outcomes.telling import ALL, Told
from reengage.report import Funnel
from reengage.reports import funnels
from reengage.reports.subtraction import Sums, counts_again, gives_away, sums_of
from reengage.reports.visit import Visit
from reengage.sql import load_sql

Group = tuple[date, date]
"""First day of its first month, and of the month after its last."""
Begun = tuple[date, Funnel | None]
"""A day on which follow-ups began, and its funnel; None = that may change."""


def left_out(visit: Visit, campaign: str) -> list[Group]:
    """The groups that the visitor is told nothing of, in the order of time."""
    if visit.visitor.sees_small_counts:
        return []
    with visit.reporting() as connection:
        told = read_told(connection, campaign, date.max)
    groups = sorted({(one.began, one.ended) for one in told if one.slice == ALL})
    if not groups:
        return []
    days = _days(visit, campaign, (groups[0][0], max(ended for _, ended in groups)))
    return [group for group in groups if _is_left_out(days, told, group)]


def _is_left_out(days: Sequence[Begun], told: Sequence[Told], group: Group) -> bool:
    found = [funnel for day, funnel in days if group[0] <= day < group[1]]
    known = [one for one in found if one is not None and funnels.is_final(one)]
    if len(known) < len(found):
        return True  # what is hidden now and shown later must be hidden by its own rule
    return tells(known, [one for one in told if (one.began, one.ended) == group])


def tells(found: Sequence[Funnel], told: Sequence[Told]) -> bool:
    """Whether what was told of a group would give away a small count of its days. Pure."""
    whole = sums_of(found)
    rows = [one for one in told if one.slice == ALL]
    sums = [
        Sums(write=one.patients, written=one.written) if one.arm == "write"
        else Sums(holdout=one.patients)
        for one in rows
    ]  # fmt: skip
    return gives_away(found) or any(counts_again(found, whole, one) for one in sums)


def _days(visit: Visit, campaign: str, span: Group) -> list[Begun]:
    """The days within the span on which follow-ups began."""
    with visit.reading() as connection:
        found = connection.execute(
            text(load_sql(visit.settings.home, "reports/days_begun.sql")),
            {"campaign": campaign, "since": span[0], "before": span[1]},
        ).all()
    days: list[Begun] = []
    for row in found:
        if row.funnel is not None:
            days.append((row.began, funnels.from_kept(row.funnel)))
        else:
            counted = funnels.counted(visit, row.run_id) if row.finished else None
            days.append((row.began, counted.funnel if counted else None))
    return days


def without(
    connection: Connection, report: CampaignReport, groups: Sequence[Group]
) -> CampaignReport:
    """The report as if nothing had been told of these groups; itself where there are none.

    It has no curve then: a share of everybody says how many everybody is.
    """
    if not groups:
        return report
    told = read_told(connection, report.campaign, report.as_of)
    kept = [one for one in told if not _touches(one, groups)]
    if len(kept) == len(told):
        return report
    experiment = report.experiment and _experiment(report.experiment, kept)
    mine = [one for one in kept if one.cohort == report.cohort]
    if len(mine) == len([one for one in told if one.cohort == report.cohort]):
        return replace(report, experiment=experiment)
    arms = sorted({line.arm for line in report.lines if line.slice == ALL})
    return replace(
        report,
        lines=tuple(lines_of(mine, arms)),
        effects=tuple(EffectLine(**one) for one in effects_of(mine)),  # type: ignore[arg-type]
        curve=(),
        experiment=experiment,
    )


def _touches(one: Told, groups: Sequence[Group]) -> bool:
    """Levels of a slice add up to everybody, so that a group of theirs goes with any in it."""
    return any(one.began < ended and began < one.ended for began, ended in groups)


def _experiment(known: Experiment, kept: Sequence[Told]) -> Experiment:
    reading = known.reading
    blank = Reading(reading.horizon_days, reading.variant_a, reading.variant_b)
    found = experiments.reading_of(blank, kept, known.name)
    return replace(known, reading=replace(found, kept=reading.kept))
