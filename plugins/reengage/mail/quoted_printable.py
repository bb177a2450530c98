"""Quoted-printable (RFC 2045 section 6.7): a whole part at once, or piece by piece.

Lines end in CRLF and have at most 76 octets, all of them ASCII; no white space stands at the end of
one, and none begins with "From ", which some mailboxes change and so break a signature (RFC 2049
section 3, point 5). Total: every text without lone surrogates has an encoding that decodes to it.
"""

from __future__ import annotations

import re
from binascii import b2a_qp

SOFT_BREAK = b"=\r\n"
"""A line end of the encoding only: decoding drops it."""

_FROM = re.compile(rb"^From ", re.MULTILINE)
# b2a_qp encodes white space at the end of a line without asking whether there is room for it.
_OVERFULL = re.compile(rb"^([^\r\n]{74,})(=20|=09)(?=\r\n)", re.MULTILINE)
# Takes three octets and is no white space: what stands before it leaves room for a soft break and
# keeps its last space as it is. Being the end of a line, it also tells b2a_qp to write CRLF.
_SENTINEL, _ENCODED_SENTINEL = b"=\r\n", b"=3D\r\n"


def lines(text: str) -> str:
    """`text` as lines that each end in CRLF, whatever ended them."""
    return "\r\n".join([*text.splitlines(), ""])


def whole(text: str) -> bytes:
    """A part from its first to its last line."""
    return _mended(b2a_qp(lines(text).encode("utf-8"), istext=True))


def piece(text: str) -> bytes:
    """A stretch of `lines(...)`: the encoded pieces of a text, joined, decode to the text.

    A piece that ends within a line ends in a soft break, so that each piece is encoded for itself.
    """
    octets = text.encode("utf-8")
    if octets.endswith(b"\r\n"):
        return _mended(b2a_qp(octets, istext=True))
    encoded = b2a_qp(octets + _SENTINEL, istext=True)[: -len(_ENCODED_SENTINEL)]
    if encoded and not encoded.endswith(SOFT_BREAK):
        encoded += SOFT_BREAK
    return _mended(encoded)


def _mended(encoded: bytes) -> bytes:
    if b"From " in encoded:
        encoded = _FROM.sub(b"=46" + SOFT_BREAK + b"rom ", encoded)
    if b"=20\r\n" in encoded or b"=09\r\n" in encoded:
        encoded = _OVERFULL.sub(rb"\1" + SOFT_BREAK + rb"\2", encoded)
    return encoded
