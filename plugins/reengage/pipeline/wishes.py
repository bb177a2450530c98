"""Wishes: the language and the address that patients asked for, which win over the warehouse's.

A wish for another address is one instead of the address that was on file then (PRV-21): where the
practice's records name a third one by now, a new one of the patient's or, from their coming of age
on, the patient's own instead of a representative's (PRV-16), the records count again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, text

from reengage.keys import Keyring
from reengage.sql import load_sql


@dataclass(frozen=True)
class Wish:
    """What one patient asked for; addresses by their pseudonyms."""

    language: str | None = None
    instead_of: str | None = None
    recipient: str | None = None
    sealed: bytes | None = field(default=None, repr=False)
    """The address; None where the store came back from a backup without it."""

    def recipient_for(self, on_file: str) -> str:
        """Pseudonym of the address to write to, where the warehouse has this one."""
        if self.recipient is not None and self.instead_of == on_file:
            return self.recipient
        return on_file


NONE = Wish()


def wishes(connection: Connection, home: Path, patients: Sequence[str]) -> dict[str, Wish]:
    """By the patient's pseudonym; who asked for nothing is not in it."""
    found = connection.execute(
        text(load_sql(home, "outbox/wishes.sql")), {"patients": list(patients)}
    )
    return {
        row.patient: Wish(
            row.language,
            row.instead_of,
            row.recipient,
            None if row.sealed is None else bytes(row.sealed),
        )
        for row in found
    }


def seal_address(keyring: Keyring, patient: str, address: str) -> bytes:
    """The address as the store keeps it."""
    return keyring.purpose_key("portal").seal(address.encode(), bound_to=f"address/{patient}")


def open_address(keyring: Keyring, patient: str, sealed: bytes) -> str:
    """The address. Raises KeyringError when altered, or its key was destroyed."""
    opened = keyring.purpose_key("portal").open(sealed, bound_to=f"address/{patient}")
    return opened.decode()
