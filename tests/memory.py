"""A folder in memory for what the tests make a million of; on the disk where there is no room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30
_PREFIX = "reengage-tests-"


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """A fresh folder, removed afterwards; `otherwise` without room, or where TMPDIR says a place.

    On ext4 the same files take twice the time. A killed process's folder goes with the next one.
    """
    if not _has_room():
        yield otherwise
        return
    for left in _MEMORY.glob(f"{_PREFIX}*"):
        if not psutil.pid_exists(int(left.name.removeprefix(_PREFIX).partition("-")[0])):
            shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY) as directory:
        yield Path(directory)


def _has_room() -> bool:
    return (
        "TMPDIR" not in os.environ
        and _MEMORY.is_dir()
        and shutil.disk_usage(_MEMORY).free > _ROOM
        and psutil.virtual_memory().available > _ROOM
    )
