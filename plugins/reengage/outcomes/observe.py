"""Observe: what the warehouse says, as of a day, of everybody whose follow-up is open.

One statement in the warehouse for a campaign, over the follow-ups of the last 210 days (180, and 30
in which a visit may be entered late): a day costs what is open, whatever the history. What is new
is kept under the day on which it was known; nothing is overwritten, so that the report of any
earlier day can be made again. A day that was reported on, or that a later one has followed, is not
asked about again. Keys are opened for the question and never leave the process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import DBAPIError

from reengage import store, warehouse
from reengage.campaigns import Campaign
from reengage.errors import StoreError
from reengage.keys import DataKey, Keyring
from reengage.outcomes.cells import HORIZONS
from reengage.pipeline.enrol import opened_keys
from reengage.settings import Settings
from reengage.sql import load_sql

LATE = timedelta(days=30)
"""How late after a follow-up's end the warehouse may still tell of a visit within it."""
ASKED = timedelta(days=HORIZONS[-1]) + LATE

_FOLLOWED = "number, patient_key, begins_at, appointment_key, describe"
_SEEN = (
    "number", "returned_at", "booked_at", "appointment_at", "kept", "died_on", "describe",
    "language", "age_band", "service_line",
)  # fmt: skip
_BATCH, _PARTS = 10_000, 20


@dataclass(frozen=True)
class Observed:
    """Counts of a day's question: follow-ups asked about, and those of which something was new."""

    asked: int
    changed: int


def day_ends(campaign: Campaign, day: date) -> datetime:
    """The end of the day in the campaign's time zone, exclusive."""
    return datetime.combine(day + timedelta(days=1), time(), ZoneInfo(campaign.time_zone))


def observe(settings: Settings, keyring: Keyring, campaign: Campaign, day: date) -> Observed | None:
    """Ask the warehouse as of the end of `day`; None where that day's answer stands already.

    Raises StoreError when the warehouse does not answer, KeyringError for keys that do not open.
    """
    stored = store.connect(settings.store_url)
    with stored.begin() as connection:
        # Two of them at once must not both ask.
        connection.execute(text("SELECT pg_advisory_xact_lock(7110005)"))
        if _stands(connection, campaign, day):
            return None
        ends = day_ends(campaign, day)
        source = warehouse.connect(settings.warehouse_url)
        with _asking(source, settings.home) as asking:
            asked, since = _hand_over(connection, asking, keyring, campaign, settings.home, ends)
            until = _data_until(asking, ends)
            answers = _answers(asking, settings.home, ends, since, campaign.time_zone)
            of = {"campaign": campaign.slug, "day": day, "ends": ends, "until": until}
            of["begun_since"] = ends - ASKED
            changed = _learn(connection, settings.home, of, answers)
        counts = Observed(asked, changed)
        _close(connection, settings.home, of, counts)
    return counts


def _stands(connection: Connection, campaign: Campaign, day: date) -> bool:
    """Whether a later day was asked about, or this one reported on."""
    found: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM outcome_day WHERE campaign = :campaign AND day > :day)"
            " OR EXISTS (SELECT 1 FROM report.published WHERE campaign = :campaign"
            " AND as_of >= :day)"
        ),
        {"campaign": campaign.slug, "day": day},
    ).scalar_one()
    return found


@contextmanager
def _asking(source: Engine, home: Path) -> Iterator[Connection]:
    """A session in the warehouse with its temporary table; a driver's own text may quote a row."""
    try:
        with source.connect() as connection:
            connection.execute(text(load_sql(home, "outcomes/session.sql")))
            yield connection
    except (DBAPIError, psycopg.Error) as error:
        kind = type(getattr(error, "orig", error)).__name__
        raise StoreError(
            f"the warehouse does not answer what became of patients ({kind}); see that it runs,"
            " that REENGAGE_WAREHOUSE_URL leads to it and that `python -m reengage warehouse check`"
            " finds nothing, then clear `observe`"
        ) from None


@contextmanager
def _storing() -> Iterator[None]:
    """What our own store fails with while the warehouse is asked, told as the store's."""
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        kind = type(getattr(error, "orig", error)).__name__
        raise StoreError(
            f"the store does not keep what became of patients ({kind}); see that it runs and is"
            " migrated, then clear `observe`"
        ) from None


def _hand_over(
    connection: Connection,
    asking: Connection,
    keyring: Keyring,
    campaign: Campaign,
    home: Path,
    ends: datetime,
) -> tuple[int, datetime]:
    """Tell the session who is followed; gives how many, and when the earliest of them began."""
    asked, since = 0, ends
    month = lru_cache(maxsize=16)(keyring.month_key)
    due = campaign.period == "appointment"
    driver: Any = asking.connection.driver_connection
    with driver.cursor() as cursor:
        with cursor.copy(f"COPY followed ({_FOLLOWED}) FROM STDIN") as copy:
            for part in _parts(connection, campaign, home, ends):
                for row in _rows(month(part.campaign_date.replace(day=1)), part, due):
                    copy.write_row(row)
                    asked += 1
                since = min(since, *part.begun)
        cursor.execute("ANALYZE followed")
    return asked, since


def _parts(
    connection: Connection, campaign: Campaign, home: Path, ends: datetime
) -> Iterator[Row[Any]]:
    """The open follow-ups, by the part in which their keys are sealed."""
    with _storing():
        yield from connection.execute(
            text(load_sql(home, "outcomes/open.sql")),
            {"campaign": campaign.slug, "ends": ends, "begun_since": ends - ASKED},
            execution_options={"yield_per": _PARTS},
        )


def _rows(key: DataKey, part: Any, due: bool) -> Iterable[tuple[Any, ...]]:
    """Rows of `followed`; `due`: the campaign's letters are about an appointment."""
    keys = opened_keys(key, part.run_id, part.part, part.sealed)
    for number, patient, begun, describe in zip(
        part.numbers, part.patients, part.begun, part.describe, strict=True
    ):
        patient_key, appointment_key = keys[patient]
        yield number, patient_key, begun, appointment_key if due else None, describe


def _data_until(asking: Connection, ends: datetime) -> datetime:
    """Up to when the warehouse tells everything: the day's end, or that of a load behind it."""
    until: datetime | None = asking.execute(
        text("SELECT max(data_until) FROM contract.load")
    ).scalar()
    return ends if until is None else min(ends, until)


def _answers(
    asking: Connection, home: Path, ends: datetime, since: datetime, zone: str
) -> Iterator[list[tuple[Any, ...]]]:
    result = asking.execute(
        text(load_sql(home, "outcomes/seen.sql")),
        {"ends": ends, "since": since, "zone": zone},
        execution_options={"yield_per": _BATCH},
    )
    for rows in result.partitions(_BATCH):
        yield [tuple(row) for row in rows]


def _learn(
    connection: Connection,
    home: Path,
    of: Mapping[str, object],
    answers: Iterable[list[tuple[Any, ...]]],
) -> int:
    """Keep what is new of it; gives how many follow-ups that is."""
    with _storing():
        connection.execute(text(load_sql(home, "outcomes/answers.sql")))
    driver: Any = connection.connection.driver_connection
    columns = ", ".join(_SEEN)
    for rows in answers:
        with (
            _storing(),
            driver.cursor() as cursor,
            cursor.copy(f"COPY seen ({columns}) FROM STDIN") as copy,
        ):
            for row in rows:
                copy.write_row(row)
    with _storing():
        connection.execute(text("ANALYZE seen"))
        for question in ("describe", "unlearn"):
            connection.execute(text(load_sql(home, f"outcomes/{question}.sql")), of)
        return connection.execute(text(load_sql(home, "outcomes/learn.sql")), of).rowcount


def _close(connection: Connection, home: Path, of: Mapping[str, object], counts: Observed) -> None:
    """Record the day, which letters left by then, and forget keys that nobody needs any more."""
    for question in ("written", "forget_keys"):
        connection.execute(text(load_sql(home, f"outcomes/{question}.sql")), of)
    connection.execute(
        text(
            "INSERT INTO outcome_day (campaign, day, until, asked, changed)"
            " VALUES (:campaign, :day, :until, :asked, :changed)"
            " ON CONFLICT (campaign, day) DO UPDATE SET until = excluded.until,"
            " asked = excluded.asked, changed = excluded.changed"
        ),
        {**of, "asked": counts.asked, "changed": counts.changed},
    )
