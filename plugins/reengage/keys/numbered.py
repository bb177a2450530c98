"""Numbered keys: all keys of one purpose, in a directory of their own.

`0001.key` (32 octets) or `0001.pem` is the secret, `0001.info` says what may be known of it and
puts it in force. The newest seals, any opens. A process that opened the keyring before looks at the
directory again for each use, so that it knows a key that was made since, and stops at one that was
destroyed.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from reengage.errors import KeyringError
from reengage.keys import files
from reengage.keys.envelope import Envelope
from reengage.keys.info import KeyInfo, check_of
from reengage.keys.sealing import KEY_BYTES
from reengage.keys.service import REMEMBERED_SECONDS

_Mark = tuple[float, ...]


@dataclass(frozen=True)
class NumberedKeys:
    """The keys of a purpose."""

    directory: Path
    envelope: Envelope = field(repr=False)
    suffix: str = ".key"
    _known: dict[int, tuple[_Mark, float, bytes]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def purpose(self) -> str:
        """What they are for."""
        return self.directory.name

    def infos(self) -> list[KeyInfo]:
        """What is known of all keys that were ever in force, oldest first."""
        return [KeyInfo.read(path) for path in sorted(self.directory.glob("[0-9]*.info"))]

    def newest(self) -> int:
        """Number of the key that seals. Raises KeyringError when there is none."""
        numbers = [int(path.stem) for path in self.directory.glob("[0-9]*.info")]
        if not numbers:
            files.read_private(self.path(1))  # tells that it is missing
            raise KeyringError(
                f"{self.path(1).with_suffix('.info')} is missing; restore it from the key backup"
            )
        return max(numbers)

    def path(self, number: int) -> Path:
        """Where the secret of this number lies."""
        return self.directory / f"{number:04d}{self.suffix}"

    def secret(self, number: int) -> bytes:
        """The secret. Raises KeyringError when it was destroyed, lost, swapped or never made."""
        mark = self._mark(number)
        known, until, secret = self._known.get(number, ((), 0.0, b""))
        if mark and mark == known and time.monotonic() < until:
            return secret
        secret = self._read(number)
        self._known[number] = (mark, time.monotonic() + REMEMBERED_SECONDS, secret)
        return secret

    def make(
        self,
        secret: bytes,
        told: Callable[[KeyInfo], None] = lambda info: None,
        *,
        selector: str | None = None,
        public: str | None = None,
        beside: Callable[[KeyInfo], None] = lambda info: None,
    ) -> KeyInfo:
        """Put a new key in force, the newest from now on.

        `told` hears of it when its file is written and nothing uses it yet, and may prevent it by
        raising; `beside` then writes what belongs to it. One that dies on the way leaves a file
        that nothing uses, and its number is not given again.
        """
        self.directory.mkdir(mode=0o700, exist_ok=True)
        info = KeyInfo(
            self.purpose, self._next(), datetime.now(UTC), check_of(self.purpose, secret),
            selector, public,
        )  # fmt: skip
        while not self._claimed(info, secret):
            info = replace(info, number=info.number + 1)
        told(info)
        beside(info)
        files.write_new(self._info_path(info.number), info.text.encode())
        return info

    def destroy(self, number: int) -> None:
        """Nothing that only this key opens can be opened any more. Repeating it is harmless."""
        info = KeyInfo.read(self._info_path(number))
        if info.destroyed is None:
            text = replace(info, destroyed=datetime.now(UTC)).text
            files.replace(self._info_path(number), text.encode())
        files.destroy(self.path(number))
        self._known.pop(number, None)

    def reseal(self, sources: Sequence[Envelope]) -> int:
        """Bring the secret files under the service's newest key; gives how many.

        `sources` are the other envelopes that they may lie in. Each file goes in one step, and one
        that is there already is left alone: what was broken off goes on.
        """
        service, done = self.envelope.service, 0
        newest = service.versions()[-1].number if service else None
        for info in self.infos():
            path, place = self.path(info.number), self._place(info.number)
            if info.destroyed or self.is_lost(info):
                continue
            content = files.read_private(path)
            owner, secret = _opened(content, place, (*sources, self.envelope))
            self._require_right(info, secret)
            if owner is self.envelope and owner.made_by(content, place) == newest:
                continue
            closed = self.envelope.close(secret, place)
            with files.locked(self.directory.parent, alone=True):
                if not self.is_lost(info):  # meanwhile
                    files.replace(path, closed, undo=content == secret)
                    done += 1
        return done

    def is_lost(self, info: KeyInfo) -> bool:
        """Whether the secret is not there though nobody destroyed it."""
        return info.destroyed is None and not self.path(info.number).exists()

    def _next(self) -> int:
        taken = [int(path.stem) for path in self.directory.glob("[0-9]*.*")]
        return max(taken, default=0) + 1

    def _claimed(self, info: KeyInfo, secret: bytes) -> bool:
        """Write the secret; False when a concurrent maker has the number."""
        path = self.path(info.number)
        content = self.envelope.close(secret, self._place(info.number))
        if self._info_path(info.number).exists() or path.exists():
            return False
        files.write_new(path, content)
        return path.read_bytes() == content

    def _read(self, number: int) -> bytes:
        info_path = self._info_path(number)
        if not info_path.exists():
            raise KeyringError(
                f"{self.purpose} key {number} is not in the keyring: it came back from a backup of"
                f" before that key was made; restore {info_path} and {self.path(number).name} from"
                " the newest copy"
            )
        info = KeyInfo.read(info_path)
        if info.destroyed:
            raise KeyringError(
                f"{self.purpose} key {number} was destroyed on {info.destroyed:%Y-%m-%d}; what only"
                " it opened cannot be opened any more"
            )
        content = files.read_private(self.path(number))
        secret = self.envelope.open(content, self._place(number))
        self._require_right(info, secret)
        return secret

    def _require_right(self, info: KeyInfo, secret: bytes) -> None:
        path = self.path(info.number)
        if self.suffix == ".key" and len(secret) != KEY_BYTES:
            raise KeyringError(
                f"key file {path} holds {len(secret)} bytes, expected {KEY_BYTES}; restore it"
                " from the key backup"
            )
        if not hmac.compare_digest(check_of(self.purpose, secret), info.check):
            raise KeyringError(
                f"key file {path} holds another key than the one that was made here: altered,"
                " truncated, swapped or of another keyring; restore it from the key backup"
            )

    def _place(self, number: int) -> str:
        return f"{self.purpose}/{number:04d}"

    def _info_path(self, number: int) -> Path:
        return self.directory / f"{number:04d}.info"

    def _mark(self, number: int) -> _Mark:
        """By what a change of the two files is noticed; empty when one is missing."""
        mark: list[float] = []
        for path in (self.path(number), self._info_path(number)):
            try:
                found = path.stat()
            except OSError:
                return ()
            mark += (
                found.st_ino,
                found.st_mtime_ns,
                found.st_size,
                found.st_mode,
                found.st_ctime_ns,
            )
        return tuple(mark)


def _opened(content: bytes, place: str, envelopes: Sequence[Envelope]) -> tuple[Envelope, bytes]:
    """A secret, and which of the envelopes it lies in. Raises KeyringError, the first one's."""
    errors = []
    for envelope in envelopes:
        try:
            return envelope, envelope.open(content, place)
        except KeyringError as error:
            errors.append(error)
    raise errors[0]
