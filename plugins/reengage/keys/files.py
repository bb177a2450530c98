"""Key files: made whole or not at all, private, replaced in one step, and gone when destroyed."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reengage.errors import KeyringError

LOCK = ".lock"
"""Name of the file that makers share, and that who replaces or destroys has alone."""


def read_private(path: Path) -> bytes:
    """A key file's content. Raises KeyringError when it is missing or others may read it."""
    try:
        mode = path.stat().st_mode & 0o077
        content = path.read_bytes()
    except FileNotFoundError:
        raise KeyringError(
            f"key file {path} is missing; restore it from the key backup (a new one cannot open"
            " what the old one sealed)"
        ) from None
    except OSError as error:
        raise KeyringError(
            f"key file {path} cannot be read ({error.strerror}); give it to the user that runs this"
        ) from None
    if mode:
        raise KeyringError(f"key file {path} is readable by others; run `chmod 600 {path}`")
    return content


def write_new(path: Path, content: bytes) -> None:
    """Create `path` whole or not at all, 0600; a concurrent creator wins silently."""
    temporary = _written(path, content)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def replace(path: Path, content: bytes, *, undo: bool = False) -> None:
    """Put `content` in the place of what is at `path`, in one step.

    `undo` overwrites the old octets as well, which who reads the file at this moment may see.
    """
    temporary = _written(path, content)
    with path.open("r+b") as old:
        temporary.replace(path)
        if undo:
            _overwrite(old.fileno())
    for one in _leftovers(path):
        _shred(one)
    sync_directory(path.parent)


def destroy(path: Path) -> None:
    """Remove a key file so that nothing of it is left, as far as the medium allows.

    Nor of what somebody who was killed while writing it left beside it. The caller holds the lock
    alone: what a maker is writing at this moment looks the same.
    """
    doomed = path.with_suffix(".destroyed")
    # Renamed first: one that dies half-way leaves no noise where a key is looked for.
    with suppress(FileNotFoundError):
        path.rename(doomed)
    for one in (doomed, *_leftovers(path)):
        _shred(one)
    with suppress(FileNotFoundError):
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Let a name that was made or removed survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(keyring: Path, *, alone: bool) -> Iterator[None]:
    """Makers of data keys go together; who replaces or destroys a file goes `alone`.

    Held for the shortest time and never while a database is waited for. It falls with its process.
    """
    descriptor = os.open(keyring / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _written(path: Path, content: bytes) -> Path:
    """A new private file beside `path` that holds `content` on the disk."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def _leftovers(path: Path) -> list[Path]:
    """What `_written` left beside `path` when it was killed."""
    return list(path.parent.glob(f".{path.name}.*"))


def _shred(path: Path) -> None:
    # Overwritten before it is unlinked: cheap, though no promise on flash media.
    with suppress(FileNotFoundError), path.open("r+b") as file:
        _overwrite(file.fileno())
    path.unlink(missing_ok=True)


def _overwrite(descriptor: int) -> None:
    os.pwrite(descriptor, secrets.token_bytes(os.fstat(descriptor).st_size), 0)
    os.fsync(descriptor)
