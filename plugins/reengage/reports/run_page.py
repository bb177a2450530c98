"""The page of a run: funnel, gate, time per task, how letters travelled, lineage, exports."""

from __future__ import annotations

from typing import Any

from fastapi import HTTPException, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Connection

from reengage.campaigns import Campaign
from reengage.pipeline import holds, required
from reengage.pipeline.run import derive_run_id
from reengage.reports import begun, charts, entries, exports, funnels, runs, waiting
from reengage.reports.begun import Begun
from reengage.reports.campaign_tables import funnel_bars, funnel_table, quality_table
from reengage.reports.files import campaigns_of
from reengage.reports.render import page, seconds
from reengage.reports.runs import MODES, RunRow
from reengage.reports.tables import Badge, Link, Table, table
from reengage.reports.visit import Visit

_PREFIX = "reengage_"


def run_page(visit: Visit, dag_id: str, dag_run_id: str) -> HTMLResponse:
    """The page; of a run that never passed preflight, what is known of it and what to do."""
    row, noted, one = _known(visit, dag_id, dag_run_id)
    if row is None:
        if noted is None:
            raise HTTPException(404)
        return _begun_page(visit, noted, one)
    visit.record({"campaign": row.campaign, "day": row.day.isoformat()})
    small = visit.visitor.sees_small_counts
    counted = funnels.counted(visit, row.run_id)
    shown = funnels.shown(counted.funnel, small=small) if counted else None
    with visit.reading() as connection:
        timing = runs.steps(connection, row.run_id)
        trail = entries.stretch(connection, row) if small else None
        stop = _stop(connection, visit, row, one)
        asked = _asked(visit, connection, row, one)
    return page(
        visit.request, visit.visitor, "run.html", one.title if one else row.campaign,
        here="overview",
        row=row,
        noted=noted,
        verdict=noted.verdict if noted else row.verdict,
        campaign=one,
        mode=MODES[row.mode],
        stop=stop,
        asked=asked,
        shown=shown,
        withheld=counted is None and not small and row.extracted_at is not None,
        adds_up=counted.funnel.adds_up if counted else True,
        funnel=funnel_table(shown) if shown else None,
        funnel_chart=funnel_bars(shown) if shown else None,
        quality=quality_table(shown) if shown else None,
        gate=_gate(row),
        timing=_timing(timing),
        timing_chart=_timing_chart(timing),
        transport=_transport(counted) if counted and small else None,
        trail=trail,
        lineage=_lineage(trail) if trail else None,
        exports=exports.FORMATS,
        export_path=f"{runs.path_of(row)}/export",
    )  # fmt: skip


def _begun_page(visit: Visit, noted: Begun, one: Campaign | None) -> HTMLResponse:
    visit.record({"campaign": noted.campaign, "day": noted.day.isoformat()})
    with visit.reading() as connection:
        asked = _asked(visit, connection, noted, one)
    return page(
        visit.request, visit.visitor, "begun.html", one.title if one else noted.campaign,
        here="overview",
        noted=noted,
        campaign=one,
        mode=MODES[noted.mode],
        asked=asked,
    )  # fmt: skip


def _asked(
    visit: Visit, connection: Connection, row: RunRow | Begun, one: Campaign | None
) -> list[waiting.Task]:
    """What the run asks people now."""
    titles = {row.campaign: one.title if one else row.campaign}
    return [
        waiting.of_question(visit, question, titles)
        for question in required.waiting(connection, visit.settings.now())
        if question.place.run_id == row.run_id
    ]


def _stop(connection: Connection, visit: Visit, row: RunRow, one: Campaign | None) -> waiting.Stop:
    """What stops the campaign while the run is under way: whoever sees it done need not ask."""
    if row.finished_at:
        return waiting.Stop()
    hold = holds.latest(connection).get(row.campaign)
    complained = waiting.has_complaints(connection, visit, one) if one else False
    return waiting.stop_of(visit, "The campaign", hold, complained=complained)


def run_export(visit: Visit, dag_id: str, dag_run_id: str, form: str) -> Response:
    """The funnel as CSV or Parquet, the whole page as PDF."""
    row, _, one = _known(visit, dag_id, dag_run_id)
    if row is None or form not in exports.FORMATS:
        raise HTTPException(404)
    small = visit.visitor.sees_small_counts
    counted = funnels.counted(visit, row.run_id)
    if counted is None:
        raise HTTPException(404)
    detail = {"campaign": row.campaign, "day": row.day.isoformat(), "as": form}
    visit.record(detail, action="exported")
    shown = funnels.shown(counted.funnel, small=small)
    with visit.reading() as connection:
        tables = [funnel_table(shown), _gate(row), _timing(runs.steps(connection, row.run_id))]
    if small:
        tables.append(_transport(counted))
    title = f"{one.title if one else row.campaign}, {row.day} ({MODES[row.mode]})"
    return exports.download(tables, form, f"{row.campaign}-{row.day}", title)


def dag(visit: Visit, dag_id: str) -> Response:
    """From the tab of a DAG to the page of its campaign."""
    slug = dag_id.removeprefix(_PREFIX)
    slugs = {one.slug for one in campaigns_of(visit.settings.home)[0]}
    known = slug in slugs and dag_id.startswith(_PREFIX)
    visit.record({"campaign": slug if known else None})  # nothing that somebody typed (LOG-09)
    if known:
        from reengage.reports.render import base_of

        return RedirectResponse(f"{base_of(visit.request)}campaigns/{slug}", 303)
    return page(visit.request, visit.visitor, "no_campaign.html", "Not a campaign", here="overview")


def _known(
    visit: Visit, dag_id: str, dag_run_id: str
) -> tuple[RunRow | None, Begun | None, Campaign | None]:
    """The run of a DAG run, its beginning where that did not pass, and the campaign.

    By what it derives from; nothing else is ever looked up by it.
    """
    if not dag_id.startswith(_PREFIX):
        raise HTTPException(404)
    run_id, slug = derive_run_id(dag_id, dag_run_id), dag_id.removeprefix(_PREFIX)
    with visit.reading() as connection:
        row = runs.run_of(connection, run_id)
        noted = begun.of_run(connection, run_id, visit.settings.now())
    campaigns = {one.slug: one for one in campaigns_of(visit.settings.home)[0]}
    return (
        row if row and row.campaign == slug else None,
        noted if noted and noted.campaign == slug and noted.state != "passed" else None,
        campaigns.get(slug),
    )


def _gate(row: RunRow) -> Table:
    return table(
        "gate",
        "What the gate asked, and whether it held",
        [
            ("suite", "Suite", "text"), ("column", "Column", "code"),
            ("expectation", "Expectation", "code"), ("severity", "Severity", "text"),
            ("result", "Result", "badge"),
        ],
        [
            [one["suite"], one.get("column"), one["type"], one["severity"], _result(one)]
            for one in row.verdicts
        ],
    )  # fmt: skip


def _result(verdict: Any) -> Badge:
    if verdict["success"]:
        return Badge("held", "good")
    return Badge("failed", "bad" if verdict["severity"] == "critical" else "warn")


def _timing(found: list[runs.Step]) -> Table:
    return table(
        "timing",
        "Time per task",
        [
            ("task", "Task", "code"), ("seconds", "From first start to last end", "seconds"),
            ("chunks", "Chunks", "count"), ("tries", "Most tries", "count"),
            ("outcome", "Outcome", "badge"),
        ],
        [
            [one.task, one.seconds, one.chunks, one.tries,
             Badge(one.outcome, "good" if one.outcome == "success" else "bad")]
            for one in found
        ],
    )  # fmt: skip


def _timing_chart(found: list[runs.Step]) -> Any:
    if not found:
        return None
    return charts.bars(
        [charts.Bar(one.task, one.seconds, seconds(one.seconds), tone=1) for one in found]
    )


def _transport(counted: funnels.Counted) -> Table:
    return table(
        "transport",
        "How letters travelled",
        [
            ("state", "Became", "text"), ("seal", "Sealed", "text"), ("tls", "TLS", "text"),
            ("cipher", "Cipher", "code"), ("code", "Relay's code", "code"),
            ("letters", "Letters", "count"),
        ],
        [
            [one["state"], one["seal"], one["tls_version"], one["cipher"], one["code"],
             one["letters"]]
            for one in counted.transport
        ],
        note="From the evidence that is kept of each letter; of a letter that was never offered"
        " there is none.",
    )  # fmt: skip


def _lineage(trail: entries.Stretch) -> Table:
    tones = {"COMPLETE": "good", "FAIL": "bad", "ABORT": "bad"}
    return table(
        "lineage",
        "Lineage, as the ledger has it",
        [
            ("entry", "Entry", "text"), ("at", "Recorded", "instant"), ("task", "Task", "code"),
            ("event", "Event", "badge"), ("inputs", "Read", "code"), ("outputs", "Wrote", "code"),
            ("columns", "Columns traced", "count"),
        ],
        [
            [
                Link(f"{one.index:,}", f"compliance/ledger/{one.index}"), one.at, one.task,
                Badge(one.kind, tones.get(one.kind, "quiet")),  # type: ignore[arg-type]
                ", ".join(one.inputs), ", ".join(one.outputs), one.columns or None,
            ]
            for one in trail.events
        ],
    )  # fmt: skip
