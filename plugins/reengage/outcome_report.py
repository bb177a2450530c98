"""Outcome report: a campaign's report of a day, as the tables of schema `report` have it.

What the command line prints and the UI shows, so that both say the same. Reads counts only; may be
read by role `reengage_reporter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, text

from reengage.outcomes.cells import EVENTS
from reengage.outcomes.experiments import Reading
from reengage.outcomes.publish import read_lines
from reengage.outcomes.summing import Line
from reengage.outcomes.telling import ALL

WITHHELD = "*"
_VERDICTS = {
    "more": "more came back of those written to",
    "fewer": "fewer came back of those written to",
    "undecided": "chance alone may explain it",
    "withheld": WITHHELD,
}


@dataclass(frozen=True)
class EffectLine:
    """A line of report.effect. None = withheld, or no number would be honest."""

    slice: str
    level: str
    horizon_days: int
    difference: float | None
    low: float | None
    high: float | None
    needed: float | None
    needed_low: float | None
    needed_high: float | None
    verdict: str


@dataclass(frozen=True)
class CurvePoint:
    """A line of report.return_curve."""

    arm: str
    day: int
    counted_on: date
    returned: float
    low: float
    high: float


@dataclass(frozen=True)
class Experiment:
    """A reading, by the experiment's name."""

    name: str
    reading: Reading


@dataclass(frozen=True)
class CampaignReport:
    """What is told of one campaign's follow-ups of a year, as of a day."""

    campaign: str
    cohort: int
    as_of: date
    followed_until: datetime
    lines: tuple[Line, ...]
    effects: tuple[EffectLine, ...]
    curve: tuple[CurvePoint, ...]
    experiment: Experiment | None

    def as_json(self) -> dict[str, Any]:
        """The object of `report --campaign --json`."""
        return asdict(self)


def reported_days(connection: Connection, campaign: str) -> list[tuple[int, date]]:
    """Cohorts and the days reported on, newest first."""
    found = connection.execute(
        text(
            "SELECT cohort, as_of FROM report.published WHERE campaign = :campaign"
            " ORDER BY as_of DESC, cohort DESC"
        ),
        {"campaign": campaign},
    )
    return [(row.cohort, row.as_of) for row in found]


def read_report(
    connection: Connection, campaign: str, as_of: date | None = None
) -> list[CampaignReport]:
    """The campaign's reports of the newest day up to `as_of`, a cohort each, newest first."""
    days = [one for one in reported_days(connection, campaign) if not as_of or one[1] <= as_of]
    newest = days[0][1] if days else None
    return [_report(connection, campaign, cohort, day) for cohort, day in days if day == newest]


def _report(connection: Connection, campaign: str, cohort: int, as_of: date) -> CampaignReport:
    key = {"campaign": campaign, "cohort": cohort, "as_of": as_of}
    until = connection.execute(
        text(f"SELECT followed_until FROM report.published{_WHERE}"),  # noqa: S608
        key,
    ).scalar_one()
    effects = _rows(connection, "effect", EffectLine, "slice, level, horizon_days", key)
    points = _rows(connection, "return_curve", CurvePoint, "arm, day", key)
    return CampaignReport(
        campaign, cohort, as_of, until,
        tuple(read_lines(connection, campaign, cohort, as_of)),
        tuple(effects), tuple(points), read_experiment(connection, campaign, as_of),
    )  # fmt: skip


_WHERE = " WHERE campaign = :campaign AND cohort = :cohort AND as_of = :as_of"


def _rows(
    connection: Connection, table: str, kind: type[Any], order: str, key: dict[str, object]
) -> list[Any]:
    columns = ", ".join(kind.__dataclass_fields__)
    found = connection.execute(
        text(f"SELECT {columns} FROM report.{table}{_WHERE} ORDER BY {order}"),  # noqa: S608
        key,
    )
    return [kind(**row) for row in found.mappings()]


def read_experiment(
    connection: Connection, campaign: str, as_of: date | None = None
) -> Experiment | None:
    """The reading of the campaign's newest experiment, as of a day."""
    columns = ", ".join(Reading.__dataclass_fields__)
    found = connection.execute(
        text(
            f"SELECT experiment, {columns} FROM report.experiment"  # noqa: S608
            " WHERE campaign = :campaign AND (CAST(:as_of AS date) IS NULL OR as_of <= :as_of)"
            " ORDER BY as_of DESC, experiment LIMIT 1"
        ),
        {"campaign": campaign, "as_of": as_of},
    ).mappings().one_or_none()  # fmt: skip
    if found is None:
        return None
    row = dict(found)
    return Experiment(row.pop("experiment"), Reading(**row))


def in_a_line(connection: Connection, campaign: str, as_of: date | None = None) -> str:
    """How many of those written to came back, by the longest horizon that is told; or why not."""
    for report in read_report(connection, campaign, as_of):
        told = [o for o in report.lines if (o.slice, o.arm) == (ALL, "write") and o.counted_on]
        if told:
            last = max(told, key=lambda line: line.horizon_days)
            return (
                f"{campaign}: {last.returned:,} of {last.mature:,} within {last.horizon_days} days"
                f" ({_span(last.rate, last.rate_low, last.rate_high)})"
            )
    return f"{campaign}: nothing to tell yet; the first number follows 30 days after a month's end"


def render(report: CampaignReport, console: Console) -> None:
    """Print who came back, what writing did, by slice, and the experiment."""
    title = f"{report.campaign}: follow-ups that began in {report.cohort}, as of {report.as_of}"
    console.print(f"[bold]{title}[/]", soft_wrap=True)
    console.print(_outcomes("Who came back", [o for o in report.lines if o.slice == ALL]))
    console.print(_effects(report))
    for slice_ in sorted({one.slice for one in report.lines} - {ALL}):
        lines = [one for one in report.lines if one.slice == slice_]
        if any(one.counted_on for one in lines):
            console.print(_outcomes(f"By {slice_.replace('_', ' ')}", lines))
    if report.experiment:
        render_experiment(report.experiment, console)
    console.print(f"{WITHHELD} withheld: 1 to 10 patients, or would give such a number away")


def render_experiment(experiment: Experiment, console: Console) -> None:
    """Print what the variants' comparison says."""
    found = experiment.reading
    a, b = found.variant_a, found.variant_b
    table = Table(
        title=f"Experiment {experiment.name}, back within {found.horizon_days} days",
        title_justify="left", title_style="bold", header_style="bold",
    )  # fmt: skip
    for heading in ("", a, b, f"{a} less {b}", "evidence", "needed"):
        table.add_column(heading, justify="left" if not heading else "right")
    table.add_row(
        "patients", _count(found.mature_a), _count(found.mature_b), "",
        _number(found.evidence), f"{found.needed:g}",
    )  # fmt: skip
    table.add_row(
        "came back", _count(found.returned_a), _count(found.returned_b),
        _span(found.difference, found.low, found.high), "", "",
    )  # fmt: skip
    console.print(table)
    said = {
        "a": f"{a} brings more patients back; `experiment stop` keeps it",
        "b": f"{b} brings more patients back; `experiment stop` keeps it",
        "open": "no difference beyond chance so far; it may be looked at as often as you like",
        "withheld": "too few patients to tell",
    }[found.verdict]
    console.print(f"ended: everybody gets {found.kept}" if found.kept else said, soft_wrap=True)


def _outcomes(title: str, lines: Sequence[Line]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("")
    for heading in ("days", "followed", "over", "back", "booked", "kept", "share back, 95 %"):
        table.add_column(heading, justify="right")
    for line in lines:
        named = line.arm if line.slice == ALL else f"{line.level}, {line.arm}"
        table.add_row(
            named, str(line.horizon_days),
            *(_count(getattr(line, n)) for n in ("enrolled", "mature", *EVENTS)),
            _span(line.rate, line.rate_low, line.rate_high) if line.mature != 0 else "",
        )  # fmt: skip
    return table


def _effects(report: CampaignReport) -> Table:
    table = Table(
        title="What writing did", title_justify="left", title_style="bold", header_style="bold"
    )
    for heading in ("days", "difference, 95 %", "to write to for one more", ""):
        table.add_column(heading, justify="left" if not heading else "right")
    for one in report.effects:
        if one.slice == ALL:
            table.add_row(
                str(one.horizon_days), _span(one.difference, one.low, one.high), _needed(one),
                _VERDICTS[one.verdict],
            )  # fmt: skip
    return table


def _needed(one: EffectLine) -> str:
    if one.verdict == "withheld":
        return WITHHELD
    if one.needed is None or one.needed_low is None or one.needed_high is None:
        return "cannot be told"
    return f"{one.needed:,.0f} ({one.needed_low:,.0f} to {one.needed_high:,.0f})"


def _count(count: int | None) -> str:
    return WITHHELD if count is None else f"{count:,}"


def _number(value: float | None) -> str:
    return WITHHELD if value is None else f"{value:,.2f}"


def _span(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return WITHHELD
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
