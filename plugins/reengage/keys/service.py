"""Key service: what wraps the data keys, and every secret file where the service is another host's.

The seam is two methods, and four more for who rotates. Without the setting REENGAGE_KEY_SERVICE
the keyring's own files are the service (`keys.local`); with it, HashiCorp Vault or OpenBao
(`keys.vault`) or AWS KMS (`keys.aws_kms`), whose keys never come here: the directory alone then
opens nothing, nor does the service alone (SEC-25).

A service that is down, slow or talks nonsense is a KeyringError that names it. What it unwrapped is
remembered for five minutes, so that it is not asked once per letter, and so that what was revoked
there stops opening here; a file that is gone is not asked about at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Thread
from typing import Protocol, TypeVar

from reengage.errors import KeyringError
from reengage.keys.info import KeyInfo
from reengage.keys.sealing import ClosedError

REMEMBERED_SECONDS = 300.0
ANSWER_SECONDS = 10.0
"""How long a service may take over one answer, name look-up and slow octets included."""
_REMEMBERED = 256
_T = TypeVar("_T")


class KeyService(Protocol):
    """What wraps a key so that only it can unwrap it, in the same place only."""

    @property
    def name(self) -> str:
        """What people call it; holds no secret."""

    def wrap(self, key: bytes, bound_to: str) -> bytes:
        """`key`, wrapped by the service's newest key. Raises KeyringError."""

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """The key, by whichever number wrapped it. Raises KeyringError."""


class RotatingService(KeyService, Protocol):
    """What rotation needs besides: keys that have numbers."""

    def made_by(self, wrapped: bytes) -> int:
        """Number of the key that wrapped it. Raises KeyringError where that was another service."""

    def versions(self) -> list[KeyInfo]:
        """All keys that there ever were, oldest first; the last one wraps."""

    def rotate(self, told: Callable[[KeyInfo], None]) -> KeyInfo:
        """A new key wraps from now on; `told` hears of it just before and may prevent it."""

    def destroy(self, number: int) -> None:
        """Nothing that this number wrapped opens any more, wherever copies of it went."""


@dataclass
class Remembering:
    """A service on another host, asked once in a while instead of once per letter."""

    service: RotatingService
    seconds: float = REMEMBERED_SECONDS
    _known: dict[tuple[bytes, str], tuple[float, bytes]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The service's."""
        return self.service.name

    def wrap(self, key: bytes, bound_to: str) -> bytes:
        """As the service does."""
        return self.service.wrap(key, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: str) -> bytes:
        """As the service does, or did a short while ago."""
        until, key = self._known.get((wrapped, bound_to), (0.0, b""))
        if time.monotonic() < until:
            return key
        key = self.service.unwrap(wrapped, bound_to)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[wrapped, bound_to] = (time.monotonic() + self.seconds, key)
        return key

    def made_by(self, wrapped: bytes) -> int:
        """As the service says."""
        return self.service.made_by(wrapped)

    def versions(self) -> list[KeyInfo]:
        """As the service says."""
        return self.service.versions()

    def rotate(self, told: Callable[[KeyInfo], None]) -> KeyInfo:
        """As the service does."""
        return self.service.rotate(told)

    def destroy(self, number: int) -> None:
        """As the service does; what was remembered is forgotten."""
        self.service.destroy(number)
        self._known.clear()


def wrapped_to_open(service: KeyService, key: bytes, bound_to: str) -> bytes:
    """`key` as the service wrapped it, once the service has opened it again.

    For what is about to be the only copy: nothing of it is written before. Raises KeyringError
    where it does not open, or as another key, or without an answer.
    """
    wrapped = service.wrap(key, bound_to)
    try:
        same = service.unwrap(wrapped, bound_to) == key
    except ClosedError:
        same = False
    if not same:
        raise unavailable(service.name, "does not open what it wrapped", "see what answers there")
    return wrapped


def in_time(service: str, ask: Callable[[], _T], seconds: float = ANSWER_SECONDS) -> _T:
    """The answer. Raises KeyringError when it does not come in time.

    The libraries' own timeouts bound a silence, neither a look-up of the name nor a slow trickle.
    """
    answers: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:
            errors.append(error)

    thread = Thread(target=run, daemon=True)  # one that hangs must not keep the process alive
    thread.start()
    thread.join(seconds)
    for error in errors:
        raise error
    if not answers:
        raise unavailable(
            service, f"gave no answer within {seconds:g} s", "see to it and start the task again"
        )
    return answers[0]


def unavailable(service: str, what: str, do: str) -> KeyringError:
    """How every failure of a service is told."""
    return KeyringError(f"key service {service} {what}; {do} (nothing was sent, nothing is lost)")


def foreign(service: str) -> KeyringError:
    """A wrapped key of another service, or noise."""
    return KeyringError(
        f"a key was not wrapped by {service}, or is truncated; set REENGAGE_KEY_SERVICE as it was"
        " when the key was made, bring the keyring over with `python -m reengage keys reseal --from"
        " SERVICE`, or restore the file"
    )
