"""Pages: fixed files, filled with the practice's name once at the start, and pinned by digest.

What a browser runs can betray the letter it unlocks, so what is served may change only with a
record: the files of `page/` must be those of `pinned.json`, the page names style and script with
their digests (SRI), and the digest of all that is served goes into the ledger before the first
request is answered. Two languages; nothing depends on which letter is asked for, and nothing is
fetched from elsewhere (TRK-01).
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from reengage.errors import ConfigurationError
from reengage.keys import digest
from reengage.ledger.canonical import canonical
from reengage.portal.desk import Choice, Desk
from reengage.portal.wanted import AUTHORIZATIONS, LANGUAGES, PURPOSES

DIRECTORY = Path(__file__).with_name("page")
PINNED = "pinned.json"
STATIC = {
    "portal.css": "text/css; charset=utf-8",
    "portal.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
SAID = {
    "opt_done": False, "opt_unknown": True, "opt_unclear": False, "confirmed": False,
    "not_found": True, "trouble": True, "too_many": True,
}  # fmt: skip
"""Pages of one sentence -> whether they offer to call."""


@dataclass(frozen=True)
class Pages:
    """Everything that is served, ready to be sent."""

    html: Mapping[tuple[str, str], bytes]
    """By name and language."""
    static: Mapping[str, bytes]
    digest: str
    """SHA-256, in hex, over all of it."""

    def page(self, name: str, language: str) -> bytes:
        """A page. `language` is one of LANGUAGES."""
        return self.html[name, language]


def load_pages(desk: Desk) -> Pages:
    """The pages of this practice. Raises ConfigurationError where a file is not what was pinned."""
    _require_pinned()
    static = {name: (DIRECTORY / name).read_bytes() for name in STATIC}
    html: dict[tuple[str, str], bytes] = {}
    for language in LANGUAGES:
        context = _context(desk, language, static)
        texts = context["t"]
        for name in ("letter", "opt_out", "confirm"):
            html[name, language] = _render(f"{name}.html", context)
        for name, call in SAID.items():
            said = {"heading": texts[f"{name}_heading"], "text": texts[name], "call": call}
            html[name, language] = _render("said.html", context | said)
    served = [[f"{name}.{language}", digest(html[name, language])] for name, language in html]
    served += [[name, digest(content)] for name, content in static.items()]
    return Pages(html, static, digest(canonical(sorted(served))))


def texts(language: str, **values: Any) -> dict[str, str]:
    """The words of a language, numbers filled in; what a page fills in stays as it is."""
    found = json.loads((DIRECTORY / f"texts.{language}.json").read_text(encoding="utf-8"))
    return {
        name: text.replace("{days}", str(values.get("days", 30))) for name, text in found.items()
    }


def current_digests() -> dict[str, str]:
    """SHA-256 of each file that the pages are made of; `python -m reengage generate` pins them."""
    return {
        path.name: digest(path.read_bytes())
        for path in sorted(DIRECTORY.iterdir())
        if path.is_file() and path.name != PINNED
    }


def pinned_content() -> str:
    """What `pinned.json` has to say."""
    return json.dumps(current_digests(), indent=2) + "\n"


def _require_pinned() -> None:
    try:
        pinned = json.loads((DIRECTORY / PINNED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pinned = {}
    found = current_digests()
    for name in sorted(pinned.keys() | found.keys()):
        if pinned.get(name) != found.get(name):
            raise ConfigurationError(
                f"the portal's page/{name} is not the file that was pinned; restore it, or where"
                " the change is yours, look at it once more and run `python -m reengage generate`"
            )


def _context(desk: Desk, language: str, static: Mapping[str, bytes]) -> dict[str, Any]:
    portal = desk.practice.portal
    campaigns: tuple[Choice, ...] = desk.campaigns
    return {
        "lang": language,
        "t": texts(language, days=portal.valid_days if portal else 30),
        "practice": desk.practice,
        "factor": portal.second_factor if portal else "zip",
        "campaigns": campaigns,
        "purposes": PURPOSES,
        "authorizations": AUTHORIZATIONS,
        "css": _integrity(static["portal.css"]),
        "js": _integrity(static["portal.js"]),
    }


def _integrity(content: bytes) -> str:
    """As SRI has it (W3C Subresource Integrity section 3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


def _render(name: str, context: Mapping[str, Any]) -> bytes:
    return _engine().get_template(name).render(context).encode()


@lru_cache(maxsize=1)
def _engine() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(DIRECTORY),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
