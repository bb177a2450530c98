"""Outbox: whether every letter's state has the records that it must have (LOG-12).

The ledger's bytes are `verify`'s; this holds the outbox against them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError

from reengage.errors import LedgerError
from reengage.ledger.walk import MOST_FINDINGS, Finding
from reengage.sql import load_sql


def check_outbox(connection: Connection, home: Path, *, most: int = MOST_FINDINGS) -> list[Finding]:
    """Letters whose records contradict their state, at most so many.

    Raises LedgerError where an entry cannot be read: verify the ledger first.
    """
    try:
        found = connection.execute(text(load_sql(home, "ledger/outbox.sql")), {"most": most}).all()
    except DataError:
        raise LedgerError(
            "an entry of the ledger cannot be read, so that the outbox cannot be held against it:"
            " run `python -m reengage ledger verify`"
        ) from None
    return [finding for row in found for finding in _findings(row)]


def _findings(row: Any) -> list[Finding]:
    letter = f"letter {row.letter_id}"
    found = []
    if row.no_intent:
        found.append(
            Finding(f"{letter} is {row.state} in the outbox, and no intent names it; find out what"
                    " claimed it")
        )  # fmt: skip
    if row.sent_only_there:
        found.append(
            Finding(f"says that {letter} was sent, which is {row.state} in the outbox; compare the"
                    " outbox with its backup", entry=row.sent)
        )  # fmt: skip
    elif row.other_outcome and row.newest is None:
        found.append(
            Finding(f"{letter} is {row.state} in the outbox, and no disclosure says so; find out"
                    " what changed it")
        )  # fmt: skip
    elif row.other_outcome:
        found.append(
            Finding(f"is the last word on {letter} and has another outcome than the outbox"
                    f" ({row.state}); find out what changed it", entry=row.newest)
        )  # fmt: skip
    return found
