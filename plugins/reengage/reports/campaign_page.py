"""The page of a campaign: its last run's funnel, its days, what its gate said lately."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from reengage.campaigns import load_campaigns
from reengage.reasons import EXCLUDED
from reengage.reports import charts, funnels, runs
from reengage.reports.cells import HIDDEN, Count
from reengage.reports.render import count, page
from reengage.reports.runs import MODES, RunRow
from reengage.reports.tables import Link, Table, table
from reengage.reports.visit import Visit

DAYS = 60
_MEANINGS = {reason.code: reason.means for reason in EXCLUDED}
REST = {
    "held_out": "Held out, for comparison",
    "sent": "Sent",
    "refused": "Refused by the relay",
    "deferred": "Put off, tried again later",
    "unknown": "Unknown whether it arrived",
    "withheld": "Withheld at the last look",
    "rehearsed": "Rehearsed, not sent",
    "pending": "Not written or sent yet",
}
_ALWAYS = ("held_out", "sent", "refused")
_SEALS = {"smime": "by S/MIME", "tls": "by guaranteed TLS", "portal": "at the portal"}


def campaign_page(visit: Visit, slug: str) -> HTMLResponse:
    """The page."""
    one = next((c for c in load_campaigns(visit.settings.home)[0] if c.slug == slug), None)
    if one is None:
        raise HTTPException(404)
    visit.record({"campaign": slug})
    with visit.reading() as connection:
        rows = runs.recent(connection, slug, DAYS)
        kept = funnels.kept(connection, [row.run_id for row in rows])
    small = visit.visitor.sees_small_counts
    counted = next((c for row in rows if (c := funnels.counted(visit, row.run_id))), None)
    shown = funnels.shown(counted.funnel, small=small) if counted else None
    by_run = {run_id: funnels.shown(funnel, small=small) for run_id, funnel in kept.items()}
    return page(
        visit.request, visit.visitor, "campaign.html", one.title,
        here="overview",
        campaign=one,
        latest=next((row for row in rows if row.extracted_at), None),
        shown=shown,
        funnel=funnel_table(shown) if shown else None,
        funnel_chart=funnel_bars(shown) if shown else None,
        runs=_runs(rows, by_run),
        modes=MODES,
        chart=_chart(rows, by_run),
        gates=_gates(rows),
    )  # fmt: skip


def funnel_table(shown: funnels.Shown) -> Table:
    """The funnel, line by line, with what each reason means."""
    rows: list[list[Any]] = [
        ["Living patients", None, shown.living, None],
        ["Inactive", None, shown.inactive, None],
        ["Candidates", None, shown.candidates, None],
        ["Excluded", None, shown.excluded_total, share_of(shown.excluded_total, shown.candidates)],
    ]
    ordered = sorted(shown.excluded.items(), key=lambda item: _descending(item[1]))
    rows += [
        [f"… {_MEANINGS.get(code, code)}", code, n, share_of(n, shown.candidates)]
        for code, n in ordered
    ]
    rows.append(["Eligible", None, shown.eligible, share_of(shown.eligible, shown.candidates)])
    rows += [
        [f"… {REST[state]}", state, n, share_of(n, shown.eligible)]
        for state, n in shown.rest.items()
        if n or state in _ALWAYS
    ]
    rows += [[f"… {_SEALS[seal]}", seal, n, None] for seal, n in shown.seals.items() if n]
    return table(
        "funnel",
        "Funnel",
        [
            ("line", "Patients", "text"), ("code", "Code", "code"), ("patients", "Count", "count"),
            ("share", "Share", "share"),
        ],
        rows,
        note="An excluded candidate counts once, under the first reason. Shares are of candidates;"
        " of what became of the eligible, of the eligible.",
    )  # fmt: skip


def share_of(part: Count, whole: Count) -> Any:
    """A share; hidden where either count is, as it would tell the other."""
    if part is HIDDEN or whole is HIDDEN:
        return HIDDEN
    return part / whole if whole else None


def _descending(value: Count) -> float:
    return 1.0 if value is HIDDEN else -float(value)


def funnel_bars(shown: funnels.Shown) -> Any:
    """The funnel as bars, from the candidates on."""
    found: list[charts.Bar] = [
        charts.Bar("Candidates", shown.candidates, count(shown.candidates)),
        charts.Bar("Eligible", shown.eligible, count(shown.eligible)),
    ]
    found += [
        charts.Bar(REST[state].partition(",")[0], n, count(n), tone=2 if state == "sent" else 1)
        for state, n in shown.rest.items()
        if n
    ]
    return charts.bars(found)


def quality_table(shown: funnels.Shown) -> Table:
    """What is odd in the candidates' data."""
    return table(
        "quality",
        "Candidates whose data contradict themselves, or are odd",
        [("code", "Code", "code"), ("patients", "Patients", "count")],
        list(shown.quality.items()),
        note="A patient counts under each code that applies; none of them is a reason by itself.",
    )


def _runs(rows: list[RunRow], by_run: dict[Any, funnels.Shown]) -> Table:
    lines = []
    for row in rows:
        found = by_run.get(row.run_id)
        counts = (
            [found.candidates, found.excluded_total, found.eligible, found.rest["held_out"],
             found.rest["sent"], found.rest["refused"], found.rest["unknown"]]
            if found
            else [None] * 7
        )  # fmt: skip
        day = Link(row.day.isoformat(), runs.path_of(row))
        lines.append([day, MODES[row.mode], row.verdict, *counts])
    return table(
        "runs",
        f"The last {DAYS} runs",
        [
            ("day", "Day", "text"), ("mode", "Mode", "text"), ("verdict", "Run", "badge"),
            ("candidates", "Candidates", "count"), ("excluded", "Excluded", "count"),
            ("eligible", "Eligible", "count"), ("held_out", "Held out", "count"),
            ("sent", "Sent", "count"), ("refused", "Refused", "count"),
            ("unknown", "Unknown", "count"),
        ],
        lines,
    )  # fmt: skip


def _chart(rows: list[RunRow], by_run: dict[Any, funnels.Shown]) -> Any:
    points = [
        {"day": row.day, "Candidates": by_run[row.run_id].candidates,
         "Eligible": by_run[row.run_id].eligible, "Sent": by_run[row.run_id].rest["sent"]}
        for row in reversed(rows)
        if row.run_id in by_run and row.mode == "live"
    ]  # fmt: skip
    if len({point["day"] for point in points}) < 2:
        return None
    return charts.lines(points, ["Candidates", "Eligible", "Sent"], axis="patients")


def _gates(rows: list[RunRow]) -> Table:
    """Expectations that failed lately; what always held needs no line."""
    lines = [
        [row.day, one["suite"], one.get("column"), one["type"], one["severity"]]
        for row in rows
        for one in row.verdicts
        if not one["success"]
    ]
    return table(
        "gates",
        "Expectations that failed",
        [
            ("day", "Day", "day"), ("suite", "Suite", "text"), ("column", "Column", "code"),
            ("expectation", "Expectation", "code"), ("severity", "Severity", "text"),
        ],
        lines,
    )  # fmt: skip
