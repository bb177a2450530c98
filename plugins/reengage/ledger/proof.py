"""Proof: that an entry is in the ledger, for somebody who has neither database nor keyring.

docs/ledger-format.md, section 7; RFC 9162 section 2.1.3 (LOG-02).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.ledger.checkpoint import Checkpoint, VerifierKey, open_note
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.entry import Entry, parse
from reengage.ledger.merkle import HASH_BYTES, Frontier, includes, leaf_hash, path_ranges
from reengage.ledger.reading import leaf_hashes

VERSION = 1
MEMBERS = frozenset({"v", "index", "entry", "proof", "checkpoint", "keys"})
_LONGEST_PROOF = 63


@dataclass(frozen=True)
class Checked:
    """What a proof that holds says."""

    entry: Entry
    checkpoint: Checkpoint


def prove(
    connection: Connection, checkpoints: Checkpoints, keys: Iterable[VerifierKey], index: int
) -> dict[str, Any]:
    """The proof of the entry at `index` against the earliest checkpoint that covers it.

    Raises LedgerError where there is no such entry, no such checkpoint yet, or the proof would not
    hold, since the ledger is not what was signed.
    """
    keys = list(keys)
    content = connection.execute(
        text("SELECT entry FROM ledger_entry WHERE index = :index"), {"index": index}
    ).scalar_one_or_none()
    if content is None:
        raise LedgerError(f"the ledger has no entry {index}; see `python -m reengage ledger tail`")
    note, checkpoint = _covering(checkpoints, keys, index)
    document = {
        "v": VERSION,
        "index": index,
        "entry": base64.b64encode(bytes(content)).decode(),
        "proof": [
            base64.b64encode(node).decode() for node in _path(connection, index, checkpoint.size)
        ],
        "checkpoint": note,
        "keys": [key.text for key in keys],
    }
    check_proof(document, keys)
    return document


def check_proof(document: object, keys: Iterable[VerifierKey]) -> Checked:
    """What the proof says, checked against keys that are trusted for other reasons than the file.

    Raises LedgerError saying what is wrong with it.
    """
    if not isinstance(document, dict) or document.keys() != MEMBERS:
        raise LedgerError("it is no proof: its members are not those of one")
    index, packed, named = document["index"], document["proof"], document["keys"]
    if type(document["v"]) is not int or document["v"] != VERSION:
        raise LedgerError(
            "it is a proof of another version; check it with the program that made it"
        )
    if type(index) is not int or index < 0:
        raise LedgerError("its index is no place in a ledger")
    if not isinstance(packed, list) or len(packed) > _LONGEST_PROOF:
        raise LedgerError("its proof is no list of hashes")
    if not isinstance(named, list) or not all(isinstance(key, str) for key in named):
        raise LedgerError("its keys are no list of verifier keys")
    if not isinstance(document["checkpoint"], str):
        raise LedgerError("its checkpoint is no signed note")
    content = _decoded(document["entry"], "entry")
    nodes = [_decoded(node, "proof") for node in packed]
    if any(len(node) != HASH_BYTES for node in nodes):
        raise LedgerError("its proof is no list of hashes")
    checkpoint = _opened(document["checkpoint"], keys)
    if not includes(leaf_hash(content), index, checkpoint.size, nodes, checkpoint.root):
        raise LedgerError(
            f"the entry is not entry {index} of the ledger that was signed at size"
            f" {checkpoint.size}"
        )
    entry = parse(content)
    if entry.index != index:
        raise LedgerError(f"the entry at {index} says that it is entry {entry.index}")
    return Checked(entry, checkpoint)


def _covering(
    checkpoints: Checkpoints, keys: Sequence[VerifierKey], index: int
) -> tuple[str, Checkpoint]:
    for _, note in checkpoints.all():
        try:
            checkpoint = open_note(note, keys)
        except LedgerError:
            continue  # verify names it
        if checkpoint.size > index:
            return note, checkpoint
    raise LedgerError(
        f"no checkpoint covers entry {index} yet; sign one with `python -m reengage ledger"
        " checkpoint`, or wait for tomorrow's"
    )


def _path(connection: Connection, index: int, size: int) -> list[bytes]:
    """The proof's nodes from one reading of the leaf hashes, without holding them all."""
    ranges = path_ranges(index, size)
    roots = {}
    for first, end in sorted(ranges):
        frontier = Frontier()
        for leaves in leaf_hashes(connection, first, end):
            frontier = frontier.extended(leaves)
        roots[first] = frontier.root
    return [roots[first] for first, _ in ranges]


def _opened(note: str, keys: Iterable[VerifierKey]) -> Checkpoint:
    try:
        return open_note(note, keys)
    except LedgerError as error:
        raise LedgerError(f"its checkpoint is not to be trusted: {error}") from None


def _decoded(packed: object, name: str) -> bytes:
    try:
        if not isinstance(packed, str):
            raise ValueError
        octets = base64.b64decode(packed, validate=True)
        if base64.b64encode(octets).decode() != packed:
            raise ValueError
    except (binascii.Error, ValueError):
        raise LedgerError(f"its {name} is not base64") from None
    return octets
