"""Superseding: a newer disclosure record of a letter, when more is known of what became of it.

The newest record of a letter counts (LOG-12, PRV-25); the earlier ones stay.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger.accounting import letters_of
from reengage.ledger.append import append
from reengage.ledger.records import Record


def last_record(connection: Connection, patient: str, letter_id: UUID) -> Mapping[str, Any]:
    """What the letter's newest record says. Raises LedgerError when there is none."""
    for one in letters_of(connection, patient):
        if one.said.get("letter") == str(letter_id):
            return one.said
    raise LedgerError(
        f"the ledger has no record of letter {letter_id}, which is not resolved therefore; run"
        " `python -m reengage ledger verify`"
    )


def supersede(
    connection: Connection, keyring: Keyring, patient: str, letter_id: UUID, **changes: Any
) -> None:
    """Append the letter's last record with these changes, in the caller's transaction, last.

    Raises LedgerError when its last record cannot be told.
    """
    said = last_record(connection, patient, letter_id)
    append(connection, keyring, [Record("disclosure", {**said, **changes})])
