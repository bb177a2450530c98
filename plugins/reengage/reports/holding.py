"""Holding: a campaign paused, and let go on, by somebody who decides, with a reason, on record."""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.responses import RedirectResponse

from reengage import store
from reengage.errors import ConfigurationError
from reengage.grounds import require_ground
from reengage.pipeline import holds
from reengage.reports.asked import Asked
from reengage.reports.files import campaigns_of
from reengage.reports.problems import BadQueryError, ConflictError
from reengage.reports.render import base_of
from reengage.reports.visit import Visit

_WANTED = ("paused", "on")


def hold(visit: Visit, slug: str, form: Asked) -> RedirectResponse:
    """Pause the campaign or let it go on, in one transaction with the record; back to its page.

    Raises ConflictError where it stands so already: somebody else was faster.
    """
    if slug not in {one.slug for one in campaigns_of(visit.settings.home)[0]}:
        raise HTTPException(404)
    wanted = form.one_of("state", _WANTED)
    if wanted is None:
        raise BadQueryError("state: choose whether the campaign is paused or on")
    try:
        reason = require_ground(form.text("reason", longest=400) or "", "the reason")
    except ConfigurationError as error:
        raise BadQueryError(str(error)) from None
    with visit.store.begin() as connection:
        store.require_keyring(connection, visit.keyring)
        try:
            holds.decide(
                connection, visit.keyring, slug,
                pause=wanted == "paused", by=visit.visitor.actor, reason=reason,
            )  # fmt: skip
        except ConfigurationError:
            raise ConflictError(
                f"campaign {slug} is {'paused' if wanted == 'paused' else 'not paused'} already;"
                " its page says by whom"
            ) from None
    visit.was_recorded()
    return RedirectResponse(f"{base_of(visit.request)}campaigns/{slug}#hold", 303)
