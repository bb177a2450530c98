"""Publish: the report tables of a campaign and day, from what was known on that day.

Each number is told once (telling.py), on the first report after its horizon is over; a report adds
up what was told by its day, so that made again for any past day it is the same. A report is of the
follow-ups that began in one year, until the last of them is over; no row of a patient leaves the
store, and no small count (PRV-26, PRV-27).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, text

from reengage import store
from reengage.campaigns import Campaign
from reengage.errors import StoreError
from reengage.outcomes import experiments
from reengage.outcomes.cells import ARMS
from reengage.outcomes.counting import Question, cells_of, days_of
from reengage.outcomes.observe import ASKED, day_ends
from reengage.outcomes.summing import Line, curve_of, effects_of, lines_of
from reengage.outcomes.telling import TOLD_COLUMNS, Telling, Told, due
from reengage.settings import Settings

_TABLES = ("outcome", "effect", "return_curve")


@dataclass(frozen=True)
class Published:
    """Counts of a day's report: cohorts told of, lines of report.outcome, those with numbers."""

    cohorts: int
    lines: int
    told: int


@dataclass(frozen=True)
class Report:
    """The report of a campaign's follow-ups of a year, as of a day."""

    campaign: str
    cohort: int
    """The year in which they began, UTC."""
    day: date
    until: datetime
    """Up to when the warehouse told everything on that day."""

    @property
    def key(self) -> dict[str, object]:
        """Of its rows."""
        return {"campaign": self.campaign, "cohort": self.cohort, "as_of": self.day}


def publish(settings: Settings, campaign: Campaign, day: date) -> Published:
    """Make the report of `day`. Raises StoreError where the warehouse was not asked about it."""
    with store.connect(settings.store_url).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7110005)"))
        until = _until(connection, campaign, day)
        made = [
            _publish(connection, settings, campaign, Report(campaign.slug, cohort, day, until))
            for cohort in _cohorts(connection, campaign, day)
        ]
        if campaign.variants:
            told = read_told(connection, campaign.slug, day)
            experiments.publish(connection, campaign, day, told)
    lines = [line for cohort in made for line in cohort]
    return Published(len(made), len(lines), sum(one.counted_on is not None for one in lines))


def _until(connection: Connection, campaign: Campaign, day: date) -> datetime:
    until: datetime | None = connection.execute(
        text("SELECT until FROM outcome_day WHERE campaign = :campaign AND day = :day"),
        {"campaign": campaign.slug, "day": day},
    ).scalar_one_or_none()
    if until is None:
        raise StoreError(
            f"nobody has asked the warehouse what became of {campaign.slug} as of {day}; clear"
            " `observe` first, or report on a day on which it ran"
        )
    return until


def _cohorts(connection: Connection, campaign: Campaign, day: date) -> list[int]:
    """Years whose follow-ups are not over yet, and in which one began."""
    ends = day_ends(campaign, day)
    found = connection.execute(
        text(
            "SELECT DISTINCT CAST(extract(year FROM begins_at AT TIME ZONE 'UTC') AS int) AS year"
            " FROM follow_up WHERE campaign = :campaign AND begins_at < :ends"
            " AND begins_at >= :first ORDER BY 1"
        ),
        {
            "campaign": campaign.slug,
            "ends": ends,
            "first": datetime((ends - ASKED).astimezone(UTC).year, 1, 1, tzinfo=UTC),
        },
    )
    return list(found.scalars())


def _publish(
    connection: Connection, settings: Settings, campaign: Campaign, report: Report
) -> list[Line]:
    _tell(connection, settings, report)
    told = read_told(connection, report.campaign, report.day, report.cohort)
    _clear(connection, report)
    lines = lines_of(told, ARMS if campaign.holdout_share else ARMS[:1])
    _insert(connection, "outcome", report, (line.fields() for line in lines))
    _insert(connection, "effect", report, effects_of(told))
    _insert(connection, "return_curve", report, _curves(told))
    _insert(connection, "published", report, [{"followed_until": report.until}])
    return lines


def _tell(connection: Connection, settings: Settings, report: Report) -> None:
    """Tell what has become due since the report before.

    A day that was reported on tells nothing new, and neither does one before it that is made late:
    what is told may rest on nothing but the days before.
    """
    newest = connection.execute(
        text(
            "SELECT max(as_of) AS as_of, max(followed_until) AS until FROM report.published"
            " WHERE campaign = :campaign AND cohort = :cohort"
        ),
        report.key,
    ).one()
    if newest.as_of is not None and newest.as_of >= report.day:
        return

    def asked(began: date, ended: date) -> Question:
        return Question(report.campaign, began, ended, report.day)

    telling = Telling(
        report.cohort, report.day,
        read_told(connection, report.campaign, report.day, report.cohort),
        lru_cache(maxsize=2)(lambda *of: cells_of(connection, settings.home, asked(*of))),
        lru_cache(maxsize=2)(lambda *of: days_of(connection, settings.home, asked(*of))),
    )  # fmt: skip
    for one in due(report.cohort, newest.until, report.until):
        telling.tell(one)
    if telling.new:
        columns = ("campaign", *TOLD_COLUMNS)
        connection.execute(
            text(_insertion("told", columns)),
            [{"campaign": report.campaign, **asdict(row)} for row in telling.new],
        )


def read_told(
    connection: Connection, campaign: str, day: date, cohort: int | None = None
) -> list[Told]:
    """What was told of a campaign by the end of a day, in a fixed order."""
    found = connection.execute(
        text(
            f"SELECT {', '.join(TOLD_COLUMNS)} FROM report.told"  # noqa: S608 - our own names
            " WHERE campaign = :campaign AND told_on <= :day"
            " AND (CAST(:cohort AS int) IS NULL OR cohort = :cohort)"
            " ORDER BY cohort, slice, level, arm, began, horizon_days"
        ),
        {"campaign": campaign, "day": day, "cohort": cohort},
    )
    return [Told(**row) for row in found.mappings()]


def _curves(told: Sequence[Told]) -> Iterable[dict[str, object]]:
    for arm in ARMS:
        counted_on, points = curve_of(told, arm)
        for point in points:
            yield {"arm": arm, "counted_on": counted_on, **asdict(point)}


def read_lines(connection: Connection, campaign: str, cohort: int, as_of: date) -> list[Line]:
    """The lines of report.outcome of a day, in a fixed order."""
    names = ", ".join(Line.__dataclass_fields__)
    found = connection.execute(
        text(
            f"SELECT {names} FROM report.outcome"  # noqa: S608 - our own column names
            " WHERE campaign = :campaign AND cohort = :cohort AND as_of = :as_of"
            " ORDER BY slice, level, arm, horizon_days"
        ),
        {"campaign": campaign, "cohort": cohort, "as_of": as_of},
    )
    return [Line(**row) for row in found.mappings()]


def _clear(connection: Connection, report: Report) -> None:
    for table in (*_TABLES, "published"):
        connection.execute(
            text(
                f"DELETE FROM report.{table}"  # noqa: S608 - our own table names
                " WHERE campaign = :campaign AND cohort = :cohort AND as_of = :as_of"
            ),
            report.key,
        )


def _insert(
    connection: Connection, table: str, report: Report, rows: Iterable[Mapping[str, Any]]
) -> None:
    found = [{**row, **report.key} for row in rows]
    if found:
        connection.execute(text(_insertion(table, list(found[0]))), found)


def _insertion(table: str, columns: Sequence[str]) -> str:
    return (
        f"INSERT INTO report.{table} ({', '.join(columns)})"  # noqa: S608 - our own names
        f" VALUES ({', '.join(':' + column for column in columns)})"
    )
