"""Every way in, and every wrong way, answers with the headers: by the app's own routes."""

from __future__ import annotations

from typing import Any, cast

import pytest
from patients import Portal, unknown_id
from portal_headers import HEADERS
from reengage.portal import guard
from reengage.portal.app import create_app
from starlette.routing import Route

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")


def routes() -> list[tuple[str, frozenset[str]]]:
    """Paths, filled in, and what they answer to."""
    filled = {"{message_id}": unknown_id(), "{message_id:path}": "x", "{token}": "x",
              "{name}": "portal.css"}  # fmt: skip
    found = []
    for route in create_app(cast(Any, None), cast(Any, None)).routes:
        assert isinstance(route, Route)
        path = route.path
        for name, value in filled.items():
            path = path.replace(name, value)
        assert "{" not in path
        found.append((path, frozenset(route.methods or ())))
    return found


ROUTES = routes()


def test_the_table_of_routes_is_the_services() -> None:
    assert len({path for path, _ in ROUTES}) >= 10


@pytest.mark.parametrize("method", METHODS)
def test_every_route_answers_every_method_with_the_headers(portal: Portal, method: str) -> None:
    paths = dict.fromkeys([path for path, _ in ROUTES] + ["/", "/nothing", "/m", "/static/none"])
    with portal.client() as client:
        for path in paths:
            found = client.request(method, path, content=b"{",
                                   headers={"content-type": "application/json"})  # fmt: skip
            said = {name: found.headers.get(name) for name in HEADERS}
            assert said == HEADERS, (method, path, found.status_code)
            assert "server" not in found.headers
            assert "set-cookie" not in found.headers
            assert found.status_code < 500


@pytest.mark.parametrize("path", [path for path, methods in ROUTES if "POST" in methods])
def test_what_is_too_large_is_refused_everywhere_with_the_headers(
    portal: Portal, path: str
) -> None:
    with portal.client() as client:
        found = client.post(path, content=b"x" * (guard.MAX_BODY + 1))
    assert found.status_code == 413
    assert {name: found.headers[name] for name in HEADERS} == HEADERS


def test_the_headers_are_all_that_the_guard_sets() -> None:
    """Written down a second time: one that is taken away, or added without a thought, is seen."""
    assert guard.HEADERS == HEADERS
