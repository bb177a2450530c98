"""Gate: nobody is written to unless Great Expectations finds the batch as it was promised.

Four suites. The staged batch: columns exactly the declared ones, addresses well-formed. The cohort,
in the warehouse: the facts of everyone staged, asked of the sources by SQL of its own, so that a
fault in the extraction cannot vouch for itself. The audience: as many candidates, and as many
with nothing against them, as that SQL finds, since a wrong exclusion is a fault, too. The source:
freshness of the load, row counts within the norm. Verdicts are kept as suite, type, column,
severity and success; no value of a row is ever in them (OLN-08). A red gate raises GateError naming
what failed, after the verdicts are recorded.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from reengage import checks, staging
from reengage.pipeline import norms
from reengage.pipeline.asking import asking
from reengage.pipeline.extract import ENVELOPE
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete, ending
from reengage.sql import load_sql

FRAME_PARTS = 40
"""Parts of the batch that are looked at together: memory stays the same however large the batch."""

KINDS = {"appointment": "appointment", "refill": "refill"}
"""What the letters of a campaign are about, by its period; any other is of the calendar."""

Verdicts = dict[str, list[checks.Verdict]]


def gate(run: Run) -> int:
    """Check batch, cohort, audience and source; gives the number of expectations that held."""
    suites = run.campaign.suites
    with checks.warehouse_session(run.settings.warehouse_url) as session:
        found: Verdicts = {suites.batch: _check_batch(run)}
        _ask_sources(run, session.connection)
        found[suites.cohort] = _check_cohort(run, session)
        if suites.audience:
            found[suites.audience] = _check_audience(run, session, suites.audience)
        found[suites.source] = _check_source(run, session)
    record(run, found)
    return sum(verdict.success for verdicts in found.values() for verdict in verdicts)


def record(run: Run, found: Verdicts) -> None:
    """Keep the verdicts on the run, whatever they are. Raises GateError where one stops it."""
    verdicts = [{"suite": s, **asdict(verdict)} for s, some in found.items() for verdict in some]
    stopping = any(not v["success"] and v["severity"] == "critical" for v in verdicts)
    with run.store.connect() as connection:
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
        with ending(connection, run, verdicts):
            for suite, some in found.items():
                checks.require(suite, some)
        complete(connection, run, verdicts=verdicts)
        connection.commit()


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
            gc.collect()  # a context and its frame hold one another, and would pile up
    if rows or not yielded:
        yield pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns, dtype=object)


def _parts(run: Run) -> Iterator[list[staging.Row]]:
    key = run.data_key
    with run.store.connect() as connection:
        yield from staging.read_parts(connection, key, staging.part_numbers(connection, run.run_id))


def _ask_sources(run: Run, connection: Connection) -> None:
    """Fill the session's tables: whom it asks about, and what the sources say of them."""
    home, kind = run.settings.home, KINDS.get(run.campaign.period, "calendar")
    asked = {**asking(run), "kind": kind}
    connection.execute(text(load_sql(home, "gate/session.sql")))
    _hand_over(run, connection)
    questions = ["cohort", "source"]
    if run.campaign.suites.audience:
        questions.insert(0, "expected")
    for question in questions:
        connection.execute(text(load_sql(home, f"gate/{question}.sql")), asked)
        connection.execute(text("ANALYZE subject"))
    connection.commit()


def _hand_over(run: Run, connection: Connection) -> None:
    """Tell the session who was staged: the warehouse's own keys, back to where they come from.

    A row without its patient is for the suite of the batch to tell.
    """
    driver: Any = connection.connection.driver_connection
    columns = ("recipient", "authorization_key", "appointment_key", "medication_key")
    with driver.cursor() as cursor:
        with cursor.copy(
            f"COPY subject (patient_key, staged, {', '.join(columns)}) FROM STDIN"
        ) as copy:
            for row in (row for rows in _parts(run) for row in rows if row.get("patient_key")):
                copy.write_row([row["patient_key"], True, *(row.get(c) for c in columns)])
        cursor.execute("ANALYZE subject")


def _check_cohort(run: Run, session: checks.WarehouseSession) -> list[checks.Verdict]:
    suite = checks.load_suite(run.settings.home, run.campaign.suites.cohort)
    return session.check(suite, "SELECT * FROM cohort WHERE staged")


def _check_audience(run: Run, session: checks.WarehouseSession, name: str) -> list[checks.Verdict]:
    """Whether extraction and gate, asking in their own ways, count the same."""
    suite = checks.load_suite(run.settings.home, name)
    facts = [
        c for c in _columns(session.connection, "cohort") if c not in ("patient_key", "staged")
    ]
    query = (
        "SELECT count(*) AS asked,"  # noqa: S608 - names of our own table
        f" count(*) FILTER (WHERE {' AND '.join(facts)}) AS allowed FROM cohort WHERE NOT staged"
    )
    return session.check(suite, query, _found(run, session.connection))


def _found(run: Run, connection: Connection) -> dict[str, int]:
    """What the extraction counted, as bounds. Exact, unless the warehouse was loaded since."""
    with run.store.connect() as store:
        counted = store.execute(
            text("SELECT asked, allowed, loaded_at FROM run WHERE run_id = :run_id"),
            {"run_id": run.run_id},
        ).one()
    loaded_at = connection.execute(text("SELECT max(loaded_at) FROM contract.load")).scalar()
    changed = loaded_at != counted.loaded_at
    found: dict[str, int] = {}
    for name in ("asked", "allowed"):
        count = getattr(counted, name)
        slack = 5 + count // 50 if changed else 0
        found |= {f"{name}_least": max(0, count - slack), f"{name}_most": count + slack}
    return found


def _columns(connection: Connection, table: str) -> list[str]:
    return list(connection.execute(text(f"SELECT * FROM {table} LIMIT 0")).keys())  # noqa: S608


def _check_source(run: Run, session: checks.WarehouseSession) -> list[checks.Verdict]:
    suite = checks.load_suite(run.settings.home, run.campaign.suites.source)
    counts = session.connection.execute(text("SELECT * FROM source")).mappings().first()
    with run.store.begin() as store:
        limits = norms.bounds(store, run)
        store.execute(
            text("UPDATE run SET source_counts = CAST(:counts AS jsonb) WHERE run_id = :run_id"),
            {
                "run_id": run.run_id,
                "counts": json.dumps(
                    {name: counts[name] for name in norms.COUNTS} if counts else {}
                ),
            },
        )
    return session.check(suite, "SELECT * FROM source", limits)
