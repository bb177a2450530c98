"""Compose: fields in their places, or a rendered letter, become RFC 5322 bytes (EML-01 to EML-06).

Two ways to the same letter. A `Skeleton` is a template rendered and encoded once, with places left
open: a letter of it costs the encoding of its values and one join, 30 us instead of 350
(ADR 0023). `encode` encodes the whole of what the template rendered; checks compare a letter with
one made so. `finish` makes the message of either, and of any entity they were sealed into.

Deterministic: the same arguments give the same bytes, boundary and signature included. Lines end in
CRLF and have at most 78 octets where a header allows it (998 at most), all of them 7-bit. No header
holds anything of a patient but the address in To (TRK-05). Refused with a LetterError that tells no
value: what mail/header.py refuses, a link or token that could break out of its line (EML-02), a
field that is missing, in excess or holds a control character.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from markupsafe import escape

from reengage.errors import LetterError
from reengage.mail import quoted_printable
from reengage.mail.dkim_signature import dkim_signature
from reengage.mail.header import MIME_VERSION, Header
from reengage.practice import Practice
from reengage.templates import PORTAL_LINK, Rendered, Template

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
# What needs no escape in a header between < and >; the longest stays below EML-01's 998 octets.
_LINK = re.compile(r"[a-z]+:[A-Za-z0-9/?#%&=@._~+:'-]{1,900}")
_FOLD = re.compile(rb"\r\n(?![ \t])")
_CRLF = b"\r\n"
_BOUNDARY = "boundary"


class _Piece(NamedTuple):
    """Octets of an entity, or a place for them with the key of what belongs there: `html.date`."""

    octets: bytes
    key: str = ""


@dataclass(frozen=True)
class Links:
    """The links of one letter. Raises LetterError for one that could break out of a header."""

    opt_out_url: str
    opt_out_mailto: str
    portal: str | None = None
    """To the letter that a notice of the portal announces, its key in the fragment."""

    def __post_init__(self) -> None:
        if not all(_LINK.fullmatch(link) for link in self.shown().values()):
            raise LetterError("a letter's link is malformed; report this as a defect")

    @classmethod
    def of(cls, practice: Practice, token: str, *, portal: str | None = None) -> Links:
        """The links of the letter with this opt-out token. Raises LetterError."""
        if not _TOKEN.fullmatch(token):
            raise LetterError("an opt-out token is malformed; report this as a defect")
        return cls(practice.opt_out_url + token, opt_out_mailto(practice, token), portal)

    def shown(self) -> dict[str, str]:
        """By the name under which a template shows them."""
        shown = {"opt_out_url": self.opt_out_url, "opt_out_mailto": self.opt_out_mailto}
        return shown if self.portal is None else {**shown, PORTAL_LINK: self.portal}


@dataclass(frozen=True)
class Parts:
    """A letter before it is sealed or signed; `finish` makes the message of it."""

    fields: tuple[bytes, ...]
    """Header fields in order, without their last CRLF; none of the content's (Content-*)."""
    entity: bytes
    """The MIME entity: Content-* fields, an empty line, the body."""


@dataclass(frozen=True)
class Skeleton:
    """A template and a practice: a letter but for its fields, links, address, date and identity."""

    template: Template
    practice: Practice
    _header: Header = field(repr=False, compare=False)
    _pieces: tuple[bytes, ...] = field(repr=False, compare=False)
    """The entity: octets that are the same in every letter; an empty one for each place."""
    _places: tuple[tuple[int, str], ...] = field(repr=False, compare=False)
    """Which piece each place is, and the key of what belongs there."""

    @staticmethod
    def of(template: Template, practice: Practice) -> Skeleton:
        """Compiled once per content. Raises LetterError when the template does not render."""
        return _compiled(template, practice)

    def parts(
        self,
        fields: Mapping[str, str],
        links: Links,
        *,
        recipient: str,
        message_id: str,
        date: datetime,
    ) -> Parts:
        """The letter for these formatted fields. Raises LetterError, never with a value."""
        self.template.require(fields, self.practice, links.portal)
        values = {_BOUNDARY: _boundary(message_id)}
        for name, value in (*fields.items(), *links.shown().items()):
            values[f"plain.{name}"] = plain = quoted_printable.piece(value)
            escaped = escape(value)
            values[f"html.{name}"] = (
                plain if escaped == value else quoted_printable.piece(str(escaped))
            )
        pieces = list(self._pieces)
        for place, key in self._places:
            pieces[place] = values[key]
        header = self._header.fields(
            recipient=recipient,
            message_id=message_id,
            date=date,
            opt_out_url=links.opt_out_url,
            opt_out_mailto=links.opt_out_mailto,
        )
        return Parts(header, b"".join(pieces))


def finish(
    fields: Sequence[bytes],
    entity: bytes,
    *,
    practice: Practice,
    date: datetime,
    dkim_key: bytes | None,
) -> bytes:
    """The message of these header fields and any MIME entity, signed if there is a key.

    Raises KeyringError for a key that cannot sign, LetterError when a header to sign is not there
    exactly once.
    """
    head = [*fields, MIME_VERSION]
    if dkim_key is not None:
        content, _, body = entity.partition(_CRLF + _CRLF)
        signed = [*head, *_FOLD.split(content)]
        own = dkim_signature(signed, body, dkim=practice.dkim, date=date, key=dkim_key)
        head.insert(0, own)
    return _CRLF.join((*head, entity))


def encode(
    rendered: Rendered,
    links: Links,
    *,
    practice: Practice,
    recipient: str,
    message_id: str,
    date: datetime,
) -> Parts:
    """A rendered letter, encoded whole. Raises LetterError."""
    fields = Header.of(practice, rendered.subject).fields(
        recipient=recipient,
        message_id=message_id,
        date=date,
        opt_out_url=links.opt_out_url,
        opt_out_mailto=links.opt_out_mailto,
    )
    pieces = _multipart(
        _Piece(_boundary(message_id)),
        [_Piece(quoted_printable.whole(rendered.text))],
        [_Piece(quoted_printable.whole(rendered.html))],
    )
    return Parts(fields, b"".join(piece.octets for piece in pieces))


def compose(
    rendered: Rendered,
    *,
    practice: Practice,
    recipient: str,
    message_id: str,
    date: datetime,
    opt_out_token: str,
    dkim_key: bytes | None,
) -> bytes:
    """The finished message of a rendered letter, signed if there is a key. Raises LetterError."""
    links = Links.of(practice, opt_out_token)
    parts = encode(
        rendered,
        links,
        practice=practice,
        recipient=recipient,
        message_id=message_id,
        date=date,
    )
    return finish(parts.fields, parts.entity, practice=practice, date=date, dkim_key=dkim_key)


def opt_out_mailto(practice: Practice, token: str) -> str:
    """The mailto: form of a letter's opt-out (RFC 2369 section 3.2)."""
    return f"mailto:{practice.opt_out_mailto}?subject=unsubscribe%20{token}"


def _boundary(message_id: str) -> bytes:
    # "=_" occurs in no quoted-printable text (RFC 2045 section 6.7).
    digest = hashlib.sha256(message_id.encode()).hexdigest()
    return f"=_{digest[:32]}".encode("ascii")


@lru_cache(maxsize=64)
def _compiled(template: Template, practice: Practice) -> Skeleton:
    mark = hashlib.sha256(f"places of {template.digest}".encode()).hexdigest()

    def marked(name: str) -> str:
        # Letters, digits, `_` and `.` only: nothing of it is escaped. Nobody wrote it by chance.
        return f"{mark}.{name}."

    rendered = template.render(
        {name: marked(name) for name in template.variables},
        practice,
        opt_out_url=marked("opt_out_url"),
        opt_out_mailto=marked("opt_out_mailto"),
        portal_link=marked(PORTAL_LINK) if PORTAL_LINK in template.links else None,
    )
    if mark in rendered.subject:
        raise LetterError(f"{template.name}/subject.txt shows a field or link; remove it (TRK-05)")
    entity = _multipart(
        _Piece(b"", _BOUNDARY),
        _opened(rendered.text, mark, "plain"),
        _opened(rendered.html, mark, "html"),
    )
    return Skeleton(
        template,
        practice,
        Header.of(practice, rendered.subject),
        tuple(piece.octets for piece in entity),
        tuple((at, piece.key) for at, piece in enumerate(entity) if piece.key),
    )


def _opened(text: str, mark: str, subtype: str) -> list[_Piece]:
    """The encoded text, with a place wherever a mark stands."""
    constant, *others = re.split(rf"{mark}\.([^.]+)\.", quoted_printable.lines(text))
    pieces = [_Piece(quoted_printable.piece(constant))]
    for name, following in zip(others[::2], others[1::2], strict=True):
        pieces += [_Piece(b"", f"{subtype}.{name}"), _Piece(quoted_printable.piece(following))]
    return pieces


def _multipart(boundary: _Piece, plain: Sequence[_Piece], html: Sequence[_Piece]) -> list[_Piece]:
    """The entity; the best rendering stands last (RFC 2046 section 5.1.4)."""
    return [
        _Piece(b'Content-Type: multipart/alternative;\r\n boundary="'), boundary,
        _Piece(b'"\r\n\r\n--'), boundary, _part_head("plain"), *plain,
        _Piece(b"\r\n--"), boundary, _part_head("html"), *html,
        _Piece(b"\r\n--"), boundary, _Piece(b"--\r\n"),
    ]  # fmt: skip


def _part_head(subtype: str) -> _Piece:
    head = (
        f"\r\nContent-Type: text/{subtype}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return _Piece(head.encode("ascii"))
