"""The page of a campaign: who came back and how sure that is, its runs, letters and gate."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import HTTPException, Response
from fastapi.responses import HTMLResponse

from reengage.campaigns import Campaign
from reengage.grounds import LONGEST_GROUND
from reengage.pipeline import holds
from reengage.reports import begun, exports, funnels, months, returns, returns_tables, runs, waiting
from reengage.reports import campaign_tables as tables
from reengage.reports.asked import Asked
from reengage.reports.begun import Begun
from reengage.reports.files import campaigns_of
from reengage.reports.problems import BadQueryError
from reengage.reports.render import page
from reengage.reports.returns import HORIZON, Told
from reengage.reports.runs import MODES, RunRow
from reengage.reports.tables import Table
from reengage.reports.visit import Visit
from reengage.reports.waiting import Stop


@dataclass(frozen=True)
class Found:
    """What a page or an export of a campaign is made of."""

    campaign: Campaign
    told: Told | None
    horizon: int
    rows: list[RunRow]
    lines: list[RunRow | Begun]
    """The same, and what did not get beyond preflight, or not again after it was cleared."""
    kept: dict[Any, Any]
    back: Table
    stop: Stop


def campaign_page(visit: Visit, slug: str, asked: Asked) -> HTMLResponse:
    """The page. `month` and `days` choose what is told of the outcomes."""
    found = _found(visit, slug, asked, "opened")
    small = visit.visitor.sees_small_counts
    rows = found.rows
    latest, shown = _newest(visit, rows)
    by_run = {run_id: funnels.shown(one, small=small) for run_id, one in found.kept.items()}
    failed, held = tables.gates_tables(rows)
    asked_about, given = tables.consent(shown) if shown else (None, None)
    return page(
        visit.request, visit.visitor, "campaign.html", found.campaign.title,
        here="overview",
        campaign=found.campaign,
        latest=latest,
        shown=shown,
        funnel=tables.funnel_table(shown) if shown else None,
        funnel_chart=tables.funnel_bars(shown) if shown else None,
        consent_asked=asked_about,
        consent_given=given,
        consent=tables.share_of(given, asked_about) if shown else None,  # type: ignore[arg-type]
        runs=tables.runs_table(found.lines, by_run),
        modes=MODES,
        chart=tables.runs_chart(rows, by_run),
        back=found.back,
        gates=failed,
        gates_held=held,
        exports=exports.FORMATS,
        stop=found.stop,
        longest=LONGEST_GROUND,
        **_outcomes(found.told, found.horizon),
    )  # fmt: skip


def _newest(visit: Visit, rows: list[RunRow]) -> tuple[RunRow | None, funnels.Shown | None]:
    """The newest run that the visitor is told the funnel of, and that."""
    small = visit.visitor.sees_small_counts
    for row in rows:
        if row.extracted_at if small else row.finished_at and row.mode == "live":
            counted = funnels.counted(visit, row.run_id)
            if counted is not None:
                return row, funnels.shown(counted.funnel, small=small)
    return None, None


def _outcomes(told: Told | None, horizon: int) -> dict[str, Any]:
    """What the template needs of who came back."""
    if told is None:
        return {"told": None}
    answer = told.of_month(horizon)
    newest = told.reports[0]
    experiment = newest.experiment
    return {
        "told": told,
        "horizon": horizon,
        "answer": answer,
        "spoken": returns_tables.spoken(answer, told.left_out),
        "answer_chart": returns_tables.answer_chart(answer),
        "outcomes": [returns_tables.outcome_table(one) for one in told.reports],
        "effects": [returns_tables.effect_table(one) for one in told.reports if one.effects],
        "curve": returns_tables.curve_table(newest),
        "curve_chart": returns_tables.curve_chart(newest),
        "slices": returns_tables.slice_tables(told),
        "variants": returns_tables.variants_table(experiment) if experiment else None,
        "variants_said": returns_tables.variants_verdict(experiment) if experiment else None,
    }


def campaign_export(visit: Visit, slug: str, asked: Asked, form: str) -> Response:
    """Who came back, or the runs, as CSV or Parquet; the page's tables as PDF."""
    if form not in exports.FORMATS:
        raise HTTPException(404)
    found = _found(visit, slug, asked, "exported", form)
    small = visit.visitor.sees_small_counts
    by_run = {run_id: funnels.shown(one, small=small) for run_id, one in found.kept.items()}
    lines, said, when = [], [], ""
    if told := found.told:
        answer = returns_tables.spoken(told.of_month(found.horizon), told.left_out)
        when, said = f"-{told.month.value}", [f"{answer.heading}.", *answer.sentences]
        lines = [returns_tables.outcome_table(one) for one in told.reports]
        lines += [returns_tables.effect_table(one) for one in told.reports if one.effects]
        lines += [returns_tables.curve_table(told.reports[0]), *returns_tables.slice_tables(told)]
    lines += [tables.runs_table(found.lines, by_run), found.back]
    title = found.campaign.title + (f", {told.month.name}" if told else "")
    return exports.download(lines, form, slug + when, title, said)


def _found(visit: Visit, slug: str, asked: Asked, action: str, form: str | None = None) -> Found:
    one = next((c for c in campaigns_of(visit.settings.home)[0] if c.slug == slug), None)
    if one is None:
        raise HTTPException(404)
    month = asked.month("month")
    horizon = asked.number("days")
    now = visit.settings.now()
    today: date = now.astimezone(ZoneInfo(one.time_zone)).date()
    left_out = months.left_out(visit, slug)
    with visit.reporting() as connection:
        told = returns.read(connection, slug, today, month, horizon or HORIZON, left_out)
    if month is not None and told is None:
        raise BadQueryError("month: there is no report of that month; choose another")
    if told and horizon is not None and horizon not in told.horizons:
        raise BadQueryError("days: expected one of the horizons that the page offers")
    visit.record({"campaign": slug, "month": month, "as": form}, action=action)
    small = visit.visitor.sees_small_counts
    with visit.reading() as connection:
        rows = runs.recent(connection, slug, tables.DAYS)
        lines = begun.among(rows, begun.recent(connection, slug, tables.DAYS, now), tables.DAYS)
        kept = funnels.kept(connection, [row.run_id for row in rows], small=small)
        back = tables.came_back(connection, visit.settings.home, slug, now, small=small)
        hold = holds.latest(connection).get(slug)
        complained = waiting.has_complaints(connection, visit, one)
        stop = waiting.stop_of(visit, one.title, hold, complained=complained)
    return Found(one, told, horizon or HORIZON, rows, lines, kept, back, stop)
