"""What the gate's tests share: one practice for a module, batches to be spoiled, verdicts.

All runs are dry, and none knows of another; the warehouse is emptied between two tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from daily import Practice, dry_practice
from eligibility import EDUCATION, fill, home_of_cases
from eligibility import case as patient
from reengage import staging
from reengage.embedded import postgres
from reengage.errors import GateError
from reengage.pipeline.extract import extract
from reengage.pipeline.gate import gate
from reengage.pipeline.plan import plan
from reengage.pipeline.run import Run
from reengage.settings import HOME
from sqlalchemy import text
from world import NOW

Row = dict[str, Any]
Tamper = Callable[[list[Row]], list[Row]]
SUITES = ("batch", "cohort", "audience", "source")


@contextmanager
def gate_practice(server: postgres.Postgres, directory: Path) -> Iterator[Practice]:
    """A practice for all tests of a module, with the campaigns of the case table."""
    with dry_practice(server, directory) as practice:
        practice.settings = replace(practice.settings, home=home_of_cases(directory / "home"))
        yield practice


def emptied(practice: Practice) -> Practice:
    """The practice, with a warehouse in which nobody is."""
    with practice.world.engine.begin() as connection:
        views = connection.execute(
            text("SELECT tablename FROM pg_tables WHERE schemaname = 'contract'")
        ).scalars()
        tables = ", ".join(f'contract."{view}"' for view in views)
        connection.execute(text(f"TRUNCATE {tables}"))
    practice.world.set("load", source="test", loaded_at=NOW, data_until=NOW)
    return practice


def extracted(
    practice: Practice, campaign: str = EDUCATION, patients: int = 1, **odd: Any
) -> tuple[Run, dict[str, str]]:
    """A run with a sound batch; and one odd patient, where something is said of them.

    Gives the keys, too: `p0` and so on of the sound ones, `odd` of the other.
    """
    cases = [patient(f"p{number}", "", campaigns=campaign) for number in range(patients)]
    cases += [patient("odd", "", campaigns=campaign, **odd)] if odd else []
    keys = {name: key for key, name in fill(practice.world, cases).items()}
    run = practice.open(campaign, dry=True)
    assert extract(run).eligible >= patients
    return run, keys


def batch_of(run: Run) -> list[Row]:
    """The staged rows."""
    with run.store.connect() as connection:
        numbers = staging.part_numbers(connection, run.run_id)
        return [
            row for part in staging.read_parts(connection, run.data_key, numbers) for row in part
        ]


def tampered(run: Run, tamper: Tamper) -> None:
    """Stage the rows anew, changed."""
    rows = tamper(batch_of(run))
    with run.store.begin() as connection:
        staging.clear_batch(connection, run.run_id)
        for number, start in enumerate(range(0, len(rows), staging.PART_PATIENTS)):
            some = rows[start : start + staging.PART_PATIENTS]
            staging.write_part(connection, run.data_key, number, some)


def all_rows(**changes: Any) -> Tamper:
    return lambda rows: [{**row, **changes} for row in rows]


def one_row(**changes: Any) -> Tamper:
    return lambda rows: [{**rows[0], **changes}, *rows[1:]]


def as_if_sound(key: str, **changes: Any) -> Tamper:
    """The odd patient's row besides the others, as an extraction with a fault would stage it."""

    def tamper(rows: list[Row]) -> list[Row]:
        row = {
            name: value.replace(rows[0]["patient_key"], key) if isinstance(value, str) else value
            for name, value in rows[0].items()
        }
        others = [one for one in rows if one["patient_key"] != key]
        return [*others, {**row, **changes}]

    return tamper


# --- verdicts ---


def entries(suite: str) -> list[str]:
    """Names of a suite's expectations, e.g. `cohort alive be_in_set`."""
    path = HOME / "expectations" / f"{suite}.json"
    told = json.loads(path.read_text(encoding="utf-8"))["expectations"]
    return _numbered(suite, [(one["type"], one["kwargs"].get("column")) for one in told])


def verdicts(practice: Practice, run: Run) -> list[Row]:
    [row] = practice.rows("SELECT verdicts FROM run WHERE run_id = :r", r=run.run_id)
    return row["verdicts"]  # type: ignore[return-value]


def red(practice: Practice, run: Run) -> set[str]:
    """Names of what does not hold."""
    found = set()
    kept = verdicts(practice, run)
    for suite in SUITES:
        of = [one for one in kept if one["suite"] == suite]
        names = _numbered(suite, [(one["type"], one["column"]) for one in of])
        found |= {
            name if one["evaluated"] else f"{name} (not evaluated)"
            for name, one in zip(names, of, strict=True)
            if not one["success"]
        }
    return found


def _numbered(suite: str, told: list[tuple[str, str | None]]) -> list[str]:
    """A name that comes again has a number."""
    seen: Counter[str] = Counter()
    names = []
    for kind, column in told:
        short = kind.removeprefix("expect_").removeprefix("column_values_to_")
        name = " ".join(filter(None, (suite, column, short)))
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return names


def assert_red(practice: Practice, run: Run, expected: set[str]) -> None:
    """Exactly these are red; the error names those of the first red suite; nothing goes on."""
    with pytest.raises(GateError) as refused:
        gate(run)
    assert red(practice, run) == expected
    failed = [one for one in verdicts(practice, run) if not one["success"]]
    first = failed[0]["suite"]
    for verdict in failed:
        if verdict["suite"] == first:
            named = verdict["type"] + (f" on {verdict['column']}" if verdict["column"] else "")
            assert named in str(refused.value)
    assert f"expectations/{first}.json" in str(refused.value)
    [row] = practice.rows("SELECT gate FROM run WHERE run_id = :r", r=run.run_id)
    assert row == {"gate": "red"}
    with pytest.raises(GateError, match="the gate has not passed this batch; clear `gate`"):
        plan(run)
