"""The app that the plugin mounts in Airflow: its routes, its headers, its files.

No documentation routes, no CDN, nothing inline: a page loads one style sheet and one script of this
folder. Blocking work runs in handlers that are plain functions, which FastAPI gives to its threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reengage.reports import (
    campaign_page,
    compliance,
    decisions,
    holding,
    officer,
    overview,
    patient,
    preview,
    run_page,
    trial,
)
from reengage.reports.asked import Asked, form_of
from reengage.reports.auth import Authenticate, airflow_visitor
from reengage.reports.guard import GuardedRoute, visit_of
from reengage.reports.problems import problem
from reengage.reports.render import PREFIX as PREFIX
from reengage.reports.visit import Visit

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`, with which a form would be sent from no origin.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_STATIC = {"reports.css": "text/css; charset=utf-8", "reports.js": "text/javascript; charset=utf-8"}

Visited = Annotated[Visit, Depends(visit_of)]
Form = Annotated[Asked, Depends(form_of)]
_routes = APIRouter(route_class=GuardedRoute)


def build_app(authenticate: Authenticate = airflow_visitor) -> FastAPI:
    """The app. Tests give another way to authenticate."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, title="reengage reports")
    app.state.authenticate = authenticate
    app.include_router(_routes)
    app.add_exception_handler(StarletteHTTPException, _no_such_page)
    app.add_middleware(_Headers)
    return app


class _Headers:
    """Puts the headers on every answer, errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                named = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"]] + [
                    (name.lower().encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.lower().encode() not in named
                ]
            await send(message)

        await self._app(scope, receive, sending)


async def _no_such_page(request: Request, error: Exception) -> Response:
    """An address without a route: the same for everybody, and nothing is looked up for it."""
    status = error.status_code if isinstance(error, StarletteHTTPException) else 500
    return problem(request, None, status)


@_routes.get("/static/{name}", name="static")
def _static(name: str) -> Response:
    if name not in _STATIC:
        raise HTTPException(404)
    content = (Path(__file__).parent / "static" / name).read_bytes()
    return Response(content, media_type=_STATIC[name], headers={"Cache-Control": "max-age=300"})


@_routes.get("/", name="overview")
def _overview(visit: Visited) -> Response:
    return overview.overview(visit)


@_routes.get("/campaigns/{slug}", name="campaign")
def _campaign(visit: Visited, request: Request, slug: str) -> Response:
    return campaign_page.campaign_page(visit, slug, Asked.query(request))


@_routes.get("/campaigns/{slug}/export.{form}", name="campaign_export")
def _campaign_export(visit: Visited, request: Request, slug: str, form: str) -> Response:
    return campaign_page.campaign_export(visit, slug, Asked.query(request), form)


@_routes.post("/campaigns/{slug}/hold", name="hold")
def _hold(visit: Visited, slug: str, form: Form) -> Response:
    return holding.hold(visit, slug, form)


@_routes.get("/campaigns/{slug}/test-letter", name="trial")
def _trial(visit: Visited, slug: str) -> Response:
    return trial.form(visit, slug)


@_routes.post("/campaigns/{slug}/test-letter", name="tried")
def _tried(visit: Visited, slug: str, form: Form) -> Response:
    return trial.tried(visit, slug, form)


@_routes.get("/dags/{dag_id}", name="dag")
def _dag(visit: Visited, dag_id: str) -> Response:
    return run_page.dag(visit, dag_id)


@_routes.get("/dags/{dag_id}/runs/{dag_run_id}/export.{form}", name="run_export")
def _run_export(visit: Visited, dag_id: str, dag_run_id: str, form: str) -> Response:
    return run_page.run_export(visit, dag_id, dag_run_id, form)


@_routes.get("/dags/{dag_id}/runs/{dag_run_id}", name="run")
def _run(visit: Visited, dag_id: str, dag_run_id: str) -> Response:
    return run_page.run_page(visit, dag_id, dag_run_id)


@_routes.get("/compliance", name="compliance")
def _compliance(visit: Visited) -> Response:
    return compliance.compliance(visit)


@_routes.post("/compliance/verify", name="verify")
def _verify(visit: Visited) -> Response:
    return compliance.verify_now(visit)


@_routes.get("/compliance/ledger", name="ledger")
def _ledger(visit: Visited, request: Request) -> Response:
    return compliance.ledger(visit, Asked.query(request))


@_routes.get("/compliance/ledger/export.{form}", name="ledger_export")
def _ledger_export(visit: Visited, request: Request, form: str) -> Response:
    return compliance.ledger_export(visit, Asked.query(request), form)


@_routes.get("/compliance/ledger/{index}", name="entry")
def _entry(visit: Visited, index: int) -> Response:
    if not 0 <= index < 2**63:
        raise HTTPException(404)
    return compliance.entry(visit, index)


@_routes.get("/compliance/disclosures", name="disclosures")
def _disclosures(visit: Visited) -> Response:
    return patient.disclosures(visit)


@_routes.post("/compliance/disclosures", name="accounting")
def _accounting(visit: Visited, form: Form) -> Response:
    return patient.accounting(visit, form)


@_routes.get("/compliance/unknown", name="unknown")
def _unknown(visit: Visited, request: Request) -> Response:
    return officer.unknown_letters(visit, Asked.query(request))


@_routes.post("/compliance/unknown/{letter}", name="resolve")
def _resolve(visit: Visited, letter: UUID, form: Form) -> Response:
    return officer.resolve(visit, letter, form)


@_routes.get("/compliance/agreements", name="agreements")
def _agreements(visit: Visited) -> Response:
    return officer.agreements(visit)


@_routes.get("/compliance/approvals", name="approvals")
def _approvals(visit: Visited) -> Response:
    return decisions.approvals(visit)


@_routes.get("/compliance/alerts", name="alerts")
def _alerts(visit: Visited) -> Response:
    return decisions.alerts(visit)


@_routes.get("/compliance/preview", name="preview")
def _preview(visit: Visited, request: Request) -> Response:
    return preview.form(visit, Asked.query(request))


@_routes.post("/compliance/preview", name="previewed")
def _previewed(visit: Visited, form: Form) -> Response:
    return preview.previewed(visit, form)


@_routes.get("/compliance/access", name="access")
def _access(visit: Visited, request: Request) -> Response:
    return compliance.access(visit, Asked.query(request))


@_routes.get("/compliance/keys", name="keys")
def _keys(visit: Visited) -> Response:
    return officer.keys(visit)
