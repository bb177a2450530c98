"""Witness: the newest signed checkpoint, and the ledger held against it.

What `verify` does for everything, for who wants to rely on a few entries at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, text

from reengage.errors import LedgerError
from reengage.ledger.checkpoint import Checkpoint, VerifierKey, open_note
from reengage.ledger.checkpoints import Checkpoints
from reengage.ledger.merkle import Frontier
from reengage.ledger.reading import leaf_hashes

_SEE = "run `python -m reengage ledger verify`"


def newest(
    connection: Connection, checkpoints: Checkpoints, keys: Iterable[VerifierKey]
) -> Checkpoint | None:
    """The newest checkpoint there, of this ledger and held against it; None when there is none.

    With it every entry below its size is the one that was signed, at its index. Raises LedgerError
    naming the checkpoint that is not trusted, of another ledger, or contradicted.
    """
    notes = checkpoints.all()
    if not notes:
        return None
    name, note = notes[-1]
    try:
        checkpoint = open_note(note, keys)
    except LedgerError as error:
        raise LedgerError(f"checkpoint {name} is not trusted: {error}; {_SEE}") from None
    origin = connection.execute(text("SELECT origin FROM ledger_head")).scalar_one()
    if checkpoint.origin != origin:
        raise LedgerError(f"checkpoint {name} is of another ledger; {_SEE}")
    _require_root(connection, checkpoint)
    return checkpoint


def _require_root(connection: Connection, checkpoint: Checkpoint) -> None:
    frontier = Frontier()
    for leaves in leaf_hashes(connection, 0, checkpoint.size):
        frontier = frontier.extended(leaves)
    if (frontier.size, frontier.root) != (checkpoint.size, checkpoint.root):
        raise LedgerError(
            f"the ledger is not the one that its checkpoint of size {checkpoint.size} was signed"
            f" over; {_SEE}"
        )
