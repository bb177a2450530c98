"""The MIME entity around a CMS structure: `application/pkcs7-mime`, base64 (RFC 8551 section 3.2).

Written with lines of 76 octets that end in CRLF. Read more leniently than written, because other
software writes the same in another order and with other line ends: what counts is the type, the
`smime-type` and that the body is base64 to the last octet.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from email import message_from_bytes
from functools import lru_cache
from typing import Literal

from pybase64 import b64encode

from reengage.errors import LetterError

SmimeType = Literal["authEnveloped-data", "signed-data"]
_TYPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")
_WIDTH = 76
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n")


def wrap(der: bytes, smime_type: SmimeType) -> bytes:
    """The entity that carries `der`."""
    return _header(smime_type) + _lines(b64encode(der))


def unwrap(entity: bytes, smime_type: SmimeType) -> bytes:
    """The structure that an entity carries. Raises LetterError for an entity of another kind."""
    end = _END_OF_HEADER.search(entity)
    if end is None or _kind(entity[: end.end()]) != smime_type.lower():
        raise LetterError(
            f"an S/MIME entity is not base64 of {smime_type}; nothing else is opened here"
        )
    try:
        return a2b_base64(re.sub(rb"\r?\n", b"", entity[end.end() :]), strict_mode=True)
    except Error:
        raise LetterError("an S/MIME entity's base64 is damaged") from None


@lru_cache(maxsize=2)
def _header(smime_type: SmimeType) -> bytes:
    return (
        f"Content-Type: application/pkcs7-mime; smime-type={smime_type};\r\n"
        " name=smime.p7m\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        "Content-Disposition: attachment; filename=smime.p7m\r\n"
        "\r\n"
    ).encode("ascii")


def _lines(text: bytes) -> bytes:
    """base64 cut to lines, all at once: a loop over a letter's 400 takes as long as its OAEP."""
    import numpy  # a tenth of a second, which no reader of the DAG files has to pay

    whole, rest = divmod(len(text), _WIDTH)
    lines = numpy.empty((whole, _WIDTH + 2), numpy.uint8)
    lines[:, :_WIDTH] = numpy.frombuffer(text, numpy.uint8, whole * _WIDTH).reshape(whole, _WIDTH)
    lines[:, _WIDTH:] = (13, 10)  # CR LF
    return b"".join((lines.data, text[-rest:] + b"\r\n" if rest else b""))


def _kind(header: bytes) -> str | None:
    """The smime-type, in lower case, of an entity that is pkcs7-mime in base64; None of another."""
    message = message_from_bytes(header)
    encoding = str(message["Content-Transfer-Encoding"] or "").strip().lower()
    if message.get_content_type() not in _TYPES or encoding != "base64":
        return None
    return str(message.get_param("smime-type", "")).lower()
