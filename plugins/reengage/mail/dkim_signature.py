"""DKIM-Signature (RFC 6376, rsa-sha256) over the headers that matter (EML-06, EML-30).

Canonicalized relaxed/simple: relays refold headers, and nothing has a reason to touch bodies like
ours, 7-bit lines without white space at their end. Signed by `cryptography` with the same answer as
dkimpy, whose own RSA takes twenty times as long; the tests verify with dkimpy.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from reengage.errors import KeyringError, LetterError
from reengage.practice import Dkim

SIGNED_HEADERS = (
    "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type",
    "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip
"""Headers under the signature; RFC 8058 section 3.1 asks for the last two."""

SERVICE_HEADERS = SIGNED_HEADERS[:-2]
"""Those of a message that is no letter of a list: it answers what its reader just did."""


def dkim_signature(
    fields: Sequence[bytes],
    body: bytes,
    *,
    dkim: Dkim,
    date: datetime,
    key: bytes,
    headers: tuple[str, ...] = SIGNED_HEADERS,
) -> bytes:
    """The header field, without its last CRLF. `fields` are all of the message; `key` is PEM.

    Raises KeyringError for a key that cannot sign, LetterError when a header to sign is not there
    exactly once.
    """
    private_key = _private_key(key)
    signed_twice, signed_names = _signed(headers)
    tags = (
        f" v=1; a=rsa-sha256; c=relaxed/simple; d={dkim.domain};\r\n"
        f" s={dkim.selector}; t={int(date.timestamp())};\r\n"
        f" h={signed_twice};\r\n"
        f" bh={_base64(hashlib.sha256(_simple(body)).digest())};\r\n b="
    )
    named = [_relaxed(field) for field in fields]
    found = dict(named)
    names = [name for name, _ in named]
    if any(names.count(name) != 1 for name in signed_names):
        raise LetterError("a header to sign is missing or there twice; report this as a defect")
    _, own = _relaxed(b"DKIM-Signature:" + tags.encode("ascii"))
    text = b"\r\n".join([found[name] for name in signed_names] + [own])
    value = _base64(private_key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
    folded = "".join(f"\r\n {value[start : start + 72]}" for start in range(0, len(value), 72))
    return f"DKIM-Signature:{tags}{folded}".encode("ascii")


@lru_cache(maxsize=4)
def _signed(headers: tuple[str, ...]) -> tuple[str, tuple[bytes, ...]]:
    """As `h=` has them, and as they are looked up.

    Named twice: the signature then also breaks when a second header of that name is added.
    """
    twice = ":\r\n ".join(f"{name}:{name}" for name in headers)
    return twice, tuple(name.lower().encode("ascii") for name in headers)


def _relaxed(field: bytes) -> tuple[bytes, bytes]:
    """Name and canonical field (RFC 6376 section 3.4.2); our fields hold no control but folds."""
    name, _, value = field.partition(b":")
    name = name.rstrip().lower()
    return name, name + b":" + b" ".join(value.split())


def _simple(body: bytes) -> bytes:
    """The canonical body (RFC 6376 section 3.4.3): ends in exactly one CRLF."""
    while body.endswith(b"\r\n\r\n"):
        body = body[:-2]
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _base64(octets: bytes) -> str:
    return base64.b64encode(octets).decode("ascii")


@lru_cache(maxsize=4)
def _private_key(pem: bytes) -> rsa.RSAPrivateKey:
    """The key. Kept: reading it costs 35 ms, a hundred times a signature."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise KeyringError(
            "the DKIM key is not an RSA key in PEM of 2048 bits or more; restore it from the key"
            " backup, or make a new one and publish it in the DNS"
        )
    return key
