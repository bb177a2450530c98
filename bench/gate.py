"""The cohort suite in the warehouse on a million staged rows, in seconds per million.

Told apart: the hand-over of the keys to the warehouse's session, the facts (what the sources say of
each row, in SQL of the gate's own), and the suite that Great Expectations computes on them.
Everybody in a generated warehouse is staged, ten times what a campaign of that size has, so that no
fixed cost hides; most facts hold for most rows. Baseline: the rows joined to patient and counted.
ROWS=100000 measures with so many.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from time import perf_counter

from daily import Site, site
from harness import Figure, at_most, publish
from reengage import checks, staging
from reengage.pipeline import gate
from reengage.pipeline.asking import asking
from reengage.pipeline.run import Run, resume
from reengage.sql import load_sql
from sqlalchemy import text
from warehouse import DAY, SERVER_SETTINGS, SQL, Warehouse, generate, midnight

ROWS = int(os.environ.get("ROWS", "1000000"))
CAMPAIGN = "appointment_reminder"
TARGET_SECONDS = 2
BASELINE = "SELECT count(*) FROM subject JOIN contract.patient AS p USING (patient_key)"


def main() -> int:
    """Measure and publish."""
    with site() as made:
        seconds = _measure(made, generate(made.postgres, ROWS))
    million = ROWS / 1_000_000
    baseline = seconds["count"] / million
    seconds["facts and suite"] = seconds["facts"] + seconds["suite"]
    figures: list[Figure] = [
        at_most(
            f"{name}, per million rows",
            seconds[name] / million,
            "s",
            baseline=baseline,
            target=TARGET_SECONDS if name in ("suite", "facts and suite") else None,
        )
        for name in ("facts and suite", "suite", "facts", "hand-over")
    ]
    server = ", ".join(f"{name} {value}" for name, value in SERVER_SETTINGS.items())
    note = (
        f"{ROWS:,} staged rows of {CAMPAIGN}, {ROWS:,} patients, {10 * ROWS:,} encounters, once.\n"
        "baseline: the staged rows joined to patient and counted, in the same session.\n"
        f"PostgreSQL for all of it: {server}"
    )
    return publish("gate", note, figures)


def _measure(made: Site, warehouse: Warehouse) -> dict[str, float]:
    database = made.new_store()
    run_id = made.open(warehouse, database, CAMPAIGN, DAY)
    run = resume(made.settings(warehouse, database, DAY), CAMPAIGN, run_id)
    _stage_everyone(run)
    home = run.settings.home
    asked = {**asking(run), "kind": gate.KINDS[run.campaign.period]}
    with checks.warehouse_session(run.settings.warehouse_url) as session:
        connection = session.connection
        connection.execute(text(load_sql(home, "gate/session.sql")))
        cohort = text(load_sql(home, "gate/cohort.sql"))
        seconds = {
            "hand-over": _timed(lambda: gate._hand_over(run, connection)),
            "facts": _timed(lambda: connection.execute(cohort, asked)),
        }
        connection.execute(text(BASELINE)).all()
        seconds["count"] = _timed(lambda: connection.execute(text(BASELINE)).all())
        connection.commit()
        seconds["suite"] = _timed(lambda: _require_evaluated(gate._check_cohort(run, session)))
    return seconds


def _stage_everyone(run: Run) -> None:
    """Staged in sealed parts, as the extraction leaves them."""
    with run.warehouse.connect() as source, run.store.begin() as sink:
        result = source.execution_options(yield_per=staging.PART_PATIENTS).execute(
            text((SQL / "everyone.sql").read_text(encoding="utf-8")), {"ends": midnight(DAY)}
        )
        rows = result.mappings().partitions(staging.PART_PATIENTS)
        for number, part in enumerate(rows):
            staging.write_part(sink, run.data_key, number, [dict(row) for row in part])


def _require_evaluated(verdicts: list[checks.Verdict]) -> None:
    """What could not be computed has no speed."""
    if missing := [str(verdict) for verdict in verdicts if not verdict.evaluated]:
        sys.exit(f"not evaluated: {', '.join(missing)}")


def _timed(work: Callable[[], object]) -> float:
    begun = perf_counter()
    work()
    return perf_counter() - begun


if __name__ == "__main__":
    sys.exit(main())
