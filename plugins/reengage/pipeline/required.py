"""Required: what tasks ask people in Airflow at this moment, so that pages can say so.

Airflow keeps the questions themselves and their answers; this is a note of them beside the runs,
which a page reads without asking Airflow's database. A note that is missing or stale decides
nothing: whether something is approved is `approvals` and `breaker`. A question whose time is over
is none any more, whoever failed to close it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import bindparam

from reengage import store
from reengage.settings import Settings


@dataclass(frozen=True)
class Place:
    """The task instance that asks."""

    run_id: UUID
    dag_id: str
    dag_run_id: str
    task: str
    map_index: int

    @property
    def path(self) -> str:
        """Where Airflow takes the answer, below its own address."""
        run = f"dags/{quote(self.dag_id, safe='')}/runs/{quote(self.dag_run_id, safe='')}"
        mapped = f"/mapped/{self.map_index}" if self.map_index >= 0 else ""
        return f"{run}/tasks/{quote(self.task, safe='')}{mapped}/required_actions"


@dataclass(frozen=True)
class Required:
    """A question that waits for an answer."""

    place: Place
    subject: str
    """Holds counts, also small ones."""
    things: Mapping[str, str]
    """Name -> SHA-256 of what is to be approved; empty = going on after the breaker."""
    asked_at: datetime
    until: datetime

    @property
    def campaign(self) -> str:
        """Slug of the campaign whose run asks."""
        return self.place.dag_id.removeprefix("reengage_")

    @property
    def about(self) -> str:
        """What it is about, in words without a number of patients."""
        if not self.things:
            return "going on after the breaker"
        if any(name.startswith("cohort/") for name in self.things):
            return "an unusual number of letters"
        first, *more = sorted(self.things)
        return f"a change of {first}" + (f" and {len(more)} more" if more else "")


def note(
    settings: Settings, place: Place, subject: str, things: Mapping[str, str], until: datetime
) -> None:
    """Note that the task asks. Replaces what it asked before."""
    statement = text("""
        INSERT INTO question
            (run_id, task, map_index, dag_id, dag_run_id, subject, things, until)
        VALUES (:run_id, :task, :map_index, :dag_id, :dag_run_id, :subject, :things, :until)
        ON CONFLICT (run_id, task, map_index) DO UPDATE SET
            subject = excluded.subject, things = excluded.things, until = excluded.until,
            asked_at = excluded.asked_at, answered = false
    """).bindparams(bindparam("things", type_=JSONB))
    with store.connect(settings.store_url).begin() as connection:
        connection.execute(
            statement,
            {**vars(place), "subject": subject, "things": dict(things), "until": until},
        )


def close(settings: Settings, place: Place) -> None:
    """The task asks no more: it was answered, or begins anew."""
    with store.connect(settings.store_url).begin() as connection:
        connection.execute(
            text(
                "UPDATE question SET answered = true WHERE run_id = :run_id AND task = :task"
                " AND map_index = :map_index AND NOT answered"
            ),
            vars(place),
        )


def waiting(connection: Connection, now: datetime) -> list[Required]:
    """What waits for an answer, the oldest first.

    A question about a pause that was decided elsewhere is none any more.
    """
    found = connection.execute(
        text(
            "SELECT q.* FROM question q WHERE NOT q.answered AND q.until > :now AND (q.task <>"
            " 'send' OR EXISTS (SELECT FROM pause p WHERE p.run_id = q.run_id AND"
            " p.decision IS NULL)) ORDER BY q.asked_at"
        ),
        {"now": now},
    )
    return [
        Required(
            Place(row.run_id, row.dag_id, row.dag_run_id, row.task, row.map_index),
            row.subject, row.things, row.asked_at, row.until,
        )
        for row in found
    ]  # fmt: skip
