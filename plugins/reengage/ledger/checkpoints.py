"""Checkpoints: where the signed notes lie, and signing the next one.

A location is a directory or any fsspec URL, best one that the ledger's writers cannot change: a
tree that its own writer vouches for stops nobody who writes both (LOG-08, LOG-11). Nothing there is
ever overwritten.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.keys import Keyring, write_new
from reengage.ledger import records
from reengage.ledger.append import Head, append, locked_head, read_head
from reengage.ledger.checkpoint import Checkpoint, open_note, sign
from reengage.ledger.entry import parse
from reengage.ledger.merkle import Frontier
from reengage.ledger.reading import leaf_hashes
from reengage.ledger.signers import ensure_signer, verifiers

SUFFIX = ".checkpoint"
_NAME = re.compile(r"([0-9]{20})\.checkpoint")


@dataclass(frozen=True)
class Checkpoints:
    """The notes at one location."""

    location: str = field(repr=False)  # a URL may hold a password

    def put(self, size: int, note: str) -> str:
        """Leave a note, once and for all; gives its name. The same note again is harmless.

        Raises LedgerError when another one of that size is there, or nothing can be written.
        """
        name = f"{size:020d}{SUFFIX}"
        content = note.encode()
        system, root = self._system()
        path = f"{root}/{name}"
        try:
            if _is_local(system):
                _put_file(Path(path), content)
            else:
                _put_object(system, path, content)
            found = bytes(system.cat_file(path))
        except Exception as error:  # each kind of storage has errors of its own
            raise LedgerError(
                f"checkpoint {size} cannot be written to its location ({type(error).__name__});"
                " see setting REENGAGE_CHECKPOINTS and the rights there"
            ) from None
        if found != content:
            raise LedgerError(
                f"there is another checkpoint of size {size} already, and none is ever overwritten:"
                " keep both and find out who signed it"
            )
        return name

    def all(self) -> list[tuple[str, str]]:
        """Name and note of each, in order of size; what is no text has U+FFFD in it.

        Raises LedgerError when the location cannot be read. One that is not there yet is empty.
        """
        return self._read(lambda names: names)

    def newest(self) -> tuple[str, str] | None:
        """Name and note of the largest, without reading the others; None = there is none.

        Raises LedgerError when the location cannot be read.
        """
        return next(iter(self._read(lambda names: names[-1:])), None)

    def _read(self, wanted: Callable[[list[str]], list[str]]) -> list[tuple[str, str]]:
        system, root = self._system()
        try:
            system.invalidate_cache()
            paths = system.ls(root, detail=False) if system.exists(root) else []
            names = sorted(path.rstrip("/").rpartition("/")[2] for path in paths)
            return [
                (name, bytes(system.cat_file(f"{root}/{name}")).decode("utf-8", "replace"))
                for name in wanted([name for name in names if name.endswith(SUFFIX)])
            ]
        except Exception as error:
            raise LedgerError(
                f"the checkpoints cannot be read from their location ({type(error).__name__});"
                " see setting REENGAGE_CHECKPOINTS and the rights there"
            ) from None

    def _system(self) -> tuple[Any, str]:
        try:
            system, root = fsspec.core.url_to_fs(self.location)
        except (ValueError, ImportError) as error:
            raise LedgerError(
                f"REENGAGE_CHECKPOINTS is no location that can be used ({type(error).__name__});"
                " write a directory, or a URL whose fsspec package is installed"
            ) from None
        return system, root.rstrip("/")


def size_of(name: str) -> int | None:
    """The size that a checkpoint's name says; None where it is no such name."""
    match = _NAME.fullmatch(name)
    return int(match.group(1)) if match else None


def sign_checkpoint(
    connection: Connection, keyring: Keyring, checkpoints: Checkpoints
) -> Checkpoint | None:
    """Sign the ledger as it stands and record it; None when nothing new came since the last time.

    Call it in a transaction of its own, with nothing appended, and commit: only what is committed
    is signed. The file is there before the record: one whose record is missing, since a process
    died in between, is recorded the next time. Raises LedgerError when a checkpoint there and the
    tree contradict each other: no two that do are ever signed (LOG-05).
    """
    head = locked_head(connection, keyring)
    signed = _signed(head, keyring, checkpoints)
    _require_consistent(connection, head, [checkpoint for checkpoint, _ in signed])
    recorded = _recorded(connection, head.origin)
    missing = [note for _, note in signed if note not in recorded]
    newest = signed[-1][0] if signed else None
    if _has_news(connection, head.frontier.size, newest):
        newest = Checkpoint(head.origin, head.frontier.size, head.frontier.root)
        note = sign(newest, *ensure_signer(keyring, head.origin))
        checkpoints.put(newest.size, note)
        missing.append(note)
    append(
        connection,
        keyring,
        [records.checkpoint(origin=head.origin, note=note) for note in missing],
    )
    return newest if missing else None


def lost_with(
    connection: Connection, keyring: Keyring, checkpoints: Checkpoints
) -> Checkpoint | None:
    """The newest checkpoint there, where this ledger is not what it was signed of, or shorter.

    None = there is no checkpoint, or the ledger goes on from it. The tree is derived again only
    where the ledger has no record of the note, as after a crash in between. Raises LedgerError for
    a note that nobody signed, or when the location cannot be read.
    """
    found = checkpoints.newest()
    if found is None:
        return None
    name, note = found
    try:
        newest = open_note(note, verifiers(keyring.directory))
    except LedgerError as error:
        raise LedgerError(f"{_refused(name)}: {error}") from None
    head = read_head(connection, keyring)
    if newest.origin != head.origin or newest.size > head.frontier.size:
        return newest
    if note in _recorded(connection, head.origin):
        return None
    same = _extended(connection, Frontier(), newest.size).root == newest.root
    return None if same else newest


def _signed(head: Head, keyring: Keyring, checkpoints: Checkpoints) -> list[tuple[Checkpoint, str]]:
    """Every checkpoint at the location, which must be this ledger's."""
    keys = verifiers(keyring.directory)
    signed = []
    for name, note in checkpoints.all():
        try:
            checkpoint = open_note(note, keys)
        except LedgerError as error:
            raise LedgerError(f"{_refused(name)}: {error}") from None
        if checkpoint.origin != head.origin or size_of(name) != checkpoint.size:
            raise LedgerError(f"{_refused(name)}: it is not this ledger's, or renamed")
        signed.append((checkpoint, note))
    return signed


def _require_consistent(connection: Connection, head: Head, signed: Iterable[Checkpoint]) -> None:
    """The root of every checkpoint again from the table's leaf hashes, and the head's peaks."""
    frontier = Frontier()
    for checkpoint in signed:
        if checkpoint.size <= head.frontier.size:
            frontier = _extended(connection, frontier, checkpoint.size)
        if frontier.size != checkpoint.size or frontier.root != checkpoint.root:
            raise LedgerError(
                f"the ledger contradicts its checkpoint of size {checkpoint.size}; nothing is"
                " signed: run `python -m reengage ledger verify`"
            )
    if _extended(connection, frontier, head.frontier.size) != head.frontier:
        raise LedgerError(
            "the ledger's entries and its head contradict each other; nothing is signed: run"
            " `python -m reengage ledger verify`"
        )


def _extended(connection: Connection, frontier: Frontier, size: int) -> Frontier:
    for leaves in leaf_hashes(connection, frontier.size, size):
        frontier = frontier.extended(leaves)
    return frontier


def _recorded(connection: Connection, origin: str) -> set[str]:
    found = connection.execute(
        text("SELECT entry FROM ledger_entry WHERE kind = 'checkpoint' AND subject = :origin"),
        {"origin": origin},
    )
    return {str(parse(bytes(entry)).body.get("note")) for (entry,) in found}


def _has_news(connection: Connection, size: int, newest: Checkpoint | None) -> bool:
    """Whether anything but records of checkpoints was appended since the newest one."""
    found = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM ledger_entry WHERE index >= :signed AND index < :size"
            " AND kind <> 'checkpoint')"
        ),
        {"signed": newest.size if newest else 0, "size": size},
    )
    return bool(found.scalar_one())


def _refused(name: str) -> str:
    known = size_of(name)
    return (
        f"the checkpoint of size {known} is refused, and nothing signed beside it"
        if known is not None
        else "a file beside the checkpoints has no checkpoint's name; nothing is signed"
    )


def _is_local(system: Any) -> bool:
    return "file" in system.protocol


def _put_file(path: Path, content: bytes) -> None:
    """Whole or not at all; who comes second changes nothing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_new(path, content)
    if path.stat().st_mode & 0o222:
        path.chmod(0o444)


def _put_object(system: Any, path: str, content: bytes) -> None:
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    with suppress(FileExistsError):  # whoever was first: the content is compared
        system.pipe_file(path, content, mode="create")
