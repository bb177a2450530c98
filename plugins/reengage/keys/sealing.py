"""Sealing: AES-256-GCM whose associated data say what is sealed and where it belongs.

Two formats, both with a nonce of 12 octets drawn here and a tag of 16 (NIST SP 800-38D); a key
seals fewer than 2**32 values, the bound for random nonces:
`01 | nonce | ciphertext` under a key that its place names: a data key, or an envelope's own key;
`02 | number, 2 octets | nonce | ciphertext` under the purpose's key of that number.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reengage.errors import KeyringError

VERSION, NUMBERED = b"\x01", b"\x02"
NONCE_BYTES, KEY_BYTES, NUMBER_BYTES, TAG_BYTES = 12, 32, 2, 16


@dataclass(frozen=True)
class DataKey:
    """The key of a run, or of a month of decisions. Seals and opens; never leaves the process."""

    name: str
    _key: bytes = field(repr=False)

    @property
    def run_id(self) -> UUID:
        """The run that it is the key of."""
        return UUID(self.name)

    def seal(self, plaintext: bytes, *, bound_to: str) -> bytes:
        """Ciphertext of `plaintext`, which only opens for the same key's name and `bound_to`."""
        return seal(self._key, plaintext, self._label(bound_to))

    def open(self, sealed: bytes, *, bound_to: str) -> bytes:
        """The plaintext. Raises KeyringError when altered, moved, or sealed under another key."""
        return open_sealed(self._key, sealed, self._label(bound_to))

    def _label(self, bound_to: str) -> bytes:
        return f"reengage/{self.name}/{bound_to}".encode()


def seal(key: bytes, plaintext: bytes, label: bytes) -> bytes:
    """`plaintext` under `key`, bound to `label`."""
    return _seal(key, plaintext, VERSION, label)


def open_sealed(key: bytes, sealed: bytes, label: bytes) -> bytes:
    """What `seal` sealed. Raises KeyringError, with one text for every reason: no oracle."""
    return _open(key, sealed, VERSION, label)


def seal_numbered(number: int, key: bytes, plaintext: bytes, label: bytes) -> bytes:
    """`plaintext` under the purpose's key of this number, which the result names."""
    return _seal(key, plaintext, NUMBERED + number.to_bytes(NUMBER_BYTES), label)


def open_numbered(key: bytes, sealed: bytes, label: bytes) -> bytes:
    """What `seal_numbered` sealed; `key` is that of `number_of(sealed)`. Raises KeyringError."""
    return _open(key, sealed, sealed[: 1 + NUMBER_BYTES], label)


def number_of(sealed: bytes) -> int:
    """Number of the key that a sealed value names. Raises KeyringError where it names none."""
    if sealed[:1] != NUMBERED or len(sealed) < 1 + NUMBER_BYTES + NONCE_BYTES + TAG_BYTES:
        raise closed()
    return int.from_bytes(sealed[1 : 1 + NUMBER_BYTES])


class ClosedError(KeyringError):
    """A sealed or wrapped value does not open, though the key, or the service, was there."""


def closed() -> ClosedError:
    """One message for old, moved, truncated and forged alike: no oracle."""
    return ClosedError(
        "a sealed value does not open: altered, moved to another place, or sealed"
        " under another key; restore it or run the campaign again"
    )


def digest(content: bytes) -> str:
    """SHA-256 in hex, of things that are not guessable personal data (templates, sealed parts)."""
    return sha256(content).hexdigest()


def _seal(key: bytes, plaintext: bytes, header: bytes, label: bytes) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return header + nonce + AESGCM(key).encrypt(nonce, plaintext, header + label)


def _open(key: bytes, sealed: bytes, header: bytes, label: bytes) -> bytes:
    rest = sealed[len(header) :]
    try:
        if not sealed.startswith(header):
            raise InvalidTag
        return AESGCM(key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + label)
    except (InvalidTag, ValueError):
        raise closed() from None
