"""Problems: what a visitor is told when a page cannot be shown, and what to do."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import HTMLResponse

from reengage.errors import ReengageError
from reengage.reports.auth import Visitor
from reengage.reports.render import page


class BadQueryError(ReengageError):
    """What was asked has no such form. Its text says what was expected, never what came."""


class ConflictError(ReengageError):
    """What was decided stands already: somebody else was faster."""


_TOLD: Mapping[int, tuple[str, str]] = {
    400: (
        "That cannot be asked",
        "A filter or a field of the form is not of the kind that is expected. Go back and choose"
        " another, or open the page again from the menu.",
    ),
    401: (
        "Your session has ended",
        "Nobody used it for a while, or it was open for as long as a session may be. Reload the"
        " browser's page and log in again; nothing was lost.",
    ),
    403: (
        "This is not yours to open",
        "Your role does not reach so far: the reports are for Data Engineer, Analyst and Compliance"
        " Officer, the pages of Compliance for the Compliance Officer. Whoever administers Airflow"
        " gives roles.",
    ),
    404: (
        "There is no such page",
        "The run, campaign or entry is not there: not yet, or not any more. A run is here from when"
        " its preflight begins. Start from the overview.",
    ),
    405: ("That cannot be done here", "The page takes no such request. Start from the overview."),
    409: (
        "Somebody was faster",
        "It stands so already, or is under way: by somebody else, or as the form was sent twice."
        " Nothing was changed. Open the page again to see how it stands.",
    ),
    500: (
        "Something went wrong",
        "The page was not made, and the server's log says where. Nothing was changed.",
    ),
    503: (
        "The store does not answer as it should",
        "Nothing can be shown while what is shown cannot be recorded. Try again in a minute; if it"
        " stays so, tell who operates the store.",
    ),
}


def problem(
    request: Request, visitor: Visitor | None, status: int, detail: str = ""
) -> HTMLResponse:
    """The page of a status."""
    title, text = _TOLD.get(status, _TOLD[500])
    return page(
        request, visitor, "problem.html", title,
        status=status, text=text, detail=detail, code=status,
    )  # fmt: skip
