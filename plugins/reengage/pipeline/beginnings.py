"""Beginnings: that a run began, and how its preflight ended, for the pages.

A run has its row (`run`) from the end of preflight on. What ended before (a relay that is away, a
key that is broken, a lapsed agreement, a question that nobody answered, a worker that was killed)
would be known to nobody who looks at the pages. So this is the first that is written, before the
keyring is opened; the end is noted by whoever knows it, `passed` in the transaction that opens the
run. A beginning without an end is a task that is at work or was killed. Ends are words of a list,
never an error's: those are Airflow's to show, and may hold counts.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from reengage import store
from reengage.campaigns import load_campaign
from reengage.errors import ConfigurationError, StoreError
from reengage.pipeline.run import mode_of, recorded_day
from reengage.settings import Settings

Ended = Literal["asked", "unanswered", "rejected", "retried", "failed"]
"""`retried` = it failed, or the relay had no time, and Airflow tries again by itself."""


def begin(
    settings: Settings,
    slug: str,
    run_id: UUID,
    dag_run_id: str,
    *,
    day: date | None,
    scheduled_for: datetime | None,
    dry: bool,
) -> None:
    """Note that a try of preflight begins, or goes on after an answer. Nothing may begin unnoted.

    The day is the one that preflight will find. Raises StoreError.
    """
    statement = text("""
        INSERT INTO beginning (run_id, campaign, dag_run_id, campaign_date, mode)
        VALUES (:run_id, :campaign, :dag_run_id, :day, :mode)
        ON CONFLICT (run_id) DO UPDATE SET
            campaign_date = excluded.campaign_date, mode = excluded.mode,
            begun_at = excluded.begun_at, ended = NULL, ended_at = NULL, until = NULL
    """)
    zone = _zone(settings, slug)
    today = settings.now().astimezone(zone).date()
    scheduled = scheduled_for.astimezone(zone).date() if scheduled_for else None
    try:
        day = recorded_day(settings, run_id) or day or scheduled or today
        said = {"run_id": run_id, "campaign": slug, "dag_run_id": dag_run_id, "day": day}
        with store.connect(settings.store_url).begin() as connection:
            connection.execute(statement, {**said, "mode": mode_of(day, today, dry=dry)})
    except SQLAlchemyError as error:
        raise StoreError(
            f"the store did not take the run's beginning ({type(error).__name__}), so that nothing"
            " was begun; see that it runs and is migrated, then clear the task"
        ) from None


def end(settings: Settings, run_id: UUID, ended: Ended, until: datetime | None = None) -> None:
    """Note how it ended; `until` = how long it waits for an answer. Raises what the store raises.

    What nobody is heard of within that time was answered by nobody.
    """
    with store.connect(settings.store_url).begin() as connection:
        connection.execute(
            text(
                "UPDATE beginning SET ended = :ended, ended_at = clock_timestamp(), until = :until"
                " WHERE run_id = :run_id"
            ),
            {"run_id": run_id, "ended": ended, "until": until},
        )


def passed(connection: Connection, run_id: UUID) -> None:
    """Note in the caller's transaction that the run is open. One without a beginning has none."""
    connection.execute(
        text(
            "UPDATE beginning SET ended = 'passed', ended_at = clock_timestamp(), until = NULL"
            " WHERE run_id = :run_id"
        ),
        {"run_id": run_id},
    )


def _zone(settings: Settings, slug: str) -> ZoneInfo:
    try:
        return ZoneInfo(load_campaign(settings.home, slug).time_zone)
    except ConfigurationError:  # preflight says so
        return ZoneInfo("UTC")
