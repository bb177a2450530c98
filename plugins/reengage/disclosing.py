"""Disclosing: what an accounting of disclosures rests on besides the ledger's entries.

The ledger says what was disclosed to which address, by pseudonym; the warehouse whose address that
is; the contract what a column is in words. For the command line and the page of Compliance alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, text

from reengage.campaigns import load_campaigns
from reengage.contract import load_contract
from reengage.keys import Keyring
from reengage.ledger import signers, witness
from reengage.ledger.accounting import Accounting, Recipient, account, letters_of
from reengage.ledger.checkpoint import Checkpoint
from reengage.ledger.checkpoints import Checkpoints
from reengage.practice import load_practice

WORDS: Mapping[str, str] = {
    "patient.given_name": "first name",
    "appointment.start_at": "day and time of an appointment",
    "appointment.location": "place of an appointment",
    "medication.name": "name of a medicine",
    "medication.dosage_text": "strength and form of a medicine",
}
"""What letters disclose, in words."""


@dataclass(frozen=True)
class Told:
    """An accounting, and what is known besides of whom it is about."""

    accounting: Accounting = field(repr=False)
    name: str | None = field(repr=False)
    evidence: str
    known: bool
    """Whether the ledger or the warehouse knows such a patient."""


def tell(
    home: Path,
    keyring: Keyring,
    store: Engine,
    warehouse: Engine,
    *,
    patient_key: str,
    first: date,
    last: date,
    checkpoints: Checkpoints,
) -> Told:
    """The accounting of a period. Who asks has recorded that before (SEC-15).

    Raises LedgerError where an entry, or the newest checkpoint, is not what was signed.
    """
    with store.connect() as connection:
        newest = witness.newest(connection, checkpoints, signers.verifiers(keyring.directory))
        letters = letters_of(connection, keyring.pseudonym("patient", patient_key))
    with warehouse.connect() as connection:
        recipients = recipients_of(connection, keyring, patient_key)
        name = name_of(connection, patient_key)
    accounting = account(
        letters,
        first=first,
        last=last,
        zone=ZoneInfo(load_practice(home / "practice.yaml").time_zone),
        recipients=recipients,
        titles={campaign.slug: campaign.title for campaign in load_campaigns(home)[0]},
        columns=columns_in_words(home),
    )
    known = bool(letters) or name is not None
    return Told(accounting, name, evidence_of(accounting, newest), known)


def recipients_of(connection: Connection, keyring: Keyring, key: str) -> dict[str, Recipient]:
    """Whose addresses the warehouse knows, by the pseudonyms that the ledger has of them."""
    found = connection.execute(
        text(
            "SELECT 'the patient' AS who, p.given_name AS name, c.email, true AS is_patient"
            " FROM contract.contact c LEFT JOIN contract.patient p USING (patient_key)"
            " WHERE c.patient_key = :key"
            " UNION ALL SELECT 'the patient', p.given_name, c.confidential_email, true"
            " FROM contract.contact c LEFT JOIN contract.patient p USING (patient_key)"
            " WHERE c.patient_key = :key"
            " UNION ALL SELECT 'personal representative (' || authority || ')', NULL, email, false"
            " FROM contract.representative WHERE patient_key = :key"
        ),
        {"key": key},
    )
    known: dict[str, Recipient] = {}
    for who, name, address, is_patient in found:
        if address:  # an address of both is the patient's own
            pseudonym = keyring.pseudonym("recipient", address.casefold())
            known.setdefault(pseudonym, Recipient(who, address, name, is_patient))
    return known


def name_of(connection: Connection, key: str) -> str | None:
    """The patient's first name, where the warehouse knows it."""
    found = connection.execute(
        text("SELECT given_name FROM contract.patient WHERE patient_key = :key"), {"key": key}
    ).first()
    return None if found is None else str(found.given_name)


def columns_in_words(home: Path) -> Mapping[str, str]:
    """The contract's columns in words that a patient reads; the contract's own for any other."""
    described = {
        f"{view.name}.{column.name}": f"{view.name}: {column.description.partition(';')[0]}"
        for view in load_contract(home).views
        for column in view.columns
    }
    return {**described, **WORDS}


def evidence_of(accounting: Accounting, newest: Checkpoint | None) -> str:
    """What was verified, in words."""
    if newest is None:
        return (
            "The entries listed here are whole, but no checkpoint has been signed over them yet:"
            " nothing but the database itself vouches for them."
        )
    when = (
        "The entries listed here were verified against the signed checkpoint of"
        f" {newest.size:,} entries before this was written."
    )
    later = [index for index in accounting.entries if index >= newest.size]
    if later:
        one = len(later) == 1
        listed = ", ".join(map(str, later))
        when += (
            f" {'Entry' if one else 'Entries'} {listed} {'is' if one else 'are'} newer than that;"
            " the next checkpoint covers them."
        )
    return when
