"""Owed: records of what a store learnt from a journal, until somebody appends them, each once.

A refusal is in its journal before it is in the store, so that it holds whatever happens next. Where
the transaction that wrote it fails, whoever catches up with the journal has a change without a
record. They note it here, in their own transaction, and hold no lock of the ledger for it; whoever
records next pays the debt (EML-26, SEC-15).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import access


@dataclass(frozen=True)
class Owed:
    """An access record to come; `what` names the change that it is of."""

    what: str
    actor: str
    action: str
    of: str
    detail: Mapping[str, Any]


def owe(connection: Connection, owed: Sequence[Owed]) -> None:
    """Note them, in the transaction that makes the changes."""
    for one in owed:
        connection.execute(
            text(
                "INSERT INTO ledger_owed (what, actor, action, of, detail)"
                " VALUES (:what, :actor, :action, :of, CAST(:detail AS jsonb))"
            ),
            {
                "what": one.what, "actor": one.actor, "action": one.action, "of": one.of,
                "detail": json.dumps(one.detail),
            },
        )  # fmt: skip


def pay(
    connection: Connection,
    keyring: Keyring,
    *,
    told: Collection[str] = (),
    recorded: Collection[str] = (),
) -> int:
    """Append all that is owed, as the last thing of the transaction; gives how many records.

    Of `told` the caller just heard themselves; any other record says `caught_up`. Of `recorded` the
    caller appends a record of their own. Two who pay at once pay each debt once. Raises
    LedgerError.
    """
    rows = connection.execute(
        text("DELETE FROM ledger_owed RETURNING owed_id, what, actor, action, of, detail")
    ).all()
    records = [
        access(
            actor=row.actor,
            action=row.action,
            of=row.of,
            detail={
                **row.detail,
                "pseudonym_key": keyring.pseudonym_key_name,
                **({} if row.what in told else {"caught_up": True}),
            },
        )
        for row in sorted(rows, key=lambda row: row.owed_id)
        if row.what not in recorded
    ]
    append(connection, keyring, records)
    return len(records)
