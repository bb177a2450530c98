"""Recover: the entries that a ledger from a backup has lost, taken from the archive.

Byte by byte, up to the newest signed checkpoint that the archive reaches, and only where the root
over all of it is the one that was signed: what comes back is what was, or nothing does (LOG-05,
SEC-08). Afterwards the ledger agrees with every checkpoint up to there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger import archive as archives
from reengage.ledger.append import head_mac, locked_head
from reengage.ledger.archive import Archive
from reengage.ledger.checkpoint import Checkpoint, VerifierKey, open_note
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.entry import parse
from reengage.ledger.merkle import leaf_hash

BLOCK = 1000


def covered(
    places: Sequence[Checkpoints], keys: Iterable[VerifierKey], origin: str
) -> list[Checkpoint]:
    """Every checkpoint of this ledger at these places that one of the keys signed, by size.

    One that does not open is left to `verify`, which names it.
    """
    keys, found = list(keys), {}
    for place in places:
        for _, note in place.all():
            try:
                checkpoint = open_note(note, keys)
            except LedgerError:
                continue
            if checkpoint.origin == origin:
                found[checkpoint.size] = checkpoint
    return [found[size] for size in sorted(found)]


def recover(
    connection: Connection, keyring: Keyring, archive: Archive, signed: Sequence[Checkpoint]
) -> range:
    """Append the archive's entries beyond the ledger's own; gives their indices.

    In the caller's transaction, which has appended nothing. Raises LedgerError where the archive is
    not what was signed.
    """
    head = locked_head(connection, keyring)
    first, there = head.frontier.size, archives.size_of(archive)
    reached = [one for one in signed if first < one.size <= there]
    if not reached:
        return range(first, first)
    goal, frontier, recorded_at = reached[-1], head.frontier, ""
    found = islice(archives.entries(archive), first, goal.size)
    while some := list(islice(found, BLOCK)):
        entries = [parse(content) for content in some]
        leaves = [leaf_hash(content) for content in some]
        connection.execute(
            text(
                "INSERT INTO ledger_entry (index, kind, subject, leaf, entry)"
                " VALUES (:index, :kind, :subject, :leaf, :entry)"
            ),
            [
                {"index": e.index, "kind": e.kind, "subject": e.subject, "leaf": leaf, "entry": raw}
                for e, leaf, raw in zip(entries, leaves, some, strict=True)
            ],
        )
        frontier, recorded_at = frontier.extended(leaves), entries[-1].recorded_at
    if (frontier.size, frontier.root) != (goal.size, goal.root):
        raise LedgerError(
            f"the archive's entries from {first} on are not those that checkpoint {goal.size} was"
            " signed over; nothing of it was taken: find out which of the two was altered"
        )
    at = datetime.fromisoformat(recorded_at)
    connection.execute(
        text("UPDATE ledger_head SET size = :size, peaks = :peaks, recorded_at = :at, mac = :mac"),
        {
            "size": frontier.size,
            "peaks": frontier.to_bytes(),
            "at": at,
            "mac": head_mac(keyring, head.origin, frontier, at),
        },
    )
    return range(first, frontier.size)
