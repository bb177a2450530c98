"""Who may open what: every route of the app, by every role, from the app's own table of routes."""

from __future__ import annotations

from itertools import product

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from reengage.reports.app import build_app
from reengage.reports.guard import GuardedRoute
from reengage.reports.rules import RULES
from starlette.routing import Match

from reports.conftest import AS, DAG, ROLES, Reports, by_header, make_unknown

pytestmark = pytest.mark.usefixtures("unheld")
APP = build_app(by_header)
ROUTES = {route.name: route for route in APP.routes if isinstance(route, APIRoute)}

COUNTS = {"engineer", "analyst", "officer", "admin"}
TRAIL = {"officer", "admin"}
OFFICER = {"officer"}
TRIES = {"engineer", "officer"}
MAY_OPEN = {
    "static": COUNTS | {None},
    "overview": COUNTS, "campaign": COUNTS, "campaign_export": COUNTS,
    "hold": OFFICER, "trial": TRIES, "tried": TRIES, "preview": OFFICER, "previewed": OFFICER,
    "alerts": TRAIL,
    "dag": COUNTS, "run": COUNTS, "run_export": COUNTS,
    "compliance": TRAIL, "verify": TRAIL, "ledger": TRAIL, "ledger_export": TRAIL, "entry": TRAIL,
    "agreements": TRAIL, "approvals": TRAIL, "access": TRAIL, "keys": TRAIL, "unknown": TRAIL,
    "resolve": OFFICER, "disclosures": OFFICER, "accounting": OFFICER,
}  # fmt: skip
"""The specification, written apart from the app's own rules."""
FORMS = {
    "accounting": {"patient": "p5", "from": "2025-01-01", "to": "2030-01-01"},
    "resolve": {"verdict": "sent", "ground": "the relay's log of the day"},
    "verify": {},
    "hold": {"state": "paused", "reason": "a wrong telephone number"},
    "tried": {"to": "it@prairie.example.org", "language": "en"},
    "previewed": {"campaign": "health_education", "patient": "p5"},
}


ACTIONS = {"resolve": "resolved", "hold": "paused", "tried": "tested"}


def path_of(name: str, reports: Reports) -> str:
    """An address that the route answers."""
    values = {
        "static": {"name": "reports.css"}, "campaign": {"slug": "health_education"},
        "dag": {"dag_id": DAG}, "entry": {"index": "0"}, "ledger_export": {"form": "csv"},
        "hold": {"slug": "health_education"}, "trial": {"slug": "health_education"},
        "tried": {"slug": "health_education"},
        "campaign_export": {"slug": "health_education", "form": "csv"},
        "resolve": {"letter": "00000000-0000-0000-0000-000000000000"},
    }.get(name, {})  # fmt: skip
    if name == "run":
        return reports.run_path
    if name == "run_export":
        return f"{reports.run_path}/export.csv"
    return str(APP.url_path_for(name, **values))


def test_every_route_is_guarded_and_has_a_rule_and_a_line_of_the_specification() -> None:
    assert all(isinstance(route, GuardedRoute) for route in ROUTES.values())
    assert {route.name for route in APP.routes} == set(RULES) == set(MAY_OPEN)  # type: ignore[attr-defined]


def test_there_are_no_routes_of_documentation() -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert [route for route in APP.routes if _matches(route, path)] == []


def _matches(route: object, path: str) -> bool:
    scope = {"type": "http", "path": path, "method": "GET", "root_path": ""}
    return route.matches(scope)[0] is Match.FULL  # type: ignore[attr-defined]


@pytest.mark.parametrize(("name", "who"), list(product(ROUTES, [None, *ROLES, "stranger"])))
def test_a_route_opens_to_whom_the_specification_says(
    name: str, who: str | None, reports: Reports
) -> None:
    """SEC-05: by role, as a table has it that is not the code's."""
    path = path_of(name, reports)
    if "POST" in ROUTES[name].methods:
        if name == "resolve" and who in MAY_OPEN[name]:
            path = f"/compliance/unknown/{make_unknown(reports)}"
        answer = reports.post(path, FORMS[name], who)
    else:
        answer = reports.get(path, who)
    if who in MAY_OPEN[name] or name == "static":
        assert answer.status_code in (200, 303), answer.text[:2000]
    else:
        assert answer.status_code == (403 if who else 401)
        assert "health_education" not in answer.text.replace(path, "")


def test_a_route_without_a_rule_opens_to_nobody(reports: Reports) -> None:
    router = APIRouter(route_class=GuardedRoute)
    opened: list[str] = []
    router.get("/stray", name="stray")(lambda: opened.append("seen"))
    app = build_app(by_header)
    app.include_router(router)
    with TestClient(app) as client:
        for who in ROLES:
            assert client.get("/stray", headers={AS: who}).status_code == 403
    assert opened == []


def test_a_page_that_left_no_record_is_not_shown(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = APIRouter(route_class=GuardedRoute)
    router.get("/keys-unrecorded", name="keys")(lambda: {"secret": "shown"})
    app = build_app(by_header)
    app.include_router(router)
    with TestClient(app) as client:
        answer = client.get("/keys-unrecorded", headers={AS: "officer"})
    assert answer.status_code == 500
    assert "shown" not in answer.text


@pytest.mark.parametrize("name", sorted(set(ROUTES) - {"static"}))
def test_each_view_and_each_export_is_a_record_with_the_visitors_name(
    name: str, reports: Reports
) -> None:
    path = path_of(name, reports)
    if name == "resolve":
        path = f"/compliance/unknown/{make_unknown(reports)}"
    before = len(reports.accesses())
    if "POST" in ROUTES[name].methods:
        assert reports.post(path, FORMS[name]).status_code in (200, 303)
    else:
        assert reports.get(path).status_code in (200, 303)
    new = reports.accesses()[before:]
    assert [record["actor"] for record in new] == ["airflow:officer"]
    assert new[0]["action"] == ACTIONS.get(name, "exported" if "export" in name else "opened")


def test_a_form_of_another_site_changes_nothing(reports: Reports) -> None:
    letter = make_unknown(reports)
    before = len(reports.accesses())
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://testserver", "sec-fetch-site": "cross-site"},
        {"origin": "http://testserver", "sec-fetch-site": "same-site"},
        *(
            {"origin": "https://evil.example", "authorization": said}
            for said in (
                "Basic x",
                "Negotiate x",
                "Bearer",
                "Bearer ",
                "Bearerx y",
                "Basic Bearer x",
            )
        ),
    ):
        path = f"/compliance/unknown/{letter}"
        assert reports.post(path, FORMS["resolve"], **headers).status_code == 403
    state = reports.practice.rows(f"SELECT state FROM letter WHERE letter_id = '{letter}'")
    assert state == [{"state": "unknown"}]
    assert len(reports.accesses()) == before
    assert reports.post(f"/compliance/unknown/{letter}", FORMS["resolve"]).status_code == 303


def test_a_program_with_a_token_needs_no_origin(reports: Reports) -> None:
    """No browser sends a bearer's token by itself; the visitor is whom it names."""
    for said in ("Bearer a.b.c", "bearer a.b.c"):
        path = f"/compliance/unknown/{make_unknown(reports)}"
        headers = {"origin": "", "authorization": said}
        assert reports.post(path, FORMS["resolve"], **headers).status_code == 303
