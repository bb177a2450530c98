"""Local: the keyring's own files as key service, the embedded default.

Keys that wrap lie in `wrap/`, mode 0600, in a directory that only its owner may enter. What is
wrapped names the number of the key that did it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from reengage.keys.info import KeyInfo
from reengage.keys.numbered import NumberedKeys
from reengage.keys.sealing import KEY_BYTES, NUMBERED, number_of, open_numbered, seal_numbered
from reengage.keys.service import foreign


@dataclass(frozen=True)
class LocalService:
    """Wraps data keys under the newest file of `wrap/`."""

    keys: NumberedKeys
    name: str = "the keyring's files"

    def wrap(self, key: bytes, bound_to: str) -> bytes:
        """The key under the newest number, bound to its place."""
        number = self.keys.newest()
        return seal_numbered(number, self.keys.secret(number), key, _label(bound_to))

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """The key. Raises KeyringError: altered, moved, or under a key that is gone."""
        return open_numbered(self.keys.secret(self.made_by(wrapped)), wrapped, _label(bound_to))

    def made_by(self, wrapped: bytes) -> int:
        """Number of the key that wrapped it."""
        if wrapped[:1] != NUMBERED:
            raise foreign(self.name)
        return number_of(wrapped)

    def versions(self) -> list[KeyInfo]:
        """All keys of `wrap/`."""
        return self.keys.infos()

    def rotate(self, told: Callable[[KeyInfo], None]) -> KeyInfo:
        """A new file wraps from now on."""
        return self.keys.make(secrets.token_bytes(KEY_BYTES), told)

    def destroy(self, number: int) -> None:
        """The file of this number is gone, and its info says so."""
        self.keys.destroy(number)

    def ensure(self, told: Callable[[KeyInfo], None]) -> None:
        """Make a key that wraps where there is none: after a time with another service."""
        infos = self.keys.infos()
        if not infos or infos[-1].destroyed:
            self.rotate(told)


def _label(bound_to: str) -> bytes:
    return f"reengage/wrap/{bound_to}".encode()
