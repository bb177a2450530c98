"""Extraction and decision of a campaign at three sizes, and of the day after.

Beside it two aggregates over the same encounters in the same run, both a sequential scan in one
process: `last visit` (the last encounter of each patient, which whoever asks who stopped coming
must find out) and `count` (how many, and the last of all, which says nothing of anybody).
Measured is the task as Airflow runs it, in a process of its own, store and seals included.
SIZES=100000,1000000 measures these sizes only.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from statistics import median
from time import perf_counter

from daily import Measured, Site, site
from harness import Figure, at_most, publish
from sqlalchemy import text
from warehouse import DAY, SERVER_SETTINGS, Warehouse, drop, generate, midnight

SIZES = [int(size) for size in os.environ.get("SIZES", "100000,1000000,5000000").split(",")]
TIMES = 3
CAMPAIGN = "appointment_reminder"
MOST_TIMES_THE_BASELINE = 3
SECOND_DAY_MOST = 0.1
MOST_MEGABYTES = 400
NEXT_DAY = DAY + timedelta(days=1)
SEQUENTIALLY = (
    "SET max_parallel_workers_per_gather = 0",
    "SET enable_indexscan = off",
    "SET enable_indexonlyscan = off",
    "SET enable_bitmapscan = off",
)
LAST_VISIT = """
    SELECT count(*) FROM (
        SELECT patient_key, max(start_at) FROM contract.visit GROUP BY patient_key
    ) AS last_visit
"""
COUNT = "SELECT count(*), max(start_at) FROM contract.visit"
POPULATION = """
    SELECT count(*) AS living, count(*) FILTER (WHERE last_visit.at < :since) AS inactive
    FROM contract.patient AS p
    LEFT JOIN (
        SELECT patient_key, max(start_at) AS at FROM contract.visit
        WHERE status <> 'cancelled' AND start_at < :ends GROUP BY patient_key
    ) AS last_visit ON last_visit.patient_key = p.patient_key
    WHERE p.death_date IS NULL OR p.death_date > :day
"""


@dataclass(frozen=True)
class Sized:
    """The figures of one size: seconds."""

    last_visit: float
    count: float
    first: list[Measured]
    second: list[Measured]
    education: list[Measured]


def main() -> int:
    """Measure and publish."""
    figures: list[Figure] = []
    with site() as made:
        for patients in SIZES:
            warehouse = generate(made.postgres, patients)
            figures += _figures(f"{patients:,} patients", _measure(made, warehouse))
            drop(made.postgres, warehouse)
    server = ", ".join(f"{name} {value}" for name, value in SERVER_SETTINGS.items())
    note = (
        f"{CAMPAIGN}, median of {TIMES}, warm; extract in a process of its own, with its store.\n"
        "last visit, count: sequential aggregates over the same encounters, one process.\n"
        f"PostgreSQL for all of it: {server}"
    )
    return publish("extract", note, figures)


def _measure(made: Site, warehouse: Warehouse) -> Sized:
    last_visit, count = _baseline(warehouse, LAST_VISIT), _baseline(warehouse, COUNT)
    first, kept = _first_runs(made, warehouse, CAMPAIGN)
    education: list[Measured] = []
    if warehouse.patients <= 1_000_000:
        education, other = _first_runs(made, warehouse, "health_education")
        made.drop(other)
    warehouse.another_day(NEXT_DAY)
    second = []
    for _ in range(TIMES):
        database = made.new_store(kept)
        second.append(_extract(made, warehouse, database, CAMPAIGN, NEXT_DAY))
        made.drop(database)
    made.drop(kept)
    return Sized(last_visit, count, first, second, education)


def _baseline(warehouse: Warehouse, statement: str) -> float:
    engine = warehouse.engine()
    seconds = []
    with engine.connect() as connection:
        for setting in SEQUENTIALLY:
            connection.execute(text(setting))
        for _ in range(TIMES):
            begun = perf_counter()
            connection.execute(text(statement)).all()
            seconds.append(perf_counter() - begun)
    engine.dispose()
    return median(seconds)


def _first_runs(made: Site, warehouse: Warehouse, campaign: str) -> tuple[list[Measured], str]:
    """A first day in a store of its own each time; the last store is kept for the second day."""
    found, database = [], ""
    for _ in range(TIMES):
        if database:
            made.drop(database)
        database = made.new_store()
        found.append(_extract(made, warehouse, database, campaign, DAY))
    return found, database


def _extract(made: Site, warehouse: Warehouse, database: str, campaign: str, day: date) -> Measured:
    run_id = made.open(warehouse, database, campaign, day)
    found = made.task("extract", run_id, warehouse, database, campaign, day)
    _require_right(warehouse, found, day)
    return found


def _require_right(warehouse: Warehouse, found: Measured, day: date) -> None:
    """A wrong answer has no speed."""
    right = _population(warehouse, day)
    if (found.counts["living"], found.counts["inactive"]) != right:
        sys.exit(f"extract counts {found.counts}, but living and inactive are {right}")


@cache
def _population(warehouse: Warehouse, day: date) -> tuple[int, int]:
    """Living and inactive, asked in the plainest way."""
    ends, since = midnight(day), midnight(day - timedelta(days=180))
    engine = warehouse.engine()
    with engine.connect() as connection:
        row = connection.execute(text(POPULATION), {"day": day, "ends": ends, "since": since}).one()
    engine.dispose()
    return row.living, row.inactive


def _figures(size: str, sized: Sized) -> list[Figure]:
    first, second = _seconds(sized.first), _seconds(sized.second)
    figures = [
        at_most(
            f"{size}: first day / last visit",
            first,
            "s",
            baseline=sized.last_visit,
            target=round(MOST_TIMES_THE_BASELINE * sized.last_visit, 3),
        ),
        at_most(
            f"{size}: first day / count",
            first,
            "s",
            baseline=sized.count,
            target=round(MOST_TIMES_THE_BASELINE * sized.count, 3),
        ),
        at_most(
            f"{size}: next day / first day",
            second,
            "s",
            baseline=first,
            target=round(SECOND_DAY_MOST * first, 3),
        ),
        at_most(
            f"{size}: memory of the task",
            max(one.megabytes for one in sized.first + sized.second + sized.education),
            "MB",
            baseline=max(one.imported_megabytes for one in sized.first),
            target=MOST_MEGABYTES,
        ),
    ]
    if sized.education:
        figures.append(
            at_most(
                f"{size}: health_education / last visit",
                _seconds(sized.education),
                "s",
                baseline=sized.last_visit,
                target=None,
            )
        )
    return figures


def _seconds(measured: list[Measured]) -> float:
    return median(one.seconds for one in measured)


if __name__ == "__main__":
    sys.exit(main())
