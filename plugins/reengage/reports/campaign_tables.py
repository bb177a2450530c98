"""What a campaign's page shows of its runs: funnel, days, consent, what came back, the gate."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from reengage.reasons import EXCLUDED
from reengage.reports import charts, funnels, runs
from reengage.reports.begun import Begun
from reengage.reports.cells import HIDDEN, Count, alone, between
from reengage.reports.render import count
from reengage.reports.runs import MODES, RunRow
from reengage.reports.tables import Badge, Link, Strip, Table, table
from reengage.sql import load_sql

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
_ORDER = [reason.code for reason in EXCLUDED]
_CONSENT = [reason.code for reason in EXCLUDED if "forms" in reason.rests_on]
_BEFORE_CONSENT = _ORDER[: min(map(_ORDER.index, _CONSENT))]
"""Reasons that are looked at first: of whom one of them holds, consent is not asked about."""


def funnel_table(shown: funnels.Shown) -> Table:
    """The funnel, line by line, with what each reason means."""
    practice = [("Living patients", shown.living), ("Inactive", shown.inactive)]
    rows: list[list[Any]] = [[name, None, n, None] for name, n in practice if n is not None]
    of_all = [*shown.excluded.values(), *shown.rest.values()]
    rows += [
        [_line("Candidates", shown.candidates, of_all), None, shown.candidates, None],
        [_line("Excluded", shown.excluded_total, shown.excluded.values()), None,
         shown.excluded_total, share_of(shown.excluded_total, shown.candidates)],
    ]  # fmt: skip
    ordered = sorted(shown.excluded.items(), key=lambda item: _descending(item[1]))
    rows += [
        [f"… {_MEANINGS.get(code, code)}", code, n, share_of(n, shown.candidates)]
        for code, n in ordered
    ]
    rows.append(
        [_line("Eligible", shown.eligible, shown.rest.values()), None, shown.eligible,
         share_of(shown.eligible, shown.candidates)]
    )  # fmt: skip
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


def _line(name: str, whole: Count, parts: Collection[Count]) -> str:
    """The name of a total; where that is hidden, with what its parts leave it."""
    least, most = between(parts)
    return f"{name}, {least:,} to {most:,}" if whole is HIDDEN and least < most else name


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


def consent(shown: funnels.Shown) -> tuple[Count, Count]:
    """Of how many candidates consent was asked about, and how many had one in force.

    Hidden where a count that it is worked out from is.
    """
    parts = {code: n for code, n in shown.excluded.items() if code not in _BEFORE_CONSENT}
    parts["eligible"] = shown.eligible
    numbers = {code: n for code, n in parts.items() if isinstance(n, int)}
    if len(numbers) < len(parts):
        return HIDDEN, HIDDEN
    asked = sum(numbers.values())
    return asked, asked - sum(numbers.get(code, 0) for code in _CONSENT)


def runs_table(rows: Sequence[RunRow | Begun], by_run: Mapping[Any, funnels.Shown]) -> Table:
    """The campaign's runs, the newest first, those that never passed preflight among them."""
    lines = []
    for row in rows:
        found = by_run.get(row.run_id)
        counts: list[Any] = [None] * 7
        if found:
            asked, given = consent(found)
            counts = [
                found.candidates, share_of(given, asked), found.eligible, found.rest["held_out"],
                found.rest["sent"], found.rest["refused"], found.rest["unknown"],
            ]  # fmt: skip
        day = Link(row.day.isoformat(), runs.path_of(row))
        lines.append([day, MODES[row.mode], row.verdict, *counts])
    return table(
        "runs",
        f"The last {DAYS} runs",
        [
            ("day", "Day", "text"), ("mode", "Mode", "text"), ("verdict", "Run", "badge"),
            ("candidates", "Candidates", "count"), ("consent", "Consent", "share"),
            ("eligible", "Eligible", "count"), ("held_out", "Held out", "count"),
            ("sent", "Sent", "count"), ("refused", "Refused", "count"),
            ("unknown", "Unknown", "count"),
        ],
        lines,
        note="Consent = a form in force for every purpose that is needed, of the candidates who"
        " were not left out for an earlier reason.",
    )  # fmt: skip


def runs_chart(rows: Sequence[RunRow], by_run: Mapping[Any, funnels.Shown]) -> Any:
    """Candidates, eligible and sent by day; None for fewer than two days."""
    points = [
        {"day": row.day, "Candidates": by_run[row.run_id].candidates,
         "Eligible": by_run[row.run_id].eligible, "Sent": by_run[row.run_id].rest["sent"]}
        for row in reversed(rows)
        if row.run_id in by_run and row.mode == "live"
    ]  # fmt: skip
    if len({point["day"] for point in points}) < 2:
        return None
    return charts.lines(points, ["Candidates", "Eligible", "Sent"], axis="patients")


def came_back(
    connection: Connection, home: Path, slug: str, now: datetime, *, small: bool
) -> Table:
    """Bounces, complaints and opt-outs of a year by month.

    Without `small`, of months that are over only: two days' counts of a month would tell who came
    between them.
    """
    now = now.astimezone(UTC)
    since = now.replace(year=now.year - 1, day=1, hour=0, minute=0, second=0, microsecond=0)
    found = connection.execute(
        text(load_sql(home, "reports/came_back.sql")), {"campaign": slug, "since": since}
    ).all()
    this = date(now.year, now.month, 1)
    rows = [
        [f"{row.month:%Y-%m}", *(n if small else alone(n) for n in row[1:])]
        for row in found
        if small or row.month < this
    ]
    return table(
        "back",
        "What came back of the letters, by month",
        [
            ("month", "Month", "text"), ("hard", "Dead addresses", "count"),
            ("soft", "Passing trouble", "count"), ("complaints", "Complaints", "count"),
            ("opt_outs", "Opt-outs", "count"),
        ],
        rows,
        note="Messages, by the month in which they came (UTC). Opt-outs are of this campaign; who"
        " wants no letter at all counts in none." + ("" if small else " Months that are over."),
    )  # fmt: skip


def gates_tables(rows: Sequence[RunRow]) -> tuple[Table, Table]:
    """What the gate asked lately: expectations that ever failed, and those that never did."""
    history: dict[tuple[str, str, str], list[tuple[RunRow, Mapping[str, Any]]]] = {}
    for row in reversed(rows):
        for one in row.verdicts:
            key = (one["suite"], one.get("column") or "", one["type"])
            history.setdefault(key, []).append((row, one))
    lines = []
    for (suite, column, kind), found in history.items():
        failed = [row for row, one in found if not one["success"]]
        last_row, last = found[-1]
        lines.append([
            suite, column, kind, last["severity"],
            Strip([bool(one["success"]) for _, one in found][-30:]),
            len(found), len(failed),
            Link(failed[-1].day.isoformat(), runs.path_of(failed[-1])) if failed else None,
            Badge("failed", "bad") if last_row in failed else Badge("held", "good"),
        ])  # fmt: skip
    lines.sort(key=lambda line: (-line[6], line[:3]))
    failing = [line for line in lines if line[6]]
    return (
        _gates("gates", f"What failed at the gate in the last {DAYS} runs", failing),
        _gates("gates-held", "What always held", [line for line in lines if not line[6]]),
    )


def _gates(name: str, caption: str, lines: list[list[Any]]) -> Table:
    return table(
        name,
        caption,
        [
            ("suite", "Suite", "text"), ("column", "Column", "code"),
            ("expectation", "Expectation", "code"), ("severity", "Severity", "text"),
            ("history", "Oldest to newest", "text"), ("asked", "Asked", "count"),
            ("failed", "Failed", "count"), ("last_failed", "Last failed", "text"),
            ("newest", "Last time", "badge"),
        ],
        lines,
    )  # fmt: skip
