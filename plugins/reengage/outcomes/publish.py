"""Publish: the report tables of a campaign and day, from what was known on that day.

A pure function of the store and of what was told before: made again for any past day it gives the
same tables. A report counts the follow-ups that began in one year, until the last of them is over;
no row of a patient leaves the store, and no small count (PRV-26, PRV-27).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, text

from reengage import store
from reengage.campaigns import Campaign
from reengage.errors import StoreError
from reengage.outcomes import experiments
from reengage.outcomes.cells import ARMS
from reengage.outcomes.counting import Question, cells_of, lasted_of
from reengage.outcomes.intervals import effect
from reengage.outcomes.observe import ASKED, day_ends
from reengage.outcomes.survival import curve
from reengage.outcomes.telling import ALL, NEVER, Before, Line, tell
from reengage.settings import Settings

_TABLES = ("outcome", "effect", "return_curve")
_DIGITS = 3
"""Of a curve's shares: no count can be worked out from more of them."""


@dataclass(frozen=True)
class Published:
    """Counts of a day's report: cohorts told of, lines of report.outcome, those with numbers."""

    cohorts: int
    lines: int
    told: int


def publish(settings: Settings, campaign: Campaign, day: date) -> Published:
    """Make the report of `day`. Raises StoreError where the warehouse was not asked about it."""
    with store.connect(settings.store_url).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(7110005)"))
        until = _until(connection, campaign, day)
        told = [
            _publish(connection, settings, campaign, Question(campaign.slug, cohort, day, until))
            for cohort in _cohorts(connection, campaign, day)
        ]
        if campaign.variants and told:
            asked = Question(campaign.slug, day.year, day, until)
            experiments.publish(connection, settings.home, campaign, asked, told[-1])
    lines = [line for cohort in told for line in cohort]
    return Published(len(told), len(lines), sum(one.counted_on is not None for one in lines))


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
    connection: Connection, settings: Settings, campaign: Campaign, asked: Question
) -> list[Line]:
    previous = _previous(connection, asked)
    before = _before(connection, asked, previous)
    _clear(connection, asked)
    cells = cells_of(connection, settings.home, asked)
    lines = [line for arm in ARMS for line in tell(cells, arm, asked.day, before)]
    _insert(connection, "outcome", asked, (line.fields() for line in lines))
    _insert(connection, "effect", asked, effects(lines))
    _insert(
        connection, "return_curve", asked, _curves(connection, settings, asked, lines, previous)
    )
    connection.execute(
        text(
            "INSERT INTO report.published (campaign, cohort, as_of, followed_until, previous)"
            " VALUES (:campaign, :cohort, :day, :until, :previous)"
        ),
        {**_key(asked), "until": asked.until, "previous": previous},
    )
    return lines


def effects(lines: Sequence[Line]) -> Iterable[dict[str, object]]:
    """What writing did, for each group that both arms have, by horizon."""
    by_group: dict[tuple[str, str, int], dict[str, Line]] = {}
    for line in lines:
        if line.slice != "variant":
            key = (line.slice, line.level, line.horizon_days)
            by_group.setdefault(key, {})[line.arm] = line
    for (slice_, level, horizon), arms in sorted(by_group.items()):
        group: dict[str, object] = {"slice": slice_, "level": level, "horizon_days": horizon}
        yield group | _effect(arms.get("write"), arms.get("holdout"))


def _effect(write: Line | None, holdout: Line | None) -> dict[str, object]:
    names = ("difference", "low", "high", "needed", "needed_low", "needed_high")
    found = None
    if write and holdout and write.counted_on and holdout.counted_on:
        found = effect(
            write.returned or 0, write.mature or 0, holdout.returned or 0, holdout.mature or 0
        )
    if found is None:
        return dict.fromkeys(names) | {"verdict": "withheld"}
    needed = found.needed or (None, None, None)
    values = (found.difference, found.low, found.high, *needed)
    return dict(zip(names, values, strict=True)) | {"verdict": found.verdict}


def _curves(
    connection: Connection,
    settings: Settings,
    asked: Question,
    lines: Sequence[Line],
    previous: date | None,
) -> Iterable[dict[str, object]]:
    """Time to return of everybody in an arm; the last one told where nothing new is told today."""
    lasted = lasted_of(connection, settings.home, asked)
    for arm in ARMS:
        told = [
            one for one in lines if (one.slice, one.arm, one.counted_on) == (ALL, arm, asked.day)
        ]
        if not told:
            yield from _old_curve(connection, asked, arm, previous)
        for point in curve(lasted.get(arm, ()), len(told)):
            yield {
                "arm": arm,
                "day": point.day,
                "counted_on": asked.day,
                "returned": round(point.returned, _DIGITS),
                "low": round(point.low, _DIGITS),
                "high": round(point.high, _DIGITS),
            }


def _old_curve(
    connection: Connection, asked: Question, arm: str, previous: date | None
) -> list[dict[str, object]]:
    found = connection.execute(
        text(
            "SELECT arm, day, counted_on, returned, low, high FROM report.return_curve"
            " WHERE campaign = :campaign AND cohort = :cohort AND as_of = :previous AND arm = :arm"
        ),
        {**_key(asked), "previous": previous, "arm": arm},
    )
    return [dict(row) for row in found.mappings()]


def _previous(connection: Connection, asked: Question) -> date | None:
    """The day reported on before this one: as it was when this one was first reported on."""
    known = connection.execute(
        text(
            "SELECT previous FROM report.published"
            " WHERE campaign = :campaign AND cohort = :cohort AND as_of = :day"
        ),
        _key(asked),
    ).one_or_none()
    if known is not None:
        found: date | None = known.previous
        return found
    return connection.execute(
        text(
            "SELECT max(as_of) FROM report.published"
            " WHERE campaign = :campaign AND cohort = :cohort AND as_of < :day"
        ),
        _key(asked),
    ).scalar()


def _before(connection: Connection, asked: Question, previous: date | None) -> Before:
    if previous is None:
        return NEVER
    lines = read_lines(connection, asked.campaign, asked.cohort, previous)
    totals: dict[tuple[str, date], list[Line]] = {}
    for counted_on in sorted({one.counted_on for one in lines if one.counted_on}):
        for line in read_lines(connection, asked.campaign, asked.cohort, counted_on):
            if line.slice == ALL and line.counted_on == counted_on:
                totals.setdefault((line.arm, counted_on), []).append(line)
    return Before(lines, totals)


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


def _clear(connection: Connection, asked: Question) -> None:
    for table in (*_TABLES, "published"):
        connection.execute(
            text(
                f"DELETE FROM report.{table}"  # noqa: S608 - our own table names
                " WHERE campaign = :campaign AND cohort = :cohort AND as_of = :day"
            ),
            _key(asked),
        )


def _insert(
    connection: Connection, table: str, asked: Question, rows: Iterable[Mapping[str, Any]]
) -> None:
    found = [{**row, "campaign": asked.campaign, "cohort": asked.cohort, "as_of": asked.day}
             for row in rows]  # fmt: skip
    if found:
        columns = list(found[0])
        statement = (
            f"INSERT INTO report.{table} ({', '.join(columns)})"  # noqa: S608
            f" VALUES ({', '.join(':' + column for column in columns)})"
        )
        connection.execute(text(statement), found)


def _key(asked: Question) -> dict[str, object]:
    return {"campaign": asked.campaign, "cohort": asked.cohort, "day": asked.day}
