"""Journal: a file of lines that is only ever added to, and survives what it was written about.

`append` returns when its lines are on disk, or raises; writers exclude each other by a lock on the
file. A last line that was cut short, by a crash or a full disk, was confirmed to nobody: readers
stop before it and the next writer removes it. A reader keeps a `Mark` of how far it came, and
`beyond` refuses a file that is not the one that the mark was made in (SEC-08).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from reengage.errors import StoreError

TAIL_BYTES = 512
"""What a mark remembers of the lines before it: a line holds an instant, so two never agree."""


@dataclass(frozen=True)
class Mark:
    """A place in the journal, in bytes, and a digest of what stands before it."""

    applied: int = 0
    tail: str = ""


@dataclass(frozen=True)
class Journal:
    """The journal at `path`; one that does not exist yet is empty."""

    path: Path

    def size(self) -> int:
        """Bytes, with a line that was cut short. Raises StoreError when it cannot be asked."""
        with self._readable():
            return self.path.stat().st_size if self.path.exists() else 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Add whole lines and sync them to disk. Raises StoreError when it cannot be written."""
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                _add(descriptor, b"".join(line + b"\n" for line in lines))
            finally:
                os.close(descriptor)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise StoreError(
                f"the journal of refusals {self.path} cannot be written ({error.strerror}), and"
                " nothing was recorded; make room or give it to the user that runs this, then"
                " record it again"
            ) from None

    def beyond(self, mark: Mark) -> Iterator[tuple[bytes, int]]:
        """Each whole line beyond the mark, with the place in bytes where it ends.

        Raises StoreError when the file is not the one that the mark was made in.
        """
        self.require(mark)
        if not self.size():
            return
        with self._readable(), self.path.open("rb") as file:
            end = file.seek(mark.applied)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield line[:-1], end

    def mark(self, applied: int) -> Mark:
        """The mark at a place in the file."""
        if not applied:
            return Mark()
        with self._readable(), self.path.open("rb") as file:
            file.seek(max(0, applied - TAIL_BYTES))
            tail = file.read(min(applied, TAIL_BYTES))
        return Mark(applied, sha256(tail).hexdigest())

    def require(self, mark: Mark) -> None:
        """Refuse a journal that is not the one that the mark was made in. Raises StoreError."""
        size = self.size()
        if size < mark.applied:
            found = f"has {size} bytes, of which the store already had {mark.applied}"
        elif self.mark(mark.applied) != mark:
            found = "is another one than the store has applied"
        else:
            return
        raise StoreError(
            f"the journal of refusals {self.path} {found}: it was lost or replaced, and nothing is"
            " sent until it is back; restore its newest copy or mend REENGAGE_JOURNAL; where there"
            " is no copy, and the store is not itself from a backup, `python -m reengage journal"
            " mend` writes what the store knows"
        )

    def line_number(self, end: int) -> int:
        """The number of the line that ends at this place."""
        with self._readable(), self.path.open("rb") as file:
            number, left = 0, end
            while left and (chunk := file.read(min(left, 1 << 20))):
                number += chunk.count(b"\n")
                left -= len(chunk)
        return number

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"the journal of refusals {self.path} cannot be read ({error.strerror}); give it to"
                " the user that runs this"
            ) from None


def _whole(descriptor: int) -> int:
    """Where the last whole line ends."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 4096)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _add(descriptor: int, content: bytes) -> None:
    """After the last whole line, all or nothing: where the disk is full, nothing is left behind."""
    start = _whole(descriptor)
    os.ftruncate(descriptor, start)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, start)
        raise


def _sync_directory(directory: Path) -> None:
    """Let the name of a new file survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
