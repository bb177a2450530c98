"""Memory: where the last reconciliation that found everything in order, or accepted, left off.

The ledger itself holds it, as a facet of that task's COMPLETE. One that found gaps ends in FAIL, so
that the next one begins where it began and tells them again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.sql import load_sql

FACET = "reengage_reconciliation"
JOB = "reengage_audit.reconcile"


@dataclass(frozen=True)
class Memory:
    """What the next reconciliation needs to know of the last."""

    since: datetime
    """Airflow is asked for what changed since then."""
    next_index: int
    """The ledger is read from there."""
    began: datetime | None
    """When the ledger began; None = it is empty."""
    accepted: frozenset[tuple[UUID, str]] = frozenset()
    """Gaps that a person accepted, by run and kind."""


def recall(connection: Connection, home: Path) -> Memory:
    """The last one's, or that of a first: everything since the ledger's first entry."""
    first = connection.execute(text("SELECT entry FROM ledger_entry WHERE index = 0")).scalar()
    began = None
    if first is not None:
        began = datetime.fromisoformat(json.loads(bytes(first))["recorded_at"])
    statement = text(load_sql(home, "audit/last_reconciliation.sql"))
    with connection.execution_options(yield_per=1).execute(statement, {"facet": FACET}) as found:
        for row in found:
            event = json.loads(bytes(row.entry))["body"]
            if event["job"]["name"] == JOB and event["eventType"] == "COMPLETE":
                return _memory(event["run"]["facets"][FACET], began)
    return Memory(began or datetime.now(UTC), 0, began)


def _memory(facet: dict[str, Any], began: datetime | None) -> Memory:
    return Memory(
        datetime.fromisoformat(facet["until"]),
        int(facet["nextIndex"]),
        began,
        frozenset((UUID(gap["run"]), gap["what"]) for gap in facet["accepted"]),
    )
