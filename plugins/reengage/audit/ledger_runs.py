"""Ledger runs: what the ledger knows of each run, and the end that it gives one that died.

A task leaves START before it does anything and one end with its last statement. One that was killed
leaves no end: the audit appends ABORT with what Airflow says of it, so that every run closes
(OLN-02). The head is held meanwhile, so that a task that is alive after all is not contradicted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import run_event
from reengage.lineage.events import error_message, instant
from reengage.sql import load_sql

ENDS = ("COMPLETE", "FAIL", "ABORT")


@dataclass
class Run:
    """One run: a try of a task, by its run id."""

    run_id: UUID
    first: int
    """Index of its first event."""
    start: Mapping[str, Any]
    """That event, whole."""
    end: str | None = None

    @property
    def job(self) -> str:
        """`<dag id>.<task id>`."""
        return str(self.start.get("job", {}).get("name", ""))

    @property
    def at(self) -> datetime:
        """The instant that its run id is made of, to the millisecond (RFC 9562 section 5.7)."""
        return datetime.fromtimestamp((self.run_id.int >> 80) / 1000, UTC)


def read_runs(
    connection: Connection, home: Path, *, first: int, size: int, of: Collection[UUID] = ()
) -> dict[UUID, Run]:
    """Runs with an event from `first` on and below `size`, and those named whatever their events'
    indices.
    """
    asked = {"first": first, "size": size, "runs": [str(one) for one in of]}
    runs: dict[UUID, Run] = {}
    for row in connection.execute(text(load_sql(home, "audit/run_events.sql")), asked):
        run_id, event = _read(row)
        run = runs.setdefault(run_id, Run(run_id, row.number, event))
        if event["eventType"] in ENDS:
            run.end = event["eventType"]
    return runs


def _read(row: Any) -> tuple[UUID, dict[str, Any]]:
    try:
        event = json.loads(bytes(row.entry))["body"]
        return UUID(event["run"]["runId"]), event | {"eventType": str(event["eventType"])}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise LedgerError(
            f"entry {row.number} is no run event that can be read; run `python -m reengage ledger"
            " verify`"
        ) from None


def close(connection: Connection, keyring: Keyring, run: Run, *, at: datetime, why: str) -> bool:
    """Append ABORT for a run without an end; whether it still had none."""
    connection.execute(text("SELECT FROM ledger_head FOR UPDATE"))
    if _ends(connection, run):
        return False
    append(connection, keyring, [run_event(_abort(run, at, why))])
    return True


def _ends(connection: Connection, run: Run) -> set[str]:
    """The ends that the run has by now."""
    rows = connection.execute(
        text(
            "SELECT index AS number, entry FROM ledger_entry"
            " WHERE kind = 'run_event' AND subject = :run"
        ),
        {"run": str(run.run_id)},
    )
    return {_read(row)[1]["eventType"] for row in rows} & set(ENDS)


def _abort(run: Run, at: datetime, why: str) -> dict[str, Any]:
    """The run's first event again, as its end: the same job and parent, no datasets."""
    facets = {**run.start["run"].get("facets", {}), "errorMessage": error_message(why)}
    return {
        **run.start,
        "eventType": "ABORT",
        "eventTime": instant(at),
        "run": {**run.start["run"], "facets": facets},
        "inputs": [],
        "outputs": [],
    }
