"""Archive: the ledger as files that are written once (docs/ledger-format.md, section 6; LOG-11).

An export is a directory or any fsspec URL. It may be broken off anywhere and repeated: each file
appears whole or not at all, and what is there already is compared with the ledger and never written
again. A file that says something else is an error that names it, since one of the two was altered.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.keys import write_new
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.entry import Entry, parse
from reengage.ledger.merkle import leaf_hash
from reengage.ledger.reading import BLOCK, Block

ENTRIES = 10_000
"""Entries of a full segment."""
CHECKPOINTS = "checkpoints"
_LOCK = 7110005  # of PostgreSQL's advisory locks, with the location's number
_SEGMENT = re.compile(r"([0-9]{20})-([0-9]{20})\.jsonl")
# Storage where a file appears whole or not at all, and a second one is refused.
_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})


@dataclass(frozen=True)
class Exported:
    """What an export did, and what there is now."""

    written: tuple[str, ...]
    """Names of the files that are new."""
    entries: int
    """Entries that the export holds: those from 0 on."""
    size: int
    """Entries of the ledger."""


@dataclass(frozen=True)
class Archive:
    """An export at its location."""

    location: str = field(repr=False)  # a URL may hold a password

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints in it."""
        return Checkpoints(f"{self.location.rstrip('/')}/{CHECKPOINTS}")

    def names(self, directory: str) -> list[str]:
        """Files of a directory of the export, in order; none where it is not there yet."""
        system, root = self._system()
        path = f"{root}/{directory}"
        with _told(directory):
            system.invalidate_cache()
            found = system.ls(path, detail=False) if system.exists(path) else []
        return sorted(one.rstrip("/").rpartition("/")[2] for one in found)

    def get(self, name: str) -> bytes:
        """A file's content."""
        system, root = self._system()
        with _told(name):
            return bytes(system.cat_file(f"{root}/{name}"))

    def put(self, name: str, content: bytes) -> bool:
        """Leave a file, once and for all; whether it is new.

        Raises LedgerError when one with other content is there, or nothing can be written.
        """
        system, root = self._system()
        path = f"{root}/{name}"
        with _told(name):
            new = not system.exists(path)
            if new:
                _write(system, path, content)
            system.invalidate_cache()
            found = bytes(system.cat_file(path))
        if found != content:
            raise LedgerError(
                f"{name} of the export is not what the ledger says, and is never overwritten: one"
                " of the two was altered; keep both and run `python -m reengage ledger verify`"
            )
        return new

    def _system(self) -> tuple[Any, str]:
        try:
            system, root = fsspec.core.url_to_fs(self.location)
        except (ValueError, ImportError) as error:
            raise LedgerError(
                f"this is no location that can be exported to ({type(error).__name__}); write a"
                " directory, or a URL whose fsspec package is installed"
            ) from None
        return system, root.rstrip("/")


def export(
    connection: Connection,
    archive: Archive,
    *,
    checkpoints: Checkpoints,
    keys: Path,
    covered: int,
    told: Callable[[str], object] = lambda name: None,
) -> Exported:
    """Bring the archive up to the ledger: keys, checkpoints, and the segments that are due.

    A segment is due when it is full, or when a checkpoint covers its entries: `covered` is the size
    of the newest. `keys` is the directory of the verifier keys. Raises LedgerError naming the file
    that contradicts the ledger; what was written until then stays, and the next call goes on.
    """
    _alone(connection, archive)
    size = connection.execute(text("SELECT size FROM ledger_head")).scalar_one()
    written: list[str] = []

    def put(name: str, content: bytes) -> None:
        if archive.put(name, content):
            written.append(name)
            told(name)

    end = 0
    for first, last in _segments(archive, size, covered):
        put(segment_name(first, last), _content(connection, first, last))
        end = last + 1
    for name, note in checkpoints.all():
        put(f"{CHECKPOINTS}/{name}", note.encode())
    for path in sorted(keys.glob("[0-9]*.vkey")):
        put(f"keys/{path.name}", path.read_bytes())
    return Exported(tuple(written), end, size)


def entries(archive: Archive) -> Iterator[bytes]:
    """The bytes of all entries in an export, in order, one segment in memory at a time.

    Raises LedgerError naming a segment that is missing, torn, or not of the size its name says.
    """
    for first, last in _present(archive):
        name = segment_name(first, last)
        lines = archive.get(name).split(b"\n")
        if lines.pop() != b"" or len(lines) != last - first + 1:
            raise LedgerError(f"{name} does not hold as many entries as its name says")
        yield from lines


def blocks_of(archive: Archive) -> Iterator[Block]:
    """The same, as `verify_blocks` takes them: what a database keeps beside them is derived."""
    numbered = enumerate(entries(archive))
    while some := list(islice(numbered, BLOCK)):
        found = [_parsed(content) for _, content in some]
        yield Block(
            [index for index, _ in some],
            [entry.kind if entry else None for entry in found],
            [entry.subject if entry else None for entry in found],
            [leaf_hash(content) for _, content in some],
            [content for _, content in some],
        )


def size_of(archive: Archive) -> int:
    """The number of entries in an export, by the names of its segments."""
    return max((last + 1 for _, last in _present(archive)), default=0)


def segment_name(first: int, last: int) -> str:
    """The segment's name in an export."""
    return f"segments/{first:020d}-{last:020d}.jsonl"


def _alone(connection: Connection, archive: Archive) -> None:
    """Two at once could cut the entries differently."""
    number = int.from_bytes(sha256(archive.location.encode()).digest()[:4], "big", signed=True)
    held = connection.execute(
        text("SELECT pg_try_advisory_xact_lock(:lock, :number)"), {"lock": _LOCK, "number": number}
    ).scalar_one()
    if not held:
        raise LedgerError("another export to this location is under way; let it end, then repeat")


def _segments(archive: Archive, size: int, covered: int) -> Iterator[tuple[int, int]]:
    """The segments that there are and that are due, first and last entry each, in order."""
    following = 0
    for first, last in _present(archive):
        yield first, last
        following = last + 1
    if following > size:
        raise LedgerError(
            f"the export holds {following} entries and the ledger {size}: the ledger lost some; run"
            " `python -m reengage ledger verify`"
        )
    while following < size:
        full = (following // ENTRIES + 1) * ENTRIES
        end = full if full <= size else min(covered, size)
        if end <= following:
            return
        yield following, end - 1
        following = end


def _present(archive: Archive) -> Iterator[tuple[int, int]]:
    """The segments of the export. Raises LedgerError where one does not follow the one before."""
    following = 0
    for name in archive.names("segments"):
        match = _SEGMENT.fullmatch(name)
        if match is None:  # what a process that died left, under a name that begins with a dot
            continue
        first, last = int(match.group(1)), int(match.group(2))
        if first != following or last < first:
            raise LedgerError(
                f"the export's entries from {following} on are missing: the next segment is {name};"
                " restore what was there before"
            )
        yield first, last
        following = last + 1


def _parsed(content: bytes) -> Entry | None:
    try:
        return parse(content)
    except LedgerError:  # the verdict names it
        return None


def _content(connection: Connection, first: int, last: int) -> bytes:
    found: Iterable[bytes] = connection.execute(
        text("SELECT entry FROM ledger_entry WHERE index BETWEEN :first AND :last ORDER BY index"),
        {"first": first, "last": last},
    ).scalars()
    lines = [bytes(entry) for entry in found]
    if len(lines) != last - first + 1:
        raise LedgerError(
            f"the ledger has {len(lines)} entries from {first} to {last}, and not all; run"
            " `python -m reengage ledger verify`"
        )
    return b"".join(line + b"\n" for line in lines)


def _write(system: Any, path: str, content: bytes) -> None:
    protocols = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    directory, _, name = path.rpartition("/")
    if "file" in protocols:
        Path(directory).mkdir(parents=True, exist_ok=True, mode=0o700)
        write_new(Path(path), content)  # whole or not at all; a concurrent one wins
        Path(path).chmod(0o400)
        return
    system.makedirs(directory, exist_ok=True)
    if protocols & _WHOLE:
        with suppress(FileExistsError):  # somebody was faster: what they wrote is compared
            system.pipe_file(path, content, mode="create")
        return
    temporary = f"{directory}/.{name}.{secrets.token_hex(8)}"
    system.pipe_file(temporary, content)
    system.mv(temporary, path)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Each kind of storage has errors of its own: ours names the file and the kind of fault."""
    try:
        yield
    except Exception as error:
        raise LedgerError(
            f"{name} cannot be read or written at the export's location ({type(error).__name__});"
            " see the address and the rights there, then repeat the command"
        ) from None
