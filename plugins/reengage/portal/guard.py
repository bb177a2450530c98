"""Guard: what holds for every request, whatever it asks: headers, sizes, times, what is logged.

No answer is kept anywhere (no-store), framed, sniffed or told of to another site; nothing runs or
is fetched that is not a file of this service, and nothing inline (CSP level 3, Trusted Types). A
body has 16 KiB and ten seconds. The log has method, kind of page, status and milliseconds: no
path, since a path may hold a token, and no address of the network. A fault is an answer without
its reason.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from time import perf_counter
from typing import Any

from reengage.errors import ReengageError, place_of

MAX_BODY = 16 * 1024
BODY_SECONDS = 10.0
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types letter",
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
    "x-robots-tag": "noindex, nofollow",
}
_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_KINDS = frozenset({"m", "api", "opt-out", "confirm", "static", "health"})

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("reengage.portal.access")


class _TooLargeError(ReengageError):
    """A body that is larger than any of ours."""


class _TooSlowError(ReengageError):
    """A body that does not come."""


class Guard:
    """Around the application."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                kept = [one for one in message.get("headers", []) if one[0] not in _OWN]
                message = {**message, "headers": [*kept, *_HEADERS]}
            await send(message)

        try:
            await self._app(scope, await _whole_body(scope, receive), answer)
        except _TooLargeError:
            await _problem(answer, 413, "too_large")
        except _TooSlowError:
            await _problem(answer, 408, "too_slow")
        except Exception as error:  # its text may quote what was sent
            log.error("fault %s", place_of(error))
            if not status:
                await _problem(answer, 500, "server")
        finally:
            took = (perf_counter() - began) * 1000
            method = scope["method"]  # any word may be one
            known = method if method in _METHODS else "other"
            log.info("%s %s %d %.0f ms", known, _kind(scope["path"]), status, took)


_OWN = frozenset(name for name, _ in _HEADERS) | {b"server"}


async def _whole_body(scope: Scope, receive: Receive) -> Receive:
    """The body, read before anything is done with it. Raises _TooLargeError, _TooSlowError."""
    length = dict(scope["headers"]).get(b"content-length", b"0")
    if not length.isdigit() or int(length) > MAX_BODY:
        raise _TooLargeError
    body, more = b"", scope["method"] not in ("GET", "HEAD")
    gone = False
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    gone = True
                    break
                body += message.get("body", b"")
                if len(body) > MAX_BODY:
                    raise _TooLargeError
                more = message.get("more_body", False)
    except TimeoutError:
        raise _TooSlowError from None
    given = False

    async def replay() -> Message:
        nonlocal given
        if gone or given:
            return {"type": "http.disconnect"} if gone else await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _problem(send: Send, status: int, word: str) -> None:
    body = json.dumps({"problem": word}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _kind(path: str) -> str:
    found = path.strip("/").partition("/")[0]
    return found if found in _KINDS else "other"
