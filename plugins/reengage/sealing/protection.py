"""Header protection (RFC 9788): the real header fields travel inside the encryption.

`hp="cipher"` on the payload says that the fields inside are the message's own. What stays outside
is what mail needs to be delivered, answered and unsubscribed from; the outer subject is `[...]`,
which the RFC's hcp_baseline prescribes, and a field that is not on the list is hidden whole, where
hcp_baseline would show it. Inside, HP-Outer names each field that was left outside, so that a
reader's client sees when one was changed on the way (RFC 9788 section 2.2).

No legacy display element: a client that does not know RFC 9788 shows `[...]` for a subject and the
letter as it is; the subject says nothing that the letter does not (EML-22, docs/adr/0021).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from reengage.errors import LetterError

OUTER_SUBJECT = b"Subject: [...]"
SHOWN = frozenset(
    (
        b"from", b"to", b"reply-to", b"date", b"message-id", b"auto-submitted",
        b"list-unsubscribe", b"list-unsubscribe-post",
    )
)  # fmt: skip
"""Names of the fields that stay readable outside, in lower case."""

_FIELD = re.compile(rb"([!-9;-~]+):[ \t]?[^\r\n]*(\r\n[ \t][^\r\n]*)*")
_NEXT_FIELD = re.compile(rb"\r\n(?![ \t])")
_CRLF = b"\r\n"
_SUBJECT, _MIME_VERSION = b"subject", b"mime-version"


def protect(fields: Sequence[bytes], entity: bytes) -> tuple[tuple[bytes, ...], bytes]:
    """The fields to show, and the payload to encrypt: all fields, and the entity.

    `fields` are folded header fields without their final CRLF, none of them Content-*; `entity` has
    a Content-Type. MIME-Version stays outside only: it tells of the structure, not of the message.
    Raises LetterError where something else is given.
    """
    named = [(_name(field), field) for field in fields]
    if any(name.startswith(b"content-") for name, _ in named):
        raise LetterError("a Content-* field belongs to the entity; report this as a defect")
    outer = tuple(shown for name, field in named if (shown := _outside(name, field)) is not None)
    inner = [field for name, field in named if name != _MIME_VERSION]
    seen = [field for field in outer if _name(field) != _MIME_VERSION]
    header, blank, body = entity.partition(_CRLF + _CRLF)
    own = [_marked(field) for field in _NEXT_FIELD.split(header)]
    if not blank or sum(_name(field) == b"content-type" for field in own) != 1:
        raise LetterError(
            "an entity to protect has no single Content-Type; report this as a defect"
        )
    payload = [*inner, *(b"HP-Outer: " + field for field in seen), *own]
    return outer, _CRLF.join(payload) + blank + body


def _outside(name: bytes, field: bytes) -> bytes | None:
    if name == _SUBJECT:
        return OUTER_SUBJECT
    return field if name in SHOWN or name == _MIME_VERSION else None


def _name(field: bytes) -> bytes:
    parts = _FIELD.fullmatch(field)
    if parts is None:
        raise LetterError("a header field is malformed; report this as a defect")
    return parts[1].lower()


def _marked(field: bytes) -> bytes:
    """The entity's own field; its Content-Type says that the payload's fields are protected."""
    name = _name(field)
    if not name.startswith(b"content-"):
        raise LetterError("an entity to protect has a field that is not Content-*; report this")
    return field + b';\r\n hp="cipher"' if name == b"content-type" else field
