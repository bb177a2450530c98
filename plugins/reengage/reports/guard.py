"""Guard: every route of the app runs inside it. Log-in, rule, same origin, record, clear errors.

A route class rather than dependencies, since it also stands between a handler that fails and the
server's log, which would quote a driver's text and with it a patient's row (SEC-10).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from psycopg import Error as DriverError
from sqlalchemy.exc import SQLAlchemyError

from reengage.errors import LedgerError, ReengageError, StoreError, place_of
from reengage.reports.auth import Visitor, log_in_url
from reengage.reports.problems import BadQueryError, ConflictError, problem
from reengage.reports.rules import RULES
from reengage.reports.visit import Visit

log = logging.getLogger(__name__)

_BEARER = re.compile(r"bearer +\S+ *", re.IGNORECASE)
"""A token that a program sends (RFC 6750, section 2.1)."""
Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_NAVIGATES = "document"
"""`Sec-Fetch-Dest` of a page that is the window's own, not one inside of Airflow's."""


class GuardedRoute(APIRoute):
    """A route whose name has a rule."""

    def get_route_handler(self) -> Handler:
        """The handler inside the guard."""
        handle, name = super().get_route_handler(), self.name

        async def guarded(request: Request) -> Response:
            visitor: Visitor | None = None
            try:
                visit = await _let_in(name, request)
                visitor = visit.visitor if visit else None
                response = await handle(request)
            except Exception as error:
                return _told(request, visitor, error)
            if visit and visit.rule.records and not visit.recorded and response.status_code < 400:
                log.error("route %s showed nothing: it left no access record", name)
                return problem(request, visitor, 500)
            return response

        return guarded


def visit_of(request: Request) -> Visit:
    """The visit, for handlers. Raises HTTPException 401 where there is none."""
    visit: Visit | None = getattr(request.state, "visit", None)
    if visit is None:
        raise HTTPException(401)
    return visit


async def _let_in(name: str, request: Request) -> Visit | None:
    """The visit that the route's rule allows; None where anybody may come. Fails closed."""
    rule = RULES.get(name)
    if rule is not None and rule.needs is None:
        return None
    visitor = await request.app.state.authenticate(request)
    if rule is None or rule.needs not in visitor.capabilities:
        # No record of the ledger, which anybody could fill with them.
        log.warning("%s was refused route %s", visitor.name, name)
        raise _Refused(visitor)
    if request.method not in ("GET", "HEAD"):
        _require_same_origin(request)
    visit = Visit(visitor, rule, request)
    request.state.visit = visit
    return visit


class _Refused(HTTPException):
    """Somebody with a log-in whose roles do not go so far."""

    def __init__(self, visitor: Visitor) -> None:
        super().__init__(403)
        self.visitor = visitor


def _require_same_origin(request: Request) -> None:
    """A form of another site's, sent with the visitor's cookie, changes nothing.

    Nor with a password or a ticket for a proxy in front, which browsers add by themselves, too.
    """
    if _BEARER.fullmatch(request.headers.get("authorization", "")):
        return  # no browser adds that by itself
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site")
    same = bool(origin) and urlsplit(str(origin)).netloc == request.headers.get("host")
    if site not in (None, "same-origin") or not same:
        raise HTTPException(403, "cross-site")


def _told(request: Request, visitor: Visitor | None, error: Exception) -> Response:
    """The page that says what is wrong, and nothing of the data."""
    if isinstance(error, _Refused):
        return problem(request, error.visitor, 403)
    if isinstance(error, HTTPException):
        if error.status_code == 401 and _is_window(request):
            return RedirectResponse(log_in_url(str(request.url.path)), 303)
        return problem(request, visitor, error.status_code)
    if isinstance(error, BadQueryError):
        return problem(request, visitor, 400, str(error))
    if isinstance(error, ConflictError):
        return problem(request, visitor, 409, str(error))
    if isinstance(error, RequestValidationError):
        return problem(request, visitor, 400)
    if isinstance(error, LedgerError | StoreError):
        log.error("%s: %s", type(error).__name__, error)
        return problem(request, visitor, 503, str(error))
    if isinstance(error, ReengageError):
        log.error("%s: %s", type(error).__name__, error)
        return problem(request, visitor, 500, str(error))
    log.error("%s", place_of(error))
    down = isinstance(error, SQLAlchemyError | DriverError)
    return problem(request, visitor, 503 if down else 500)


def _is_window(request: Request) -> bool:
    return request.method == "GET" and request.headers.get("sec-fetch-dest") == _NAVIGATES
