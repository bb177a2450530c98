"""Compose: a rendered letter becomes RFC 5322 bytes with the headers of rules EML-01 to EML-07.

Deterministic: the same arguments give the same bytes, boundary and signature included. Lines end in
CRLF and have at most 78 octets where a header allows it (998 at most), all of them 7-bit. No header
holds anything of a patient but the address in To (TRK-05). Refused with a LetterError that tells no
value: an address that is not plainly formed, a subject, Message-ID or token that could break out of
its line (EML-02), a date without time zone.

Headers are written here and not by `email.message`, which takes 1.9 ms a letter against 0.2; dkimpy
canonicalizes and `cryptography` signs, because dkimpy's own RSA takes 6 ms against 0.3. The tests
read both with the other: `email` parses the message, dkimpy verifies the signature.
"""

from __future__ import annotations

import base64
import hashlib
import re
from binascii import b2a_qp
from datetime import datetime
from email.headerregistry import Address
from email.policy import SMTP
from email.utils import format_datetime
from functools import lru_cache

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from dkim.canonicalization import Relaxed

from reengage.errors import KeyringError, LetterError
from reengage.mail.fields import has_control
from reengage.practice import Practice, is_address
from reengage.templates import Rendered

SIGNED_HEADERS = (
    "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "MIME-Version", "Content-Type",
    "Auto-Submitted", "List-Unsubscribe", "List-Unsubscribe-Post",
)  # fmt: skip
"""Headers under the DKIM signature; RFC 8058 section 3.1 asks for the last two."""

# Named twice: the signature then also breaks when a second header of that name is added.
_SIGNED_TWICE = ":\r\n ".join(f"{name}:{name}" for name in SIGNED_HEADERS)
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+>")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
_CRLF = b"\r\n"


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
    """The finished message, signed if there is a key. Raises LetterError, never with a value."""
    _refuse(rendered.subject, recipient, message_id, date, opt_out_token)
    boundary = "=_" + hashlib.sha256(message_id.encode()).hexdigest()[:32]
    opt_out = f"<{practice.opt_out_url}{opt_out_token}>"
    by_mail = f"<{opt_out_mailto(practice, opt_out_token)}>"
    sender = str(Address(practice.from_name, addr_spec=practice.from_address))
    headers = [
        _folded("From", sender),
        b"To: " + recipient.encode("ascii"),
        _folded("Reply-To", practice.reply_to),
        _folded("Subject", rendered.subject),
        b"Date: " + format_datetime(date).encode("ascii"),
        b"Message-ID: " + message_id.encode("ascii"),
        b"Auto-Submitted: auto-generated",
        f"List-Unsubscribe: {opt_out},\r\n {by_mail}".encode("ascii"),
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        b"MIME-Version: 1.0",
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"'.encode("ascii"),
    ]
    body = _multipart(boundary, plain=rendered.text, html=rendered.html)
    if dkim_key is not None:
        headers.insert(0, _signature(headers, body, practice, date, _private_key(dkim_key)))
    return _CRLF.join((*headers, b"", body))


def opt_out_mailto(practice: Practice, token: str) -> str:
    """The mailto: form of a letter's opt-out (RFC 2369 section 3.2)."""
    return f"mailto:{practice.opt_out_mailto}?subject=unsubscribe%20{token}"


def _refuse(subject: str, recipient: str, message_id: str, date: datetime, token: str) -> None:
    if not is_address(recipient):
        raise LetterError("a recipient's address is not well-formed; mend it in the source")
    if has_control(subject) or not subject.strip():
        raise LetterError("a subject is empty or holds a line break; mend the template")
    if not _MESSAGE_ID.fullmatch(message_id) or not _TOKEN.fullmatch(token):
        raise LetterError("a Message-ID or opt-out token is malformed; report this as a defect")
    if date.tzinfo is None:
        raise LetterError("a letter's date has no time zone; report this as a defect")


@lru_cache(maxsize=64)
def _folded(name: str, value: str) -> bytes:
    """A header whose text may need encoding (RFC 2047). Few values: the practice's own."""
    parsed = SMTP.header_factory(name, value)
    return str(parsed.fold(policy=SMTP)).removesuffix("\r\n").encode("ascii")


def _multipart(boundary: str, *, plain: str, html: str) -> bytes:
    delimiter = f"--{boundary}".encode("ascii")
    return _CRLF.join(
        (
            delimiter,
            *_part("plain", plain),
            delimiter,  # the best rendering stands last (RFC 2046 section 5.1.4)
            *_part("html", html),
            delimiter + b"--",
            b"",
        )
    )


def _part(subtype: str, text: str) -> tuple[bytes, ...]:
    # One line end at least: b2a_qp takes the line ends of its soft breaks from the first it sees.
    lines = "\r\n".join([*text.splitlines(), ""])
    return (
        f"Content-Type: text/{subtype}; charset=utf-8".encode("ascii"),
        b"Content-Transfer-Encoding: quoted-printable",
        b"",
        b2a_qp(lines.encode("utf-8"), istext=True),
    )


def _signature(
    headers: list[bytes], body: bytes, practice: Practice, date: datetime, key: rsa.RSAPrivateKey
) -> bytes:
    """The DKIM-Signature header (RFC 6376), relaxed/relaxed, rsa-sha256."""
    body_hash = base64.b64encode(hashlib.sha256(Relaxed.canonicalize_body(body)).digest())
    tags = (
        f" v=1; a=rsa-sha256; c=relaxed/relaxed; d={practice.dkim.domain};\r\n"
        f" s={practice.dkim.selector}; t={int(date.timestamp())};\r\n"
        f" h={_SIGNED_TWICE};\r\n"
        f" bh={body_hash.decode()};\r\n b="
    )
    canonical = dict(Relaxed.canonicalize_headers([header.split(b":", 1) for header in headers]))
    text = b"".join(
        name.lower().encode() + b":" + canonical[name.lower().encode()] for name in SIGNED_HEADERS
    )
    [(_, own)] = Relaxed.canonicalize_headers([(b"DKIM-Signature", tags.encode("ascii"))])
    text += b"dkim-signature:" + own.rstrip()
    value = base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()
    folded = "".join(f"\r\n {value[start : start + 72]}" for start in range(0, len(value), 72))
    return f"DKIM-Signature:{tags}{folded}".encode("ascii")


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
