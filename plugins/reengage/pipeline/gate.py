"""Gate: nobody is written to unless Great Expectations finds the batch as it was promised.

Three suites: the staged batch (columns exactly the declared ones, addresses well-formed, one row
per patient), the cohort in the warehouse (its facts computed afresh from the contract, so that a
bug in the extraction cannot vouch for itself), the source (freshness of the load). Verdicts are
kept as suite, type, column, severity and success; no value of a row is ever in them (OLN-08).
A red gate raises GateError naming the expectations that failed, after the verdicts are recorded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict

import pandas as pd
from sqlalchemy import text

from reengage import checks, staging
from reengage.pipeline.extract import ENVELOPE
from reengage.pipeline.run import Run
from reengage.sql import load_sql


def gate(run: Run) -> int:
    """Check batch, cohort and source; gives the number of expectations that held."""
    frame = staged_frame(run)
    found = {
        run.campaign.suites.batch: _check_batch(run, frame),
        run.campaign.suites.cohort: _check_cohort(run, frame["patient_key"]),
        run.campaign.suites.source: _check_source(run),
    }
    record(run, found)
    for suite, verdicts in found.items():
        checks.require(verdicts, suite)
    return sum(len(verdicts) for verdicts in found.values())


def staged_frame(run: Run) -> pd.DataFrame:
    """The whole staged batch, with its columns even when it is empty."""
    key = run.data_key
    with run.store.connect() as connection:
        parts = staging.part_numbers(connection, run.run_id)
        rows = [row for part in staging.read_parts(connection, key, parts) for row in part]
    if rows:
        return pd.DataFrame(rows)
    return pd.DataFrame(columns=[*ENVELOPE, *run.campaign.sources()], dtype=object)


def record(run: Run, found: dict[str, list[checks.Verdict]]) -> None:
    """Keep the verdicts on the run, whatever they are."""
    verdicts = [{"suite": s, **asdict(verdict)} for s, some in found.items() for verdict in some]
    stopping = any(not v["success"] and v["severity"] == "critical" for v in verdicts)
    with run.store.begin() as connection:
        connection.execute(
            text("UPDATE run SET gate = :gate, verdicts = CAST(:verdicts AS jsonb) WHERE run_id = :run_id"),
            {
                "run_id": run.run_id,
                "gate": "red" if stopping else "green",
                "verdicts": json.dumps(verdicts),
            },
        )


def _check_batch(run: Run, frame: pd.DataFrame) -> list[checks.Verdict]:
    suite = checks.load_suite(run.settings.home, run.campaign.suites.batch)
    parameters = {
        "columns": [*ENVELOPE, *run.campaign.sources()],
        "languages": list(run.campaign.languages),
        "max_rows": run.campaign.caps.letters_per_run,
    }
    return checks.check_frame(suite, frame, parameters)


def _check_cohort(run: Run, patient_keys: Iterable[str]) -> list[checks.Verdict]:
    suite = checks.load_suite(run.settings.home, run.campaign.suites.cohort)
    query = load_sql(run.settings.home, "gate/cohort.sql")
    raise NotImplementedError


def _check_source(run: Run) -> list[checks.Verdict]:
    raise NotImplementedError
