"""Overview: what each campaign's last run came to, how letters fare, and what needs a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.responses import HTMLResponse
from sqlalchemy import Connection

from reengage.alerts.tell import listed
from reengage.campaigns import Campaign
from reengage.report import Funnel
from reengage.reports import begun, charts, funnels, runs, waiting
from reengage.reports.begun import Begun
from reengage.reports.cells import HIDDEN, Count, alone
from reengage.reports.decisions import alerts_table
from reengage.reports.files import campaigns_of
from reengage.reports.render import page
from reengage.reports.runs import MODES, RunRow
from reengage.reports.tables import Link, Table, table
from reengage.reports.visit import Visit

DAYS = 30
"""Days of a campaign that the trend shows."""
_OFFERED = ("sent", "refused", "deferred", "unknown")
"""What became of letters that were offered to a relay."""
_ALERT_DAYS, _ALERTS = 7, 8
"""Of how many days alerts are shown, and at most how many."""


def overview(visit: Visit) -> HTMLResponse:
    """The page."""
    visit.record()
    campaigns, broken = campaigns_of(visit.settings.home)
    small = visit.visitor.sees_small_counts
    with visit.reading() as connection:
        rows = runs.newest(connection)
        slugs = [one.slug for one in campaigns]
        noted = begun.newest(connection, slugs, visit.settings.now())
        latest, live = begun.last(rows, noted), begun.last(rows, noted, live=True)
        history = {
            one.slug: runs.recent(connection, one.slug, DAYS, live=True) for one in campaigns
        }
        ids = [row.run_id for days in history.values() for row in days]
        kept = funnels.kept(connection, ids, small=small)
        todo = waiting.tasks(connection, visit, campaigns, live)
        told = alerts_of(connection, visit)
    todo += [
        waiting.Task(
            "bad", f"A campaign file is broken: {error}", "", "Airflow's import errors say where"
        )
        for error in broken
    ]
    current = {
        slug: funnels.counted(visit, row.run_id)
        for slug, row in latest.items()
        if isinstance(row, RunRow)
    }
    shown = {slug: funnels.shown(one.funnel, small=small) for slug, one in current.items() if one}
    days = {
        one.slug: [(row, kept[row.run_id]) for row in history[one.slug] if row.run_id in kept]
        for one in campaigns
    }
    table_of_runs = last_runs(campaigns, latest, shown, small)
    fare = how_letters_fared(campaigns, days, small)
    trend = sent_by_day(campaigns, days, small)
    return page(
        visit.request, visit.visitor, "overview.html", "Overview",
        here="overview",
        campaigns=table_of_runs,
        waiting=todo,
        order=waiting.order(campaigns, live),
        alerts=told,
        deliverability=fare,
        trend=trend,
        chart=_chart(campaigns, trend),
        hides=any(map(_hides, (table_of_runs, fare, trend))),
    )  # fmt: skip


def alerts_of(connection: Connection, visit: Visit) -> Table | None:
    """What staff were told lately; None for who may see no small count: a subject may hold one."""
    if not visit.visitor.sees_small_counts:
        return None
    since = datetime.now(UTC) - timedelta(days=_ALERT_DAYS)  # the store's clock, never pinned
    found = listed(connection, since, _ALERTS)
    return alerts_table(found, f"What staff were told in {_ALERT_DAYS} days")


def last_runs(
    campaigns: Sequence[Campaign],
    latest: Mapping[str, RunRow | Begun],
    shown: dict[str, funnels.Shown],
    small: bool,
) -> Table:
    """What each campaign's newest run came to, begun or not. Pure."""
    rows: list[list[Any]] = []
    for one in campaigns:
        row, found = latest.get(one.slug), shown.get(one.slug)
        name = Link(one.title, f"campaigns/{one.slug}")
        if row is None:
            rows.append([name, None, None, None, *[None] * 6])
            continue
        counts = (
            [found.candidates, found.excluded_total, found.eligible]
            + [found.rest[state] for state in ("held_out", "sent", "refused")]
            if found
            else [None] * 6
        )
        day = Link(row.day.isoformat(), runs.path_of(row))
        rows.append([name, day, MODES[row.mode], row.verdict, *counts])
    return table(
        "campaigns",
        "Each campaign's last run",
        [
            ("campaign", "Campaign", "text"), ("day", "Day", "text"), ("mode", "Mode", "text"),
            ("verdict", "Run", "badge"), ("candidates", "Candidates", "count"),
            ("excluded", "Excluded", "count"), ("eligible", "Eligible", "count"),
            ("held_out", "Held out", "count"), ("sent", "Sent", "count"),
            ("refused", "Refused", "count"),
        ],
        rows,
        note="Patients; one letter goes to one patient. Sent = taken over by the vendor's relay."
        + ("" if small else " Counts are those of a live run that can change no more."),
    )  # fmt: skip


Days = dict[str, list[tuple[RunRow, Funnel]]]


def how_letters_fared(campaigns: Sequence[Campaign], days: Days, small: bool) -> Table:
    """Sums over the days by what became of the letters. Pure."""
    rows: list[list[Any]] = []
    for one in campaigns:
        found = [funnels.shown(funnel, small=small).rest for _, funnel in days[one.slug]]
        sums = {state: over_days([day[state] for day in found], small=small) for state in _OFFERED}
        offered: Count = HIDDEN
        if all(n is not HIDDEN for n in sums.values()):
            offered = sum(n for n in sums.values() if isinstance(n, int))
        part = None
        if isinstance(offered, int) and offered and isinstance(sums["sent"], int):
            part = sums["sent"] / offered
        rows.append(
            [Link(one.title, f"campaigns/{one.slug}"), len(found), offered,
             *(sums[state] for state in _OFFERED), HIDDEN if offered is HIDDEN else part]
        )  # fmt: skip
    return table(
        "deliverability",
        f"How letters fared, last {DAYS} days on which the campaign ran",
        [
            ("campaign", "Campaign", "text"), ("days", "Days", "count"),
            ("offered", "Offered", "count"), ("sent", "Sent", "count"),
            ("refused", "Refused", "count"), ("deferred", "Deferred", "count"),
            ("unknown", "Unknown", "count"), ("sent_share", "Sent of offered", "share"),
        ],
        rows,
    )  # fmt: skip


def over_days(counts: Sequence[Count], *, small: bool) -> Count:
    """The sum over days. Hidden where a day's is: all others are shown, and would tell it. Pure."""
    shown = [n for n in counts if isinstance(n, int)]
    if len(shown) < len(counts):
        return HIDDEN
    return sum(shown) if small else alone(sum(shown))


def sent_by_day(campaigns: Sequence[Campaign], days: Days, small: bool) -> Table:
    """Letters sent, a row a day, a column a campaign. Pure."""
    by_day: dict[Any, dict[str, Count]] = {}
    for one in campaigns:
        for row, funnel in days[one.slug]:
            sent = funnels.shown(funnel, small=small).rest["sent"]
            by_day.setdefault(row.day, {})[one.slug] = sent
    return table(
        "trend",
        "Letters sent per day",
        [("day", "Day", "day"), *((one.slug, one.title, "count") for one in campaigns)],
        [
            [day, *(found.get(one.slug) for one in campaigns)]
            for day, found in sorted(by_day.items(), reverse=True)
        ],
    )


def _chart(campaigns: Sequence[Campaign], trend: Table) -> Any:
    if len(trend.rows) < 2 or len(campaigns) > len(charts.SERIES):
        return None  # a single day is read from the table
    names = [one.title for one in campaigns]
    points = [
        {"day": row[0], **dict(zip(names, row[1:], strict=True))} for row in reversed(trend.rows)
    ]
    return charts.lines(points, names, axis="letters")


def _hides(found: Table) -> bool:
    return any(cell is HIDDEN for row in found.rows for cell in row)
