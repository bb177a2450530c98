"""Steps: how long each task of a run took, for the summary and the report."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text

from reengage import store
from reengage.settings import read_settings


def record_step(
    run_id: UUID, *, task: str, map_index: int, try_number: int, started_at: datetime, outcome: str
) -> None:
    """Note one try of a task, or how it ended after all. A run that preflight could not open has no
    steps to note.
    """
    statement = text(
        "INSERT INTO step (run_id, task, map_index, try_number, started_at, ended_at, outcome)"
        " SELECT run_id, :task, :map_index, :try_number, :started_at, :ended_at, :outcome"
        " FROM run WHERE run_id = :run_id"
        " ON CONFLICT (run_id, task, map_index, try_number, started_at)"
        " DO UPDATE SET ended_at = excluded.ended_at, outcome = excluded.outcome"
    )
    with store.connect(read_settings().store_url).begin() as connection:
        connection.execute(
            statement,
            {
                "run_id": run_id,
                "task": task,
                "map_index": map_index,
                "try_number": try_number,
                "started_at": started_at,
                "ended_at": datetime.now(UTC),
                "outcome": outcome,
            },
        )
