"""Begun: runs that have no row of their own yet, or whose preflight began anew and did not pass.

What `runs` knows of a run begins where preflight ends. Before that there is its beginning
(pipeline/beginnings.py), of which a page says what state it is in and what to do. No words of an
error are kept of it, so that everybody who sees runs may see this.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.pipeline.required import Place
from reengage.reports.runs import RunRow, path_of
from reengage.reports.tables import Badge, Tone

State = Literal[
    "begun", "lost", "asked", "unanswered", "rejected", "retried", "failed", "passed"
]  # fmt: skip
"""`begun` = at work; `lost` = no end, and none to come."""

PATIENCE_MINUTES = 15
"""Preflight takes seconds, and Airflow's retry follows within two minutes: who says nothing for so
long was killed, or hangs."""

_COLUMNS = f"""
b.run_id, b.campaign, b.campaign_date, b.mode, b.dag_run_id, b.begun_at, b.until,
CASE
    WHEN (b.ended IS NULL OR b.ended = 'retried')
        AND coalesce(b.ended_at, b.begun_at)
            < clock_timestamp() - interval '{PATIENCE_MINUTES} minutes' THEN 'lost'
    WHEN b.ended = 'asked' AND b.until <= :now THEN 'unanswered'
    ELSE coalesce(b.ended, 'begun')
END AS state,
EXISTS (SELECT FROM run r WHERE r.run_id = b.run_id) AS opened
"""

NEWEST = f"""
SELECT {_COLUMNS}
FROM unnest(CAST(:slugs AS text[])) AS c (slug) CROSS JOIN (VALUES (true), (false)) AS k (live)
CROSS JOIN LATERAL (
    SELECT * FROM beginning WHERE campaign = c.slug AND (mode = 'live') = k.live
    ORDER BY begun_at DESC LIMIT 1
) AS b
"""  # noqa: S608 - ours, values are bound
"""By the index of campaigns and instants: an overview waits for it."""

_SAID: dict[State, tuple[Tone, str, str]] = {
    "begun": ("quiet", "in preflight", "in preflight"),
    "retried": ("warn", "failed in preflight, is tried again", "failed again, is tried again"),
    "lost": ("bad", "stopped before it began (preflight)", "stopped at preflight"),
    "failed": ("bad", "failed before it began (preflight)", "failed at preflight"),
    "asked": ("warn", "waits for an answer", "waits for an answer"),
    "unanswered": ("bad", "nobody answered; nothing was sent", "nobody answered"),
    "rejected": ("bad", "not approved; nothing was sent", "not approved"),
    "passed": ("quiet", "under way", "under way"),
}
"""How it is shown: of a run that never was, and of one that was and began anew."""


@dataclass(frozen=True)
class Begun:
    """A run, as far as its preflight says."""

    run_id: UUID
    campaign: str
    day: date
    mode: str
    dag_run_id: str
    begun_at: datetime
    """The newest try, or when it went on after an answer."""
    until: datetime | None
    state: State
    opened: bool
    """Whether it passed once, and was cleared: letters of it may have left then."""

    @property
    def dag_id(self) -> str:
        """Of the campaign."""
        return f"reengage_{self.campaign}"

    @property
    def path(self) -> str:
        """Of its page, below the app's; and of Airflow's own page of it."""
        return path_of(self)

    @property
    def task(self) -> Place:
        """Its preflight in Airflow."""
        return Place(self.run_id, self.dag_id, self.dag_run_id, "preflight", -1)

    @property
    def verdict(self) -> Badge:
        """What became of it. A rehearsal that fails is no fault of the day."""
        tone, never, anew = _SAID[self.state]
        if tone == "bad" and self.mode != "live":
            tone = "warn"
        return Badge(anew if self.opened else never, tone)

    @property
    def stands(self) -> bool:
        """Whether it ended without a run, or waits, so that somebody has to do something."""
        return self.state not in ("begun", "retried", "passed")


def of_run(connection: Connection, run_id: UUID, now: datetime) -> Begun | None:
    """How the run's preflight ended; None where it never began, or where nothing was noted."""
    found = connection.execute(
        text(f"SELECT {_COLUMNS} FROM beginning b WHERE b.run_id = :run_id"),  # noqa: S608 - ours
        {"run_id": run_id, "now": now},
    ).one_or_none()
    return _begun(found) if found else None


def newest(connection: Connection, slugs: Sequence[str], now: datetime) -> list[Begun]:
    """Of each campaign the newest beginning that is live, and the newest of a rehearsal."""
    found = connection.execute(text(NEWEST), {"slugs": list(slugs), "now": now})
    return [_begun(row) for row in found]


def recent(connection: Connection, slug: str, most: int, now: datetime) -> list[Begun]:
    """A campaign's newest beginnings that did not pass, the newest first."""
    found = connection.execute(
        text(
            f"SELECT {_COLUMNS} FROM beginning b WHERE b.campaign = :slug"  # noqa: S608 - ours
            " AND b.ended IS DISTINCT FROM 'passed' ORDER BY b.begun_at DESC LIMIT :most"
        ),
        {"slug": slug, "most": most, "now": now},
    )
    return [_begun(row) for row in found]


def last(
    rows: Iterable[RunRow], begun: Iterable[Begun], *, live: bool = False
) -> dict[str, RunRow | Begun]:
    """What each campaign began last; only live where asked, as a rehearsal is no day's run. Pure.

    Whose preflight passed is told of by its row.
    """
    found: dict[str, RunRow | Begun] = {}
    told: list[RunRow | Begun] = [*rows, *(one for one in begun if one.state != "passed")]
    for one in sorted(told, key=_began):
        if one.mode == "live" or not live:
            found[one.campaign] = one
    return found


def among(rows: Sequence[RunRow], begun: Sequence[Begun], most: int) -> list[RunRow | Begun]:
    """A campaign's runs, the newest first; of one that began anew, its beginning. Pure."""
    anew = {one.run_id for one in begun}
    told: list[RunRow | Begun] = [*begun, *(row for row in rows if row.run_id not in anew)]
    return sorted(told, key=_began, reverse=True)[:most]


def _began(one: RunRow | Begun) -> datetime:
    return one.begun_at if isinstance(one, Begun) else one.opened_at


def _begun(row: Any) -> Begun:
    return Begun(
        row.run_id, row.campaign, row.campaign_date, row.mode, row.dag_run_id, row.begun_at,
        row.until, row.state, row.opened,
    )  # fmt: skip
