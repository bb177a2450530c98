"""Actor: who is at the command line, and the record of what they opened, took out or decided.

The record joins the ledger before anything is shown (SEC-15): what cannot be recorded is not done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection, Engine

from reengage import store
from reengage.accounts import actor as actor  # the commands' own way to it
from reengage.accounts import claimed
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import access

Action = Literal[
    "opened", "exported", "recorded", "approved", "resolved", "lifted", "restored", "removed"
]


def note_access(
    connection: Connection,
    keyring: Keyring,
    action: Action,
    of: str,
    detail: Mapping[str, Any] | None = None,
) -> int:
    """Record in the caller's transaction what is about to be shown or done; call it last.

    `detail` holds pseudonyms, days and counts, never a patient's key. Gives the entry's index.
    """
    said = {**(detail or {}), **claimed()}
    return append(connection, keyring, [access(actor=actor(), action=action, of=of, detail=said)])[
        0
    ]


def record_access(
    engine: Engine,
    keyring: Keyring,
    action: Action,
    of: str,
    detail: Mapping[str, Any] | None = None,
) -> int:
    """The same in a transaction of its own, committed before it returns."""
    with engine.begin() as connection:
        store.require_keyring(connection, keyring)
        return note_access(connection, keyring, action, of, detail)


def of_patient(keyring: Keyring, patient_key: str) -> dict[str, str]:
    """How a record names a patient: by pseudonym, and the pseudonym's key by its name."""
    return {
        "patient": keyring.pseudonym("patient", patient_key),
        "pseudonym_key": keyring.pseudonym_key_name,
    }
