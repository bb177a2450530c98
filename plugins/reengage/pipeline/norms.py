"""Norms: how many rows the warehouse's tables had on a campaign's recent days, how many letters.

A table that was loaded half, or not at all, still looks like a table: without its opt-outs
everybody may be written to. So the gate compares each count with the median of the campaign's last
green runs. A change that is right (a practice that merged with another) is accepted by a person,
with a reason: `python -m reengage accept-counts`; what was counted before is then forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from statistics import median

from sqlalchemy import Connection, text

from reengage.pipeline.run import Run
from reengage.sql import load_sql

COUNTS = ("patients", "visits", "authorizations", "revocations", "opt_outs", "restrictions")
"""Columns of the gate's table `source` that have a norm."""

RUNS = 10
"""Most runs that make a norm."""
FEWEST = 3
"""With fewer there is none, and any count passes."""
RECENT = timedelta(days=60)
"""A run of longer ago says nothing about today."""
_SLACK = 20
_ANY = 10**15


def bounds(connection: Connection, run: Run) -> dict[str, int]:
    """`<count>_least` and `<count>_most`: half of the median to twice it, and a few.

    A replay and a dry run look at other days than the norm is of: any count passes.
    """
    history = _history(connection, run) if run.mode == "live" else []
    found = {}
    for name in COUNTS:
        usual = [counts[name] for counts in history if name in counts]
        known = len(usual) >= FEWEST
        found[f"{name}_least"] = ceil(median(usual) / 2) if known else 0
        found[f"{name}_most"] = ceil(median(usual) * 2) + _SLACK if known else _ANY
    return found


@dataclass(frozen=True)
class CohortBounds:
    """How many letters of a campaign are usual on a day."""

    days: int
    """Days that tell."""
    median: int
    least: int
    most: int


def cohort_bounds(connection: Connection, run: Run) -> CohortBounds | None:
    """A quarter of the median of the campaign's recent days to twice it, and a few.

    Wider below than for tables: a quiet day is no fault. None = too few days, any number passes. Of
    a day with several runs the largest counts, since the later ones had less left to do.
    """
    counts = list(
        connection.execute(
            text(load_sql(run.settings.home, "approvals/cohorts.sql")),
            {
                "campaign": run.campaign.slug,
                "since": run.day - RECENT,
                "day": run.day,
                "days": RUNS,
            },
        ).scalars()
    )
    if len(counts) < FEWEST:
        return None
    usual = median(counts)
    return CohortBounds(
        len(counts), round(usual), max(0, int(usual / 4) - _SLACK), ceil(usual * 2) + _SLACK
    )


def accept(connection: Connection, campaign: str, reason: str) -> None:
    """From now on the norm is made anew, of what comes."""
    connection.execute(
        text("INSERT INTO norm_accepted (campaign, reason) VALUES (:campaign, :reason)"),
        {"campaign": campaign, "reason": reason},
    )


def _history(connection: Connection, run: Run) -> list[Mapping[str, int]]:
    found = connection.execute(
        text(
            "SELECT source_counts FROM run"
            " WHERE campaign = :campaign AND mode = 'live' AND gate = 'green'"
            " AND source_counts IS NOT NULL AND run_id <> :run_id"
            " AND campaign_date BETWEEN :since AND :day"
            " AND opened_at > coalesce((SELECT max(accepted_at) FROM norm_accepted"
            " WHERE campaign = :campaign), '-infinity')"
            " ORDER BY opened_at DESC LIMIT :runs"
        ),
        {
            "campaign": run.campaign.slug,
            "run_id": run.run_id,
            "since": run.day - RECENT,
            "day": run.day,
            "runs": RUNS,
        },
    )
    return list(found.scalars())
