"""Said: what patients told us since a backup, from the ledger, where no journal has it any more.

A journal that was lost with the store is the copy's, and ends where the last backup ended. What was
said after that is in the ledger's entries, as far as the archive gave them back: who refused, and
whom we left alone. It is written to the journal and to the store again, like everything that is
said, so that neither is ahead of the other; the ledger has its record already (SEC-08, EML-26).
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy import Connection, text

from reengage import refusals, suppressions
from reengage.keys import Keyring
from reengage.ledger.owed import pay
from reengage.refusals import Refusal
from reengage.settings import Settings
from reengage.sql import load_sql
from reengage.suppressions import Suppression


def hear_again(connection: Connection, settings: Settings, keyring: Keyring, *, first: int) -> int:
    """Give journals and store what the ledger says was told since; gives how much of it was new.

    `first` is the index of the first entry that the backup did not have. Afterwards the ledger is
    owed nothing: what only a journal told is on record, and nothing is twice. Raises StoreError
    where a journal cannot be written, LedgerError where the record fails.
    """
    since = {"first": first}

    def entries(name: str) -> list[dict[str, object]]:
        statement = text(load_sql(settings.home, f"backup/{name}.sql"))
        return [dict(row) for row in connection.execute(statement, since).mappings()]

    refused = [Refusal(**row) for row in entries("refusals_since")]  # type: ignore[arg-type]
    new = refusals.record(connection, settings.journal_path, refused)
    left_alone = [Suppression(**row) for row in entries("suppressions_since")]  # type: ignore[arg-type]
    new += suppressions.record(connection, settings.suppressions_path, left_alone)
    lifted = {row["suppression_id"]: row for row in entries("lifted_since")}
    new += suppressions.record(connection, settings.suppressions_path, [
        replace(one, **lifted[one.suppression_id])  # type: ignore[arg-type]
        for one in suppressions.listed(connection, settings.now())
        if one.suppression_id in lifted
    ])  # fmt: skip
    on_record = {one.what for one in refused}
    on_record |= {suppressions.suppressing(one.suppression_id) for one in left_alone}
    on_record |= {suppressions.lifting(UUID(str(which))) for which in lifted}
    pay(connection, keyring, recorded=on_record)
    return new
