"""A day's outcomes of a million letters against ten million visits, as a ratio to the bare join.

Bare join: the same followed patients, in a temporary table of the warehouse, joined with their
visits, and the first visit after each began; one process, nothing else. Measured is `observe` as
the DAG's task runs it, keys opened and handed over, answers kept in the store; and `publish`.
The first day learns everything and tells two months, the next one only what is new. LETTERS=100000
measures that many, with ten visits each. The key of every tenth patient alone is held out.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import dataclass, replace
from datetime import date, timedelta
from statistics import median
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

from daily import site
from harness import Figure, at_most, publish
from reengage import store
from reengage.campaigns import Campaign, load_campaign
from reengage.keys import Keyring, open_keyring
from reengage.outcomes.observe import observe
from reengage.outcomes.publish import publish as publish_report
from reengage.settings import HOME, Settings
from sqlalchemy import Connection, create_engine, text
from warehouse import DAY, SERVER_SETTINGS, Warehouse, drop, generate, noon

LETTERS = int(os.environ.get("LETTERS", "1000000"))
PART = 500
TIMES = 3
CAMPAIGN = "health_education"
BEGUN = DAY - timedelta(days=120)
MOST_TIMES_THE_JOIN = 5
JOIN = """
    SELECT count(*), count(first_at) FROM (
        SELECT f.patient_key, min(v.start_at) AS first_at
        FROM followed AS f
        LEFT JOIN contract.visit AS v
          ON v.patient_key = f.patient_key AND v.status = 'finished' AND v.start_at > f.begins_at
        GROUP BY f.patient_key
    ) AS returned
"""


@dataclass(frozen=True)
class Timed:
    """Seconds of a day's two tasks, and what they counted."""

    observe: float
    publish: float
    changed: int


def main() -> int:
    """Measure and publish."""
    with site() as made:
        warehouse = generate(made.postgres, LETTERS)
        database = made.new_store()
        settings = replace(made.settings(warehouse, database, DAY), pinned_now=noon(DAY))
        campaign = load_campaign(HOME, CAMPAIGN)
        _follow(settings, campaign, warehouse)
        join = _bare_join(warehouse)
        first = _day(settings, campaign, DAY - timedelta(days=2))
        later = [_day(settings, campaign, DAY - timedelta(days=1))]
        warehouse.another_day(DAY)
        later.append(_day(settings, campaign, DAY))
        figures = _figures(join, first, later)
        drop(made.postgres, warehouse)
    server = ", ".join(f"{name} {value}" for name, value in SERVER_SETTINGS.items())
    note = (
        f"{LETTERS:,} follow-ups, {LETTERS * 10:,} visits; one process, warm.\n"
        f"bare join: median of {TIMES}. PostgreSQL for all of it: {server}"
    )
    return publish("outcomes", note, figures)


def _follow(settings: Settings, campaign: Campaign, warehouse: Warehouse) -> None:
    """Follow-ups of all patients, begun over a month, in runs of their own days."""
    keyring = open_keyring(settings.keyring)
    engine = create_engine(warehouse.url)
    with engine.connect() as source, store.connect(settings.store_url).begin() as sink:
        keys = source.execution_options(yield_per=50_000).execute(
            text("SELECT patient_key FROM contract.patient ORDER BY patient_key")
        )
        runs = [_run(sink, campaign, BEGUN + timedelta(days=n)) for n in range(30)]
        for number, some in enumerate(keys.scalars().partitions(PART)):
            run_id, day = runs[number % 30]
            _part(sink, keyring, campaign, run_id, day, number // 30, list(some))
    with create_engine(settings.store_url, isolation_level="AUTOCOMMIT").connect() as sink:
        sink.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def _run(sink: Connection, campaign: Campaign, day: date) -> tuple[UUID, date]:
    run_id = uuid4()
    sink.execute(
        text(
            "INSERT INTO run (run_id, campaign, campaign_date, mode, dag_run_id, campaign_sha256,"
            " vendor, baa_id) VALUES (:run_id, :campaign, :day, 'live', 'bench', '', 'v', 'b')"
        ),
        {"run_id": run_id, "campaign": campaign.slug, "day": day},
    )
    return run_id, day


def _part(
    sink: Connection, keyring: Keyring, campaign: Campaign, run_id: UUID, day: date, part: int,
    keys: list[str],
) -> None:  # fmt: skip
    named = {keyring.pseudonym("patient", key): [key, None] for key in keys}
    sealed = keyring.create_month_key(day).seal(
        json.dumps(named).encode(), bound_to=f"follow-up/{run_id}/{part}"
    )
    sink.execute(
        text("INSERT INTO follow_up_key VALUES (:run_id, :part, :sealed)"),
        {"run_id": run_id, "part": part, "sealed": sealed},
    )
    driver: Any = sink.connection.driver_connection
    with (
        driver.cursor() as cursor,
        cursor.copy(
            "COPY follow_up (campaign, patient, period, run_id, part, campaign_date, arm,"
            " begins_at, counts) FROM STDIN"
        ) as copy,
    ):
        for number, patient in enumerate(named):
            arm = "write" if number % 10 else "holdout"
            row = (campaign.slug, patient, "", run_id, part, day, arm, noon(day), True)
            copy.write_row(row)


def _bare_join(warehouse: Warehouse) -> float:
    engine = create_engine(warehouse.url)
    seconds = []
    with engine.connect() as connection:
        connection.execute(
            text(
                "CREATE TEMPORARY TABLE followed AS SELECT patient_key,"
                " CAST(:begun AS timestamptz) AS begins_at FROM contract.patient"
            ),
            {"begun": noon(BEGUN + timedelta(days=15))},
        )
        connection.execute(text("ANALYZE followed"))
        for _ in range(TIMES):
            begun = perf_counter()
            connection.execute(text(JOIN)).one()
            seconds.append(perf_counter() - begun)
    engine.dispose()
    return median(seconds)


def _day(settings: Settings, campaign: Campaign, day: date) -> Timed:
    keyring = open_keyring(settings.keyring)
    begun = perf_counter()
    observed = observe(settings, keyring, campaign, day)
    between = perf_counter()
    told = publish_report(settings, campaign, day)
    ended = perf_counter()
    if observed is None or observed.asked != LETTERS or not told.told:
        sys.exit(f"as of {day}: {observed}, {told}, for {LETTERS:,} follow-ups")
    return Timed(between - begun, ended - between, observed.changed)


def _figures(join: float, first: Timed, later: list[Timed]) -> list[Figure]:
    named = f"{LETTERS:,} letters"
    daily = median(one.observe for one in later)
    return [
        at_most(
            f"{named}: observe, first day / bare join",
            first.observe,
            "s",
            baseline=join,
            target=None,
        ),
        at_most(
            f"{named}: observe, a day / bare join",
            daily,
            "s",
            baseline=join,
            target=round(MOST_TIMES_THE_JOIN * join, 3),
        ),
        at_most(
            f"{named}: publish, two months at once / bare join",
            first.publish,
            "s",
            baseline=join,
            target=None,
        ),
        at_most(
            f"{named}: memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
            "MB", baseline=None, target=400,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
