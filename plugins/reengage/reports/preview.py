"""Preview: one patient's letter as it would look, asked by a form, never by an address (PRV-27).

The room records who looks before it reads the patient. The letter stands in a frame of its own that
runs nothing, opens nothing and loads nothing: the page's policy holds in it, too, and allows beside
the page's own styles exactly those that are in this letter, by their digests.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from hashlib import sha256
from html.parser import HTMLParser

from fastapi import Response
from fastapi.responses import HTMLResponse

from reengage.campaigns import Campaign
from reengage.pipeline.preview import Preview
from reengage.pipeline.preview import preview as look
from reengage.pipeline.run import local_day
from reengage.reasons import EXCLUDED
from reengage.reports.asked import Asked
from reengage.reports.files import campaigns_of
from reengage.reports.problems import BadQueryError
from reengage.reports.render import page
from reengage.reports.visit import Visit

_LONGEST_KEY = 200
_POLICY = (
    "default-src 'none'; style-src 'self' 'unsafe-hashes'{styles}; script-src 'self';"
    " img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
)
_DAYS_BACK = 366
_MEANINGS = {reason.code: reason.means for reason in EXCLUDED}


def form(visit: Visit, asked: Asked) -> HTMLResponse:
    """The form. `campaign` says which one is chosen."""
    campaigns = _campaigns(visit)
    chosen = asked.one_of("campaign", campaigns)
    visit.record()
    return _page(visit, campaigns, chosen)


def previewed(visit: Visit, form: Asked) -> Response:
    """The letter, or why there would be none. Recorded by the room, under a pseudonym."""
    campaigns = _campaigns(visit)
    slug = form.one_of("campaign", campaigns)
    key = form.text("patient", longest=_LONGEST_KEY)
    day = form.day("day")
    if slug is None:
        raise BadQueryError("campaign: choose one")
    if key is None:
        raise BadQueryError("patient: write the patient's key in the warehouse")
    today = local_day(visit.settings.now(), campaigns[slug])
    if day and not today - timedelta(days=_DAYS_BACK) <= day <= today:
        raise BadQueryError(f"day: expected today or one of the {_DAYS_BACK} days before")
    found = look(visit.settings, slug, key, by=visit.visitor.actor, day=day)
    visit.was_recorded()
    answer = _page(visit, campaigns, slug, found=found, key=key, day=day or today)
    if found.letter:
        styles = "".join(f" '{one}'" for one in styles_of(found.letter.html))
        answer.headers["Content-Security-Policy"] = _POLICY.format(styles=styles)
    return answer


def _page(
    visit: Visit,
    campaigns: Mapping[str, Campaign],
    chosen: str | None,
    *,
    found: Preview | None = None,
    key: str = "",
    day: date | None = None,
) -> HTMLResponse:
    return page(
        visit.request, visit.visitor, "preview.html", "A patient's letter",
        here="preview",
        campaigns=list(campaigns.values()), chosen=chosen, longest=_LONGEST_KEY,
        found=found, letter=found.letter if found else None, key=key, day=day,
        reasons=[(code, _MEANINGS.get(code, "")) for code in found.reasons] if found else [],
    )  # fmt: skip


def _campaigns(visit: Visit) -> dict[str, Campaign]:
    return {one.slug: one for one in campaigns_of(visit.settings.home)[0]}


def styles_of(html: str) -> list[str]:
    """Digests of all styles of a document, as a policy names them (CSP level 3, 6.7.3.3). Pure.

    Of attributes what they say, of elements their text; a digest allows that style and no other.
    """
    found = _Styles()
    found.feed(html.replace("\r\n", "\n").replace("\r", "\n"))  # as a browser reads it
    found.close()
    return [_digest(one) for one in dict.fromkeys(found.texts)]


def _digest(style: str) -> str:
    return f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}"


class _Styles(HTMLParser):
    """Collects what styles say."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self._within: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        """An element."""
        self.texts += [value for name, value in attrs if name == "style" and value]
        self._within = [] if tag == "style" else None

    def handle_data(self, data: str) -> None:
        """Text, perhaps a style's."""
        if self._within is not None:
            self._within.append(data)

    def handle_endtag(self, tag: str) -> None:
        """The end of an element."""
        if tag == "style" and self._within is not None:
            self.texts.append("".join(self._within))
        self._within = None
