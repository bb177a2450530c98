"""Limit: stands before Airflow's app and lets no more than a few tries to log in through (SEC-06).

Airflow's own limit is of the form only, by address, each process for itself; its ways to a token
(`/auth/token`, `/auth/token/cli`) and the API that Flask-AppBuilder brings along have none. Here
all of them are counted together, by account and by address (`tries`). A refused try is 429 with the
seconds to wait, whether its password was right or not. What is sent is read once, given on as it
came, and neither kept nor logged.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from reengage.log_in.names import accounts_of, is_door
from reengage.log_in.tries import Tries, Try

MAX_BODY = 16 * 1024

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def _now() -> datetime:
    return datetime.now(UTC)


class LogInLimit:
    """Around Airflow's app. Tests give another clock."""

    def __init__(self, app: App, now: Callable[[], datetime] = _now) -> None:
        self._app = app
        self._now = now
        self._tries = Tries()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not is_door(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        if _header(scope, b"content-type").count(b"multipart"):
            # No client of Airflow's sends one, and two readers may find two names in it.
            await _refuse(send, 415, "send the log-in as a form or as JSON")
            return
        body = await _whole(receive)
        if body is None:
            await _refuse(send, 413, "a log-in is not that long")
            return
        one = await asyncio.to_thread(
            self._tries.begin, self._now(), _address(scope), accounts_of(body)
        )
        if not one.within:
            told = _TOO_MANY.format(-(-one.seconds_to_wait // 60))
            await _refuse(send, 429, told, accepted=_header(scope, b"accept"), one=one)
            return
        await self._give_on(scope, _replay(body, receive), send, one)

    async def _give_on(self, scope: Scope, receive: Receive, send: Send, one: Try) -> None:
        """Let the app look at it; the count forgets it before who was right hears so."""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and _was_right(message):
                await asyncio.to_thread(self._tries.was_right, one)
            await send(message)

        await self._app(scope, receive, answer)


_TOO_MANY = "too many tries to log in; try again in {} minutes"


async def _whole(receive: Receive) -> bytes | None:
    """The body; None where it is longer than any of a log-in."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            return None
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _was_right(start: Message) -> bool:
    """A token, or the form's way on; who was wrong is led back to the form, or told so."""
    if start["status"] in (200, 201):
        return _header(start, b"content-type").startswith(b"application/json")
    target = urlsplit(_header(start, b"location").decode("latin-1")).path
    return start["status"] == 302 and not target.rstrip("/").endswith("/login")


def _header(message: MutableMapping[str, Any], name: bytes) -> bytes:
    """What stands under that name, all of it."""
    return b",".join(value for key, value in message["headers"] if key.lower() == name).lower()


def _address(scope: Scope) -> str:
    """Whose request it is, by the server; whether that believes a proxy is its own setting."""
    client = scope.get("client")
    return str(client[0]) if client else ""


async def _refuse(
    send: Send, status: int, told: str, *, accepted: bytes = b"", one: Try | None = None
) -> None:
    in_a_window = b"text/html" in accepted
    body = told.encode() if in_a_window else json.dumps({"detail": told}).encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8" if in_a_window else b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if one:
        headers.append((b"retry-after", str(one.seconds_to_wait).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
