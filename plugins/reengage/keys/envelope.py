"""Envelope: how a secret file of the keyring lies on the disk.

Without a key service as it is: mode and place protect it. With one, sealed under a key of its own
that the service wrapped: `reengage-wrapped/1`, newline, length of the wrapped key in two octets,
the wrapped key, the sealed secret. The service never sees the secret, the file opens nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from reengage.errors import KeyringError
from reengage.keys.sealing import KEY_BYTES, open_sealed, seal
from reengage.keys.service import RotatingService, wrapped_to_open

MAGIC = b"reengage-wrapped/1\n"


@dataclass(frozen=True)
class Envelope:
    """Closes and opens secret files."""

    service: RotatingService | None

    def close(self, secret: bytes, bound_to: str) -> bytes:
        """A file's content for this secret. Raises KeyringError: no answer, or a wrong one."""
        if self.service is None:
            return secret
        key = secrets.token_bytes(KEY_BYTES)
        wrapped = wrapped_to_open(self.service, key, bound_to)
        return _packed(wrapped, seal(key, secret, _label(bound_to)))

    def open(self, content: bytes, bound_to: str) -> bytes:
        """The secret of a file's content. Raises KeyringError: wrapped otherwise, or altered."""
        if self.service is None:
            if content.startswith(MAGIC):
                raise KeyringError(
                    f"the {bound_to} key lies under a key service; name it in REENGAGE_KEY_SERVICE"
                )
            return content
        wrapped, sealed = _unpacked(content, bound_to, self.service.name)
        return open_sealed(self.service.unwrap(wrapped, bound_to), sealed, _label(bound_to))

    def made_by(self, content: bytes, bound_to: str) -> int | None:
        """Number of the service's key that it rests on; None = on none."""
        if self.service is None or not content.startswith(MAGIC):
            return None
        return self.service.made_by(_unpacked(content, bound_to, self.service.name)[0])


def _label(bound_to: str) -> bytes:
    return f"reengage/file/{bound_to}".encode()


def _packed(wrapped: bytes, sealed: bytes) -> bytes:
    return MAGIC + len(wrapped).to_bytes(2) + wrapped + sealed


def _unpacked(content: bytes, bound_to: str, service: str) -> tuple[bytes, bytes]:
    if not content.startswith(MAGIC):
        raise KeyringError(
            f"the {bound_to} key is not wrapped by {service}: it lies open, or is truncated; bring"
            " the keyring over with `python -m reengage keys reseal`, or restore it"
        )
    length, start = int.from_bytes(content[len(MAGIC) : len(MAGIC) + 2]), len(MAGIC) + 2
    return content[start : start + length], content[start + length :]
