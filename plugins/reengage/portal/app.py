"""App: the routes of the portal.

Pages for people, an interface in JSON for the letter's page (docs/portal.md has the whole of it),
and the one-click address of RFC 8058. No cookie is ever set: a session is a bearer token in the
memory of the page that it was given to, so that no other site can use it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, TypeVar

import psycopg
from fastapi import APIRouter, Depends, FastAPI, Header, Path, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from reengage.errors import ReengageError
from reengage.portal import bodies, optout, pickup, problems, wanted
from reengage.portal.desk import Desk
from reengage.portal.guard import Guard
from reengage.portal.pages import STATIC, Pages
from reengage.portal.problems import PortalProblemError
from reengage.portal.speech import page_response, peer_of

HASHERS = max(1, os.cpu_count() or 1)
"""Answers that are hashed at once, 16 MiB each."""
WAITING = 400
"""Answers that may wait for it; beyond, a page is told to come back."""

_OCTETS = {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}
T = TypeVar("T")
MessageId = Annotated[str, Path(pattern=bodies.MESSAGE_ID)]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": bodies.Problem} for code in (401, 403, 408, 410, 413, 422, 423, 429, 503)
}


def create_app(desk: Desk, pages: Pages) -> FastAPI:
    """The application. Nothing is documented on the network; `openapi()` gives the document."""
    app = FastAPI(title="Patient portal", version="1", docs_url=None, redoc_url=None,
                  openapi_url=None)  # fmt: skip
    app.state.desk, app.state.pages = desk, pages
    app.state.hashers = ThreadPoolExecutor(HASHERS, thread_name_prefix="hash")
    app.state.waiting = 0
    app.include_router(_letters)
    app.include_router(_pages)
    app.include_router(optout.router)
    app.add_middleware(Guard)
    app.add_exception_handler(PortalProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_unusable)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ReengageError, _on_trouble)
    app.add_exception_handler(SQLAlchemyError, _on_trouble)
    app.add_exception_handler(psycopg.Error, _on_trouble)  # of a COPY, which is the driver's own
    return app


def _bearer(authorization: Annotated[str, Header(max_length=200)] = "") -> str:
    """The session's token. Raises PortalProblemError where there is none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise problems.no_session()
    return token


Token = Annotated[str, Depends(_bearer)]
_letters = APIRouter(prefix="/api/letters/{message_id}", responses=_PROBLEMS)
_pages = APIRouter()


@_letters.post("/sessions", status_code=201)
async def answer(request: Request, message_id: MessageId, body: bodies.Answer) -> bodies.Opened:
    """Answer the second factor; a right answer begins a session."""
    desk = _desk(request)
    given = pickup.given(desk, body.birth_date, body.second)
    if given is None:
        raise problems.unusable()
    with _turn(request):  # before the answer is counted
        # What fails here was not counted, and gives nothing back: or a fault of the store, which a
        # crowd can bring about, would take back a wrong answer of before.
        sought = await _do(pickup.reserve, desk, message_id, peer_of(request))
        try:
            look = partial(pickup.matches, desk, message_id, given, sought)
            right = await _hashed(request, look)
            session = await _do(pickup.admit, desk, message_id) if right else None
        except PortalProblemError:  # locked meanwhile
            raise
        except Exception:  # a fault of ours is held against nobody
            await _do(pickup.give_back, desk, message_id)
            raise
    if session is None:
        raise problems.not_opened(sought.left)
    return bodies.Opened(
        session=session,
        minutes=pickup.SESSION_MINUTES,
        language="es" if sought.language == "es" else "en",
    )


@_letters.get("/ciphertext", response_class=Response, responses={200: _OCTETS})
async def ciphertext(request: Request, message_id: MessageId, token: Token) -> Response:
    """The letter as it lies here, once per session; the link's key opens it, in the browser."""
    sealed = await _do(pickup.release, _desk(request), message_id, token)
    return Response(sealed, media_type="application/octet-stream")


@_letters.post("/report", status_code=202)
async def report(request: Request, message_id: MessageId) -> Mapping[str, str]:
    """Say that the letter is not for who got the link: it is closed until somebody has looked."""
    await _do(pickup.report, _desk(request), message_id, peer_of(request))
    return {}


@_letters.get("/preferences")
async def preferences(request: Request, message_id: MessageId, token: Token) -> bodies.Standing:
    """How the patient is written to by now."""
    return bodies.Standing(**await _do(wanted.standing, _desk(request), message_id, token))


@_letters.post("/preferences")
async def change(
    request: Request, message_id: MessageId, token: Token, body: bodies.Preferences
) -> bodies.Standing:
    """Say how to be written to; it holds from the next claim on."""
    said = wanted.Wanted(**body.model_dump())
    peer = peer_of(request)
    found = await _do(wanted.by_session, _desk(request), message_id, token, said, peer)
    return bodies.Standing(**found)


@_letters.post("/address", status_code=202)
async def address(
    request: Request, message_id: MessageId, token: Token, body: bodies.NewAddress
) -> Mapping[str, str]:
    """Name another address; a message to it asks for a confirmation first."""
    peer = peer_of(request)
    await _do(wanted.ask_address, _desk(request), message_id, token, body.address, peer)
    return {}


@_pages.get("/m/{message_id:path}", include_in_schema=False)
async def letter(request: Request) -> Response:
    """The letter's page: the same octets whatever is asked for."""
    return page_response(request, "letter")


@_pages.get("/static/{name}", include_in_schema=False)
async def static(request: Request, name: str) -> Response:
    """A file of the pages."""
    if name not in STATIC:
        raise HTTPException(404)
    return Response(request.app.state.pages.static[name], headers={"content-type": STATIC[name]})


@_pages.get("/health")
async def health(request: Request) -> Mapping[str, str]:
    """Whether the store answers."""
    await _do(_look, _desk(request))
    return {"status": "ok"}


def _look(desk: Desk) -> None:
    with desk.engine.connect():
        pass


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


async def _do(work: Callable[..., T], *arguments: Any) -> T:
    """Work that waits for the store, in a thread."""
    return await run_in_threadpool(work, *arguments)


@contextmanager
def _turn(request: Request) -> Iterator[None]:
    """A place among those whose answers are looked at. Raises PortalProblemError: too many wait."""
    state = request.app.state
    if state.waiting >= WAITING:
        raise problems.crowded()
    state.waiting += 1
    try:
        yield
    finally:
        state.waiting -= 1


async def _hashed(request: Request, work: Callable[[], T]) -> T:
    """Work that takes a processor, a few at a time."""
    return await asyncio.get_running_loop().run_in_executor(request.app.state.hashers, work)


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, PortalProblemError)  # noqa: S101 - what it is registered for
    body = bodies.Problem(problem=error.word, seconds=error.seconds)
    headers = {"retry-after": str(error.seconds)} if error.seconds else None
    return JSONResponse(body.model_dump(exclude_none=True), error.status, headers)


async def _on_unusable(request: Request, error: Exception) -> Response:
    """Without what was sent, which the framework would repeat."""
    return JSONResponse({"problem": "unusable"}, 422)


async def _on_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if request.url.path.startswith("/api/"):  # 400: a body that is no JSON at all
        return JSONResponse({"problem": "unusable"}, 422 if status == 400 else status)
    return page_response(request, "not_found", status)


async def _on_trouble(request: Request, error: Exception) -> Response:
    """The store, the journal or the ledger cannot be written: what was asked is not finished. What
    the journal has by then holds all the same, and saying it again finishes it.
    """
    if request.url.path.startswith("/api/"):
        return JSONResponse({"problem": "server"}, 503, {"retry-after": "60"})
    return page_response(request, "trouble", 503)
