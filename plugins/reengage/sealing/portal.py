"""Portal: the sealing half of a letter that its recipient picks up with a link.

Promises: the letter is encrypted under a key of its own, drawn here, which is nowhere but in the
fragment of the link, and a fragment is never sent to a server (RFC 3986 section 3.5). Neither the
mailbox without the portal nor the portal's database without the mailbox reveals anything. The
ciphertext opens for its own message id only, and its length tells of the letter no more than a
multiple of `BLOCK`. What a browser needs: AES-256-GCM as WebCrypto has it, the tag at the end.

Format: version byte 0x01, 12 octets nonce, ciphertext with its 16 octet tag; associated data
`reengage/portal/1/<message id>`. The plaintext is JSON of `Page`, filled up with spaces.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import asdict, dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reengage.errors import KeyringError

VERSION = b"\x01"
NONCE_BYTES = 12
KEY_BYTES = 32
BLOCK = 4096
"""Octets that a plaintext is filled up to a multiple of: an appointment is as long as a tip."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")
_KEY = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Page:
    """What the recipient reads."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True)
class Deposit:
    """A letter sealed for the portal. The key goes into the link, and nowhere else."""

    message_id: str
    ciphertext: bytes = field(repr=False)
    key: bytes = field(repr=False)

    def link(self, portal_url: str) -> str:
        """Where the recipient picks it up: id and key are appended to `portal_url`."""
        return f"{portal_url}{self.message_id}#{_text(self.key)}"


def deposit(page: Page) -> Deposit:
    """`page`, sealed under a new key and for a new message id of 128 bits."""
    message_id, key = _new_id(), secrets.token_bytes(KEY_BYTES)
    plaintext = json.dumps(asdict(page), ensure_ascii=False).encode()
    plaintext += b" " * (-len(plaintext) % BLOCK)
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, plaintext, _bound_to(message_id))
    return Deposit(message_id, VERSION + nonce + sealed, key)


def pick_up(ciphertext: bytes, *, key: bytes, message_id: str) -> Page:
    """What the recipient's browser does. Raises KeyringError when altered, or meant for another."""
    try:
        if ciphertext[:1] != VERSION or len(key) != KEY_BYTES:
            raise InvalidTag
        nonce, sealed = ciphertext[1 : 1 + NONCE_BYTES], ciphertext[1 + NONCE_BYTES :]
        return Page(**json.loads(AESGCM(key).decrypt(nonce, sealed, _bound_to(message_id))))
    except (InvalidTag, ValueError):
        raise KeyringError(
            "a letter of the portal does not open: altered, another's, or by another link"
        ) from None


def key_of(link: str, *, portal_url: str) -> tuple[str, bytes] | None:
    """Message id and key that a link names, where it is one of this portal's; None otherwise."""
    message_id, _, key = link.removeprefix(portal_url).partition("#")
    if not link.startswith(portal_url) or not _ID.fullmatch(message_id):
        return None
    return (message_id, base64.urlsafe_b64decode(key + "=")) if _KEY.fullmatch(key) else None


def _new_id() -> str:
    """128 random bits, drawn anew where the text would begin with a dash: who gives the id to a
    command line gives no option (`portal reopen`).
    """
    while (drawn := _text(secrets.token_bytes(16))).startswith("-"):
        pass
    return drawn


def _bound_to(message_id: str) -> bytes:
    return f"reengage/portal/1/{message_id}".encode()


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
