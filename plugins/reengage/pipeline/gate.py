"""Gate: nobody is written to unless Great Expectations finds the batch as it was promised.

Three suites: the staged batch (columns exactly the declared ones, addresses well-formed, one row
per patient); the cohort in the warehouse (the facts of everyone staged, asked of the sources by SQL
of its own, so that a fault in the extraction cannot vouch for itself); the source (freshness of the
load). Verdicts are kept as suite, type, column, severity and success; no value of a row is ever in
them (OLN-08). A red gate raises GateError naming what failed, after the verdicts are recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
from sqlalchemy import Connection, text

from reengage import checks, staging
from reengage.pipeline.extract import ENVELOPE, cohort_parameters
from reengage.pipeline.run import Run
from reengage.sql import load_sql

FRAME_PARTS = 40
"""Parts of the batch that are looked at together: memory stays the same however large the batch."""

Verdicts = dict[str, list[checks.Verdict]]


def gate(run: Run) -> int:
    """Check batch, cohort and source; gives the number of expectations that held."""
    suites = run.campaign.suites
    with checks.warehouse_session(run.settings.warehouse_url) as session:
        found: Verdicts = {suites.batch: _check_batch(run)}
        found[suites.cohort] = _check_cohort(run, session)
        found[suites.source] = _check_source(run, session)
    record(run, found)
    for suite, verdicts in found.items():
        checks.require(suite, verdicts)
    return sum(verdict.success for verdicts in found.values() for verdict in verdicts)


def record(run: Run, found: Verdicts) -> None:
    """Keep the verdicts on the run, whatever they are."""
    verdicts = [{"suite": s, **asdict(verdict)} for s, some in found.items() for verdict in some]
    stopping = any(not v["success"] and v["severity"] == "critical" for v in verdicts)
    with run.store.begin() as connection:
        connection.execute(
            text(
                "UPDATE run SET gate = :gate, verdicts = CAST(:verdicts AS jsonb)"
                " WHERE run_id = :run_id"
            ),
            {
                "run_id": run.run_id,
                "gate": "red" if stopping else "green",
                "verdicts": json.dumps(verdicts),
            },
        )


def _check_batch(run: Run) -> list[checks.Verdict]:
    """Each frame by itself; an expectation holds when it holds for all of them."""
    suite = checks.load_suite(run.settings.home, run.campaign.suites.batch)
    parameters = {
        "columns": [*ENVELOPE, *run.campaign.sources()],
        "languages": list(run.campaign.languages),
    }
    total: list[checks.Verdict] = []
    for frame in _frames(run):
        verdicts = checks.check_frame(suite, frame, parameters)
        total = [_both(a, b) for a, b in zip(total or verdicts, verdicts, strict=True)]
    return total


def _both(one: checks.Verdict, other: checks.Verdict) -> checks.Verdict:
    return replace(
        one,
        success=one.success and other.success,
        evaluated=one.evaluated and other.evaluated,
    )


def _frames(run: Run) -> Iterator[pd.DataFrame]:
    """The staged batch as frames; one without rows, but with its columns, when it is empty."""
    columns = [*ENVELOPE, *run.campaign.sources()]
    rows: list[staging.Row] = []
    yielded = False
    for number, part in enumerate(_parts(run), start=1):
        rows += part
        if number % FRAME_PARTS == 0:
            yield pd.DataFrame(rows)
            rows, yielded = [], True
    if rows or not yielded:
        yield pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns, dtype=object)


def _parts(run: Run) -> Iterator[list[staging.Row]]:
    key = run.data_key
    with run.store.connect() as connection:
        yield from staging.read_parts(connection, key, staging.part_numbers(connection, run.run_id))


def _check_cohort(run: Run, session: checks.WarehouseSession) -> list[checks.Verdict]:
    suite = checks.load_suite(run.settings.home, run.campaign.suites.cohort)
    home, connection = run.settings.home, session.connection
    connection.execute(text(load_sql(home, "gate/session.sql")))
    _hand_over(run, connection)
    connection.execute(text(load_sql(home, "gate/cohort.sql")), cohort_parameters(run))
    connection.commit()
    return session.check(suite, "SELECT * FROM cohort")


def _hand_over(run: Run, connection: Connection) -> None:
    """Tell the session who was staged: the warehouse's own keys, back to where they come from."""
    driver: Any = connection.connection.driver_connection
    columns = ("patient_key", "recipient", "authorization_key", "medication.name")
    with driver.cursor() as cursor:
        with cursor.copy("COPY staged FROM STDIN") as copy:
            for rows in _parts(run):
                for row in rows:
                    copy.write_row([row.get(column) for column in columns])
        cursor.execute("ANALYZE staged")


def _check_source(run: Run, session: checks.WarehouseSession) -> list[checks.Verdict]:
    suite = checks.load_suite(run.settings.home, run.campaign.suites.source)
    zone = ZoneInfo(run.campaign.time_zone)
    midnight = datetime.combine(run.day + timedelta(days=1), time(), zone)
    session.connection.execute(
        text("SELECT set_config('reengage.midnight', :midnight, false)"),
        {"midnight": midnight.isoformat()},
    )
    session.connection.commit()
    return session.check(suite, load_sql(run.settings.home, "gate/source.sql"))
