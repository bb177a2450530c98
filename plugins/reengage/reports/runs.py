"""Runs: which there are, what became of each, how long its tasks took. Counts are `funnels`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.report import STEPS
from reengage.reports.tables import Badge

_COLUMNS = (
    "run_id, campaign, campaign_date, mode, dag_run_id, gate, verdicts, vendor, baa_id, warnings,"
    " requires_tls, opened_at, extracted_at, finished_at, shredded_at"
)
MODES = {"live": "live", "dry": "dry run", "replay": "replay"}


@dataclass(frozen=True)
class RunRow:
    """One run, as preflight recorded it and as it stands."""

    run_id: UUID
    campaign: str
    day: date
    mode: str
    dag_run_id: str
    gate: str | None
    verdicts: Sequence[Mapping[str, Any]]
    vendor: str
    baa_id: str
    warnings: Sequence[str]
    requires_tls: bool
    opened_at: datetime
    extracted_at: datetime | None
    finished_at: datetime | None
    shredded_at: datetime | None
    last_failed: str | None = None
    """The task whose newest try failed, where no later one did its work."""
    asks: bool = False
    """Whether it paused itself and waits for a person."""

    @property
    def dag_id(self) -> str:
        """Of the campaign."""
        return f"reengage_{self.campaign}"

    @property
    def verdict(self) -> Badge:
        """What became of it, in two words."""
        if self.asks:
            return Badge("waits for approval", "warn")
        if self.finished_at:
            return Badge("settled", "good")
        if self.gate == "red":
            return Badge("gate red", "bad")
        if self.last_failed:
            return Badge(f"failed at {self.last_failed}", "bad")
        return Badge("under way", "quiet")


class OfDagRun(Protocol):
    """What is of a run of Airflow's."""

    @property
    def dag_id(self) -> str:
        """Of the campaign."""

    @property
    def dag_run_id(self) -> str:
        """As Airflow names it."""


def path_of(row: OfDagRun) -> str:
    """Where the page of a run is, below the app's path; and Airflow's own, below that one's."""
    return f"dags/{row.dag_id}/runs/{quote(row.dag_run_id, safe='')}"


def run_of(connection: Connection, run_id: UUID) -> RunRow | None:
    """One run; None where there is no such."""
    return next(iter(_runs(connection, "WHERE run_id = :run_id", {"run_id": run_id})), None)


def newest(connection: Connection) -> list[RunRow]:
    """Of each campaign the newest live run, and the newest rehearsal."""
    which = (
        "WHERE run_id IN (SELECT DISTINCT ON (campaign, mode = 'live') run_id FROM run"
        " ORDER BY campaign, mode = 'live', opened_at DESC)"
    )
    return _runs(connection, which, {})


def recent(connection: Connection, campaign: str, most: int, *, live: bool = False) -> list[RunRow]:
    """A campaign's newest runs, the newest first; the last one of each day where `live`."""
    which = "WHERE campaign = :campaign ORDER BY opened_at DESC LIMIT :most"
    if live:
        which = (
            "WHERE run_id IN (SELECT DISTINCT ON (campaign_date) run_id FROM run"
            " WHERE campaign = :campaign AND mode = 'live' AND finished_at IS NOT NULL"
            " ORDER BY campaign_date DESC, opened_at DESC LIMIT :most)"
            " ORDER BY campaign_date DESC"
        )
    return _runs(connection, which, {"campaign": campaign, "most": most})


def replaced(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    """Those of these runs whose day another run tells of: a live one, or else the newest.

    Two runs of a day count the same patients: what lies between their counts may be few (PRV-27).
    """
    found = connection.execute(
        text(
            "SELECT a.run_id FROM run a WHERE a.run_id = ANY(:ids) AND EXISTS (SELECT FROM run b"
            " WHERE b.campaign = a.campaign AND b.campaign_date = a.campaign_date"
            " AND b.extracted_at IS NOT NULL"
            " AND (b.mode = 'live', b.opened_at) > (a.mode = 'live', a.opened_at))"
        ),
        {"ids": list(ids)},
    )
    return set(found.scalars())


def _runs(connection: Connection, which: str, parameters: Mapping[str, Any]) -> list[RunRow]:
    found = connection.execute(
        text(f"SELECT {_COLUMNS} FROM run {which}"),  # noqa: S608 - ours, values are bound
        parameters,
    ).all()
    ids = [row.run_id for row in found]
    failed, asking = _failed(connection, ids), _asking(connection, ids)
    return [
        RunRow(
            row.run_id, row.campaign, row.campaign_date, row.mode, row.dag_run_id, row.gate,
            row.verdicts or (), row.vendor, row.baa_id, row.warnings, row.requires_tls,
            row.opened_at, row.extracted_at, row.finished_at, row.shredded_at,
            failed.get(row.run_id), row.run_id in asking,
        )
        for row in found
    ]  # fmt: skip


def _failed(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, str]:
    found = connection.execute(
        text(
            "SELECT DISTINCT ON (run_id) run_id, task, outcome FROM step"
            " WHERE run_id = ANY(:ids) ORDER BY run_id, ended_at DESC"
        ),
        {"ids": list(ids)},
    )
    return {row.run_id: row.task for row in found if row.outcome == "failed"}


def _asking(connection: Connection, ids: Sequence[UUID]) -> set[UUID]:
    found = connection.execute(
        text("SELECT run_id FROM pause WHERE decision IS NULL AND run_id = ANY(:ids)"),
        {"ids": list(ids)},
    )
    return set(found.scalars())


@dataclass(frozen=True)
class Step:
    """A task's time in a run: from its first start to its last end, over all its chunks."""

    task: str
    seconds: float
    chunks: int
    tries: int
    outcome: str


def steps(connection: Connection, run_id: UUID) -> list[Step]:
    """The run's tasks in their order; of a task that was retried the latest tries count."""
    found = connection.execute(
        text(
            "SELECT task, extract(epoch FROM max(ended_at) - min(started_at))::float AS seconds,"
            " count(*) AS chunks, max(try_number) AS tries,"
            " bool_and(outcome = 'success') AS well FROM (SELECT DISTINCT ON (task, map_index) *"
            " FROM step WHERE run_id = :run_id ORDER BY task, map_index, started_at DESC) AS newest"
            " GROUP BY task"
        ),
        {"run_id": run_id},
    )
    by_task = {
        row.task: Step(row.task, row.seconds, row.chunks, row.tries,
                       "success" if row.well else "failed")
        for row in found
    }  # fmt: skip
    return [by_task[task] for task in STEPS if task in by_task]
