"""Verify: everything again from bytes, and against everything that was signed.

Reads only. What it cannot see: that the whole database was taken back to a state older than every
checkpoint that is still there, which is why checkpoints belong where the writer is not (LOG-08).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger.append import head_mac
from reengage.ledger.canonical import instant
from reengage.ledger.checkpoint import Checkpoint, VerifierKey, open_note
from reengage.ledger.checkpoints import Checkpoints, size_of
from reengage.ledger.reading import Block, blocks
from reengage.ledger.walk import Finding, Findings, Walk

Progress = Callable[[int, int], object]
"""Told the entries that are done, and how many there are."""


@dataclass(frozen=True)
class Verdict:
    """What the ledger is worth."""

    size: int
    """Entries that were read."""
    root: bytes
    """Root over them."""
    checkpoints: int
    """Signed notes that they were held against and agree with."""
    open_runs: Sequence[str]
    """Runs that have no end yet: no fault of the bytes."""
    clock_back: int
    """Entries that say that the clock ran backwards."""
    findings: Sequence[Finding]
    """What is wrong, in order of the entries, then of the checkpoints; the first hundred."""
    faults: int
    """How many there are in all."""

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults


def verify(
    connection: Connection,
    *,
    keys: Iterable[VerifierKey],
    checkpoints: Checkpoints,
    keyring: Keyring | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """The verdict on the ledger of this database (docs/ledger-format.md, section 8).

    With a keyring, what was appended since the last checkpoint is bound as well. A connection that
    is in no transaction yet sees one moment; within a transaction, nobody may append meanwhile.
    """
    keys = list(keys)
    files = dict(checkpoints.all())  # before the entries: none of them can be newer than these
    if not connection.in_transaction():
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
    heads = connection.execute(
        text("SELECT origin, size, peaks, recorded_at, mac FROM ledger_head")
    ).all()
    origin = str(heads[0].origin) if len(heads) == 1 else None
    findings = Findings()
    opened = _opened(files, keys, origin, findings)
    walk = Walk([*(one.size for one in opened.values()), *_noted_sizes(connection)], findings)
    for block in blocks(connection):
        walk.block(block)
        if progress:
            progress(walk.frontier.size, max(walk.frontier.size, _size(heads)))
    agreed = _checkpoints(walk, opened, findings)
    _notes(walk, files, checkpoints, keys, origin, findings)
    _head(heads, walk, keyring, findings)
    return _verdict(walk, agreed, findings)


def verify_blocks(
    found: Iterable[Block],
    *,
    keys: Iterable[VerifierKey],
    checkpoints: Checkpoints,
    total: int,
    progress: Progress | None = None,
) -> Verdict:
    """The verdict on entries that lie elsewhere than in a database, as in an export.

    There is no head, so that what no checkpoint covers is bound by nothing.
    """
    keys = list(keys)
    files = dict(checkpoints.all())
    findings = Findings()
    opened = _opened(files, keys, None, findings)
    walk = Walk([one.size for one in opened.values()], findings)
    for block in found:
        walk.block(block)
        if progress:
            progress(walk.frontier.size, max(walk.frontier.size, total))
    agreed = _checkpoints(walk, opened, findings)
    _notes(walk, files, checkpoints, keys, None, findings)
    return _verdict(walk, agreed, findings)


def _verdict(walk: Walk, agreed: int, findings: Findings) -> Verdict:
    return Verdict(
        walk.frontier.size,
        walk.frontier.root,
        agreed,
        walk.runs.open,
        walk.clock_back,
        findings.kept,
        findings.count,
    )


def _opened(
    files: Mapping[str, str],
    keys: Sequence[VerifierKey],
    origin: str | None,
    findings: Findings,
) -> dict[str, Checkpoint]:
    """The checkpoints whose files are what they should be, by name."""
    opened = {}
    for name, note in files.items():
        size = size_of(name)
        if size is None:
            findings.add("a file beside the checkpoints has no checkpoint's name; take it away")
            continue
        checkpoint, words = _open(note, keys, origin)
        if checkpoint and checkpoint.size != size:
            words = f"is a note of size {checkpoint.size} under another name"
        if words or checkpoint is None:
            findings.add(f"{words}; restore its file from a copy", checkpoint=size)
        else:
            opened[name] = checkpoint
    return opened


def _open(
    note: str, keys: Sequence[VerifierKey], origin: str | None
) -> tuple[Checkpoint | None, str | None]:
    """The checkpoint of a note, or the words for what is wrong with it."""
    try:
        checkpoint = open_note(note, keys)
    except LedgerError as error:
        return None, f"is not what was signed: {error}"
    if origin is not None and checkpoint.origin != origin:
        return None, "is of another ledger"
    return checkpoint, None


def _noted_sizes(connection: Connection) -> list[int]:
    """Sizes in the ledger's own checkpoint records; those that cannot be read are found later."""
    found = connection.execute(text("SELECT entry FROM ledger_entry WHERE kind = 'checkpoint'"))
    sizes = []
    for (entry,) in found:
        # The note is the body's last member, its size between the first two line breaks.
        lines = bytes(entry or b"").split(b"\\n")
        if len(lines) > 1 and lines[1].isascii() and lines[1].isdigit() and len(lines[1]) < 16:
            sizes.append(int(lines[1]))
    return sizes


def _checkpoints(walk: Walk, opened: Mapping[str, Checkpoint], findings: Findings) -> int:
    """Hold the tree against every checkpoint; gives the number that agree."""
    agreed, last = 0, 0
    for _, checkpoint in sorted(opened.items()):
        words = _contradiction(walk, checkpoint, last)
        if words:
            findings.add(words, checkpoint=checkpoint.size)
        else:
            agreed, last = agreed + 1, checkpoint.size
    return agreed


def _contradiction(walk: Walk, checkpoint: Checkpoint, good: int) -> str | None:
    size = walk.frontier.size
    if checkpoint.size > size:
        return (
            f"was signed over more entries than the {size} that there are: entries were removed, or"
            " the database was taken back; restore them from an export"
        )
    if walk.roots.get(checkpoint.size, checkpoint.root) != checkpoint.root:
        return (
            f"contradicts the ledger: entries {good} to {checkpoint.size - 1} are not those that"
            " were signed; compare them with an export"
        )
    return None


def _notes(
    walk: Walk,
    files: Mapping[str, str],
    checkpoints: Checkpoints,
    keys: Sequence[VerifierKey],
    origin: str | None,
    findings: Findings,
) -> None:
    """Every checkpoint that an entry records has its file, and the file is that note."""
    fresh: dict[str, str] | None = None
    for index, recorded_origin, note in walk.notes:
        checkpoint, words = _open(note, keys, origin)
        if checkpoint and (checkpoint.size > index or recorded_origin != checkpoint.origin):
            words = "was signed over entries that came later, or is of another ledger"
        if words or checkpoint is None:
            findings.add(f"holds a checkpoint that {words}; find out who wrote it", entry=index)
            continue
        name = next((name for name in files if size_of(name) == checkpoint.size), None)
        found = files.get(name) if name else None
        if found is None:  # put there after we looked
            fresh = dict(checkpoints.all()) if fresh is None else fresh
            found = next((n for f, n in fresh.items() if size_of(f) == checkpoint.size), None)
        if found != note:
            findings.add(
                f"{'has no file' if found is None else 'has another file'}, and entry {index} holds"
                " the note; restore it from there",
                checkpoint=checkpoint.size,
            )
        if found is None and (words := _contradiction(walk, checkpoint, 0)):
            findings.add(words, checkpoint=checkpoint.size)


def _head(heads: Sequence[Any], walk: Walk, keyring: Keyring | None, findings: Findings) -> None:
    """The head says what the entries come to, and one of the ledger's writers said so."""
    if len(heads) != 1:
        findings.add(f"the ledger has {len(heads)} heads instead of one; restore it")
        return
    head = heads[0]
    if _size(heads) != walk.frontier.size:
        findings.add(
            f"the head was left at size {head.size}, and there are {walk.frontier.size} entries:"
            " some were added beside it, or removed; compare them with an export"
        )
    elif bytes(head.peaks or b"") != walk.frontier.to_bytes():
        findings.add("the head's peaks are not those of the entries; compare them with an export")
    elif _text(head.recorded_at) != walk.recorded_at:
        findings.add("the head's clock is not that of the last entry; restore it")
    if keyring and bytes(head.mac or b"") != _expected_mac(head, walk, keyring):
        findings.add(
            "the head is not one that this keyring's writers left: what was appended since the last"
            " checkpoint may be anybody's; compare it with an export"
        )


def _expected_mac(head: Any, walk: Walk, keyring: Keyring) -> bytes:
    if head.recorded_at is None:
        return b""
    return head_mac(keyring, str(head.origin), walk.frontier, head.recorded_at)


def _size(heads: Sequence[Any]) -> int:
    return int(heads[0].size or 0) if len(heads) == 1 else 0


def _text(at: datetime | None) -> str:
    return "" if at is None else instant(at)
