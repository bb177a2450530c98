"""Opened: a finished letter as its recipient reads it, layer by layer, beside a blank one.

A letter by guaranteed TLS has one layer, the message. Of an S/MIME letter the outer message is one,
what its content key opens the other; of a letter at the portal the notice, and what the link in the
notice opens. What is compared are the finished bytes: nothing is taken on the word of who sealed.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from functools import cached_property, lru_cache
from typing import cast

from reengage.compose import Links, Parts, finish
from reengage.errors import LetterError
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.composing import Wording, blanks, encoded, links_of, render
from reengage.pipeline.run import Run
from reengage.sealing import portal, smime
from reengage.sealing.mime import wrap
from reengage.sealing.protection import protect
from reengage.templates import Rendered

_POLICY = SMTP.clone(header_factory=lru_cache(256)(SMTP.header_factory))
"""The parser asks for a header's meaning again and again, and letters differ in few of them."""
_LINK = re.compile(r"\bhref\s*=\s*[\"']?([^\"'\s>]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Layer:
    """One of the messages that a letter consists of, and the blank one it is held against."""

    octets: bytes = field(repr=False)
    blank: bytes = field(repr=False)
    declared: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the blank one is filled with."""
    links: Links | None = field(default=None, repr=False)
    """The links of its own that it may show."""

    @cached_property
    def found(self) -> EmailMessage:
        """The message, parsed once: parsing is most of what looking at a letter costs."""
        return parsed(self.octets)

    @cached_property
    def expected(self) -> EmailMessage:
        """The blank one."""
        return parsed(self.blank)

    @cached_property
    def page(self) -> str:
        """Its HTML; empty where it has none."""
        return content(self.found, "html")


def layers(run: Run, letter: Addressed, identity: str, wording: Wording) -> list[Layer]:
    """The outer layer first. Raises LetterError, KeyringError for a letter that does not open."""
    return {"tls": _plain, "smime": _smime, "portal": _portal}[letter.way.mode](
        run, letter, identity, wording
    )


def parsed(octets: bytes) -> EmailMessage:
    """The message, as a mail client reads it."""
    return message_from_bytes(octets, policy=_POLICY)


def content(message: EmailMessage, subtype: str) -> str:
    """The decoded part, empty where there is not exactly one: it then equals no blank letter."""
    parts = [part for part in message.walk() if part.get_content_type() == f"text/{subtype}"]
    return cast(str, parts[0].get_content()) if len(parts) == 1 else ""


def links_in(page: str) -> list[str]:
    """Where the links of a page lead."""
    return [html.unescape(link) for link in _LINK.findall(page)]


def _plain(run: Run, letter: Addressed, identity: str, wording: Wording) -> list[Layer]:
    links = links_of(run, identity)
    blank = _blank(run, letter, identity, wording, links)
    return [Layer(letter.message, _message(run, blank), letter.declared, links)]


def _smime(run: Run, letter: Addressed, identity: str, wording: Wording) -> list[Layer]:
    if letter.content_key is None or letter.signed_by is None:
        raise LetterError("a sealed letter lacks the key that opens it; clear `extract`")
    links = links_of(run, identity)
    blank = _blank(run, letter, identity, wording, links)
    outer, payload = protect(blank.fields, blank.entity)
    _, _, entity = letter.message.partition(b"MIME-Version: 1.0\r\n")
    inner = smime.open_with_content_key(
        entity, letter.content_key, signer_certificate=letter.signed_by
    )
    return [
        Layer(letter.message, _message(run, Parts(outer, wrap(b"", "authEnveloped-data")))),
        Layer(inner, payload, letter.declared, links),
    ]


def _portal(run: Run, letter: Addressed, identity: str, wording: Wording) -> list[Layer]:
    if letter.deposit is None or run.practice.portal is None or wording.notice is None:
        raise LetterError("a letter for the portal lacks what it leaves there; clear `extract`")
    message_id, ciphertext = letter.deposit
    link, key = _link_of(run, letter, message_id)
    page = portal.pick_up(ciphertext, key=key, message_id=message_id)
    links, own = links_of(run, identity, portal=link), links_of(run, identity)
    notice = render(run, wording.notice, {}, links)
    found = Rendered(page.subject, page.text, page.html)
    whole = encoded(run, found, own, letter.recipient, identity)
    return [
        Layer(
            letter.message,
            _message(run, encoded(run, notice, links, letter.recipient, identity)),
            links=links,
        ),
        Layer(
            _message(run, whole),
            _message(run, _blank(run, letter, identity, wording, own)),
            letter.declared,
            own,
        ),
    ]


def _link_of(run: Run, letter: Addressed, message_id: str) -> tuple[str, bytes]:
    """The link that the notice shows, and the key in it. Raises LetterError where it shows none."""
    url = run.practice.portal.url if run.practice.portal else ""
    for link in links_in(content(parsed(letter.message), "html")):
        if (named := portal.key_of(link, portal_url=url)) and named[0] == message_id:
            return link, named[1]
    raise LetterError("a notice shows no link to its letter at the portal; clear `extract`")


def _blank(run: Run, letter: Addressed, identity: str, wording: Wording, links: Links) -> Parts:
    said = render(run, wording.letter, blanks(run.campaign), links)
    return encoded(run, said, links, letter.recipient, identity)


def _message(run: Run, parts: Parts) -> bytes:
    return finish(
        parts.fields, parts.entity, practice=run.practice, date=run.settings.now(), dkim_key=None
    )
