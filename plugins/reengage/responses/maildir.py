"""Maildir: messages that a mail server on this machine delivered, one file each.

Only files below `new` and `cur` are read, never what a link leads to. A message that is dealt with
is removed, one for people is moved to a folder of Maildir++; either is one system call, so that who
is killed leaves it whole, in one place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reengage.errors import ConfigurationError, StoreError
from reengage.responses.letterbox import OCTETS


@dataclass(frozen=True)
class File:
    """A message in a Maildir."""

    content: bytes = field(repr=False)
    _path: Path = field(repr=False)
    _staff: Path = field(repr=False)

    def remove(self) -> None:
        """It is dealt with. Raises StoreError."""
        _changing(lambda: self._path.unlink(missing_ok=True))

    def to_staff(self) -> None:
        """It is for people. Raises StoreError."""

        def move() -> None:
            for part in ("tmp", "new", "cur"):
                (self._staff / part).mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path.rename(self._staff / "new" / self._path.name)

        _changing(move)


def messages(directory: Path, staff: str) -> Iterator[File]:
    """Every message, by name; each as far as it is read at most (letterbox.py).

    Raises ConfigurationError where there is no Maildir, StoreError where a file cannot be read.
    """
    if not (directory / "new").is_dir():
        raise ConfigurationError(
            "setting REENGAGE_RETURNS_MAILDIR names no Maildir: it has no directory `new`; make one"
            " or leave the setting out"
        )
    for part in ("new", "cur"):
        if (directory / part).is_dir():
            for name in sorted(os.listdir(directory / part)):
                content = read_file(directory / part / name)
                if content is not None and not name.startswith("."):
                    yield File(content, directory / part / name, directory / f".{staff}")


def read_file(path: Path, most: int = OCTETS) -> bytes | None:
    """A file's first octets; None for what is no file of its own, or gone. Raises StoreError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            return None
        raise StoreError(
            f"a message that came back cannot be read ({error.strerror}); give the Maildir to the"
            " user that runs this"
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most)


def _changing(change: Callable[[], None]) -> None:
    try:
        change()
    except FileNotFoundError:
        pass  # somebody was quicker
    except OSError as error:
        raise StoreError(
            f"a message that is dealt with cannot be moved away ({error.strerror}); it is read once"
            " all the same; give the Maildir to the user that runs this"
        ) from None
