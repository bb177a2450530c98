"""Trial: a test letter with made-up data to somebody on the staff, by the way that letters go.

`pipeline.trial` does it and records it before it leaves; the address is in no record and no log.
"""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.responses import HTMLResponse

from reengage.campaigns import Campaign
from reengage.errors import ReengageError
from reengage.pipeline.trial import Tried, send_trial, staff_domains
from reengage.practice import is_address, load_practice
from reengage.reports.asked import Asked
from reengage.reports.files import campaigns_of
from reengage.reports.problems import BadQueryError
from reengage.reports.render import page
from reengage.reports.tables import Tone
from reengage.reports.visit import Visit

LONGEST_ADDRESS = 254
"""RFC 5321 section 4.5.3.1.3, without the angle brackets."""
_TONES: dict[str, Tone] = {"sent": "good", "deferred": "warn", "unknown": "warn"}


def form(visit: Visit, slug: str) -> HTMLResponse:
    """The form."""
    campaign = _campaign(visit, slug)
    visit.record({"campaign": slug})
    return _page(visit, campaign)


def tried(visit: Visit, slug: str, form: Asked) -> HTMLResponse:
    """Send it, and say what became of it; where it could not be offered, why not (503)."""
    campaign = _campaign(visit, slug)
    language = form.one_of("language", campaign.languages)
    variant = form.one_of("variant", _variants(campaign))
    address = form.text("to", longest=LONGEST_ADDRESS)
    if language is None:
        raise BadQueryError("language: choose one of the campaign's")
    if _variants(campaign) and variant is None:
        raise BadQueryError("variant: choose one of the campaign's")
    domains = _domains(visit)
    if not address or not is_address(address) or _domain(address) not in domains:
        raise BadQueryError(
            f"to: expected an address of the practice's own domains ({', '.join(domains)})"
        )
    try:
        done = send_trial(
            visit.settings, slug, address,
            language=language, variant=variant, by=visit.visitor.actor,
        )  # fmt: skip
    except ReengageError as error:
        return _page(visit, campaign, failed=str(error), language=language, variant=variant)
    visit.was_recorded()
    return _page(visit, campaign, done=done, language=language, variant=variant)


def _page(
    visit: Visit,
    campaign: Campaign,
    *,
    done: Tried | None = None,
    failed: str | None = None,
    language: str | None = None,
    variant: str | None = None,
) -> HTMLResponse:
    return page(
        visit.request, visit.visitor, "trial.html", f"Test letter: {campaign.title}",
        here="overview", code=503 if failed else 200,
        campaign=campaign, variants=_variants(campaign), domains=_domains(visit),
        done=done, tone=_TONES.get(done.outcome, "bad") if done else "", failed=failed,
        language=language, variant=variant, longest=LONGEST_ADDRESS,
    )  # fmt: skip


def _campaign(visit: Visit, slug: str) -> Campaign:
    found = next((c for c in campaigns_of(visit.settings.home)[0] if c.slug == slug), None)
    if found is None:
        raise HTTPException(404)
    return found


def _variants(campaign: Campaign) -> list[str]:
    return sorted(campaign.variants.weights) if campaign.variants else []


def _domains(visit: Visit) -> list[str]:
    return sorted(staff_domains(load_practice(visit.settings.home / "practice.yaml")))


def _domain(address: str) -> str:
    return address.rpartition("@")[2].lower()
