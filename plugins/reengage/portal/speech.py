"""Speech: which language a page is shown in, and the page."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from reengage.portal.pages import Pages
from reengage.portal.wanted import LANGUAGES

_RANGE = re.compile(r"([A-Za-z]{2,3})[^,;]*(?:;\s*q=([01](?:\.[0-9]{0,3})?))?")


def language_of(chosen: str | None, accepted: str) -> str:
    """The one that was chosen, else the one that the browser likes best (RFC 9110 12.5.4), else
    English."""
    if chosen in LANGUAGES:
        return chosen
    liked = [
        (float(found[2] or 1), -place, found[1].lower())
        for place, one in enumerate(accepted[:500].split(","))
        if (found := _RANGE.match(one.strip())) and found[1].lower() in LANGUAGES
    ]
    quality, _, best = max(liked, default=(0.0, 0, LANGUAGES[0]))
    return best if quality > 0 else LANGUAGES[0]


def peer_of(request: Request) -> str:
    """Address of the network that the request comes from; a trusted proxy's word counts."""
    return request.client.host if request.client else ""


def page_response(request: Request, name: str, status: int = 200) -> Response:
    """A page in the reader's language."""
    pages: Pages = request.app.state.pages
    language = language_of(
        request.query_params.get("lang"), request.headers.get("accept-language", "")
    )
    headers = {"content-language": language, "vary": "accept-language"}
    return Response(pages.page(name, language), status, headers, "text/html")
