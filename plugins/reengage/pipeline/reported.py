"""Reported: what a finished run comes to, counted once and kept for whoever looks.

The counts are those of `sql/reports/funnel.sql`, which `report` prints. A day's letters belong to
the day, whichever run sends them, so what changes a letter of a finished day forgets what was kept
of that day's runs, in its own transaction; who asks next has it counted again. Both hold the run's
row, so that nobody keeps a count that was made before a change and written after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.reasons import CONTRADICTIONS
from reengage.sql import load_sql


def counted(connection: Connection, home: Path, run_id: UUID) -> Mapping[str, Any] | None:
    """The funnel as it is now, as JSON has it; None where the run has extracted nothing."""
    row = connection.execute(
        text(load_sql(home, "reports/funnel.sql")),
        {"as_of": None, "run_id": run_id, "contradictions": sorted(CONTRADICTIONS)},
    ).one_or_none()
    if row is None:
        return None
    return {name: _plain(value) for name, value in row._mapping.items() if name != "seconds"}


def transport(connection: Connection, home: Path, run_id: UUID) -> list[dict[str, Any]]:
    """How the letters of the run's day travelled."""
    found = connection.execute(
        text(load_sql(home, "reports/transport.sql")), {"run_id": run_id}
    ).mappings()
    return [dict(row) for row in found]


def keep(connection: Connection, home: Path, run_id: UUID) -> None:
    """Count the run and keep it, in the caller's transaction, before it appends to the ledger."""
    connection.execute(
        text("SELECT 1 FROM run WHERE run_id = :run_id FOR NO KEY UPDATE"), {"run_id": run_id}
    )
    funnel = counted(connection, home, run_id)
    if funnel is None:
        return
    connection.execute(
        text(
            "INSERT INTO run_report (run_id, funnel, transport)"
            " VALUES (:run_id, CAST(:funnel AS jsonb), CAST(:transport AS jsonb))"
            " ON CONFLICT (run_id) DO UPDATE SET made_at = clock_timestamp(),"
            " funnel = excluded.funnel, transport = excluded.transport"
        ),
        {
            "run_id": run_id,
            "funnel": json.dumps(funnel),
            "transport": json.dumps(transport(connection, home, run_id)),
        },
    )


def forget(connection: Connection, campaign: str, day: date) -> None:
    """A letter of that day is another than it was; call it before the ledger is appended to."""
    _forget(connection, "campaign = :campaign AND campaign_date = :day",
            {"campaign": campaign, "day": day})  # fmt: skip


def forget_days_of(connection: Connection, run_id: UUID) -> None:
    """The same for every day whose letters this run was to send."""
    _forget(
        connection,
        "(campaign, campaign_date) IN"
        " (SELECT DISTINCT campaign, campaign_date FROM letter WHERE sender_run_id = :run_id)",
        {"run_id": run_id},
    )


def _forget(connection: Connection, which: str, parameters: Mapping[str, Any]) -> None:
    held = connection.execute(
        text(
            f"SELECT run_id FROM run WHERE mode = 'live' AND {which}"  # noqa: S608 - ours
            " ORDER BY run_id FOR NO KEY UPDATE"
        ),
        parameters,
    ).scalars()
    # A statement of its own: it sees what was kept while we waited for those rows.
    connection.execute(
        text("DELETE FROM run_report WHERE run_id = ANY(:runs)"), {"runs": list(held)}
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
