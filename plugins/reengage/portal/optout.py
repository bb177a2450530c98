"""Opting out by the link of a letter: one POST, as mail programs and people send it (RFC 8058).

GET changes nothing: programs that look at every link would opt people out. No cookie, no log-in, no
redirect, no question (EML-07, EML-27). The page says nothing of who the link is for: it is the same
for any token. Confirming another address is of the same kind, and here, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse

from reengage.portal import wanted
from reengage.portal.desk import Desk
from reengage.portal.problems import PortalProblemError
from reengage.portal.speech import page_response, peer_of
from reengage.portal.wanted import Wanted

ONE_CLICK = "One-Click"
MOST_FIELDS = 100
_FORMS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {
                "schema": {
                    "type": "object",
                    "properties": {"List-Unsubscribe": {"type": "string", "enum": [ONE_CLICK]}},
                    "required": ["List-Unsubscribe"],
                }
            }
            for kind in ("application/x-www-form-urlencoded", "multipart/form-data")
        },
    }
}
_HTML: dict[int | str, dict[str, Any]] = {
    code: {"description": text, "content": {"text/html": {}}}
    for code, text in ((200, "done"), (400, "nothing was marked"), (404, "no such link"),
                       (429, "asked too often, try again"), (503, "not finished, try again"))
}  # fmt: skip
_HTML[200]["content"]["text/plain"] = {}
router = APIRouter()


@router.get("/opt-out/{token}", response_class=Response, responses={200: _HTML[200]})
async def ask(request: Request, token: str) -> Response:
    """A form, the same for any token; nothing is changed."""
    return page_response(request, "opt_out")


@router.post("/opt-out/{token}", response_class=Response, responses=_HTML, openapi_extra=_FORMS)
async def leave(request: Request, token: str) -> Response:
    """Opt out of the letter's campaign (`List-Unsubscribe=One-Click`), or of what `stop` says."""
    form = await _form(request)
    stop = form.get("stop")
    one_click = form.get("List-Unsubscribe") == ONE_CLICK and stop is None
    said = Wanted(stop_all=stop == "all") if stop != "chosen" else _chosen(form)
    this_kind = one_click or stop == "this"
    desk: Desk = request.app.state.desk
    try:
        if not (this_kind or (stop in ("all", "chosen") and said.said(desk))):
            return page_response(request, "opt_unclear", 400)
        found = await run_in_threadpool(
            wanted.by_link, desk, token, said, this_kind=this_kind,
            channel="one_click" if one_click else "portal", peer=peer_of(request),
        )  # fmt: skip
    except PortalProblemError as problem:
        return _problem(request, problem)
    if not found:
        return page_response(request, "opt_unknown", 404)
    if one_click:
        return PlainTextResponse("unsubscribed\n")
    return page_response(request, "opt_done")


@router.get("/confirm/{token}", response_class=Response, responses={200: _HTML[200]})
async def ask_address(request: Request, token: str) -> Response:
    """A button, the same for any token; nothing is changed."""
    return page_response(request, "confirm")


@router.post("/confirm/{token}", response_class=Response, responses={
    code: _HTML[code] for code in (200, 404, 429, 503)
})  # fmt: skip
async def confirm_address(request: Request, token: str) -> Response:
    """Who reads the mail of an address confirms it, and letters go there."""
    desk: Desk = request.app.state.desk
    try:
        found = await run_in_threadpool(wanted.confirm_address, desk, token, peer_of(request))
    except PortalProblemError as problem:
        return _problem(request, problem)
    return page_response(request, "confirmed" if found else "opt_unknown", 200 if found else 404)


def _problem(request: Request, problem: PortalProblemError) -> Response:
    """Of a form: a page, and when to come back."""
    if problem.seconds is None:
        return page_response(request, "opt_unclear", 400)
    answered = page_response(request, "too_many", problem.status)
    answered.headers["retry-after"] = str(problem.seconds)
    return answered


async def _form(request: Request) -> Mapping[str, Any]:
    """The fields, of either encoding; whatever is no form has none."""
    try:
        return await request.form(max_files=0, max_fields=MOST_FIELDS)
    except (HTTPException, ValueError, KeyError):
        return FormData()


def _chosen(form: Mapping[str, Any]) -> Wanted:
    many = form.getlist if isinstance(form, FormData) else lambda _: []
    language = form.get("language")
    return Wanted(
        stop_all="stop_all" in form,
        stop_campaigns=[str(one) for one in many("stop_campaigns")],
        stop_purposes=[str(one) for one in many("stop_purposes")],
        revoke=[str(one) for one in many("revoke")],
        restrict="restrict" in form,
        language=str(language) if language else None,
    )
