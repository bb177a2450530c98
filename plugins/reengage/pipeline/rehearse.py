"""Rehearse: what a dry run and a replay do instead of sending; nothing leaves.

Their letters go to a Maildir of their own, where one is configured, and are `rehearsed`.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid5

from sqlalchemy import Connection

from reengage.pipeline import outbox
from reengage.pipeline.run import Run


def rehearse(connection: Connection, run: Run, chunk: int) -> None:
    """Play the chunk's letters; repeating it leaves each once. Raises OSError."""
    directory = run.settings.rehearsal_maildir
    while letters := outbox.open_letters(connection, run, chunk):
        if directory is not None:
            for queued in letters:
                name = uuid5(run.run_id, queued.identity).hex
                _leave(directory, f"{name}.localhost", queued.letter.message)
        outbox.mark_rehearsed(connection, letters)
        connection.commit()


def _leave(directory: Path, name: str, message: bytes) -> None:
    """A letter in a Maildir, whole, and once however often it is rehearsed in this run."""
    for part in (".", "tmp", "new", "cur"):
        (directory / part).mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = directory / "tmp" / name
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(message)
    temporary.replace(directory / "new" / name)
