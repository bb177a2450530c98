"""The accounting of disclosures that a patient may ask for (45 CFR 164.528, PRV-25).

The ledger says what was disclosed, the warehouse whose address it was; nobody is told of an entry
that was not verified. That somebody asked is on record before anything is shown.
"""

from __future__ import annotations

import os
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from sqlalchemy import Connection, text

from reengage import settings
from reengage.campaigns import load_campaigns
from reengage.cli import places
from reengage.cli.actor import of_patient, record_access
from reengage.cli.refuse import patient_key
from reengage.contract import load_contract
from reengage.errors import ConfigurationError
from reengage.keys import Keyring, open_keyring
from reengage.ledger import signers, witness
from reengage.ledger.accounting import Accounting, Line, Recipient, account, as_csv, letters_of
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


def disclosures(options: Namespace, home: Path) -> int:
    """What was disclosed about a patient in a period; 1 when nobody knows the patient."""
    if options.first > options.last:
        raise ConfigurationError("--from lies after --to; exchange them")
    key = patient_key(options.patient)
    keyring = open_keyring(places.keyring(home))
    practice = load_practice(home / "practice.yaml")
    patient = of_patient(keyring, key)
    asked = {"from": options.first.isoformat(), "to": options.last.isoformat()}
    checkpoints = Checkpoints(settings.checkpoints_location(keyring.directory))
    with places.store(home) as engine, places.warehouse(home) as warehouse:
        record_access(engine, keyring, "opened", "disclosures", {**patient, **asked})
        with engine.connect() as connection:
            newest = witness.newest(connection, checkpoints, signers.verifiers(keyring.directory))
            letters = letters_of(connection, patient["patient"])
        with warehouse.connect() as connection:
            recipients = _recipients(connection, keyring, key)
            name = _name(connection, key)
    accounting = account(
        letters,
        first=options.first,
        last=options.last,
        zone=ZoneInfo(practice.time_zone),
        recipients=recipients,
        titles={campaign.slug: campaign.title for campaign in load_campaigns(home)[0]},
        columns=_columns(home),
    )
    evidence = _evidence(accounting, newest)
    _write(options, home, accounting, name, key, evidence)
    if not (options.csv or options.pdf):
        _render(accounting, evidence)
    if not letters and name is None:
        Console(stderr=True).print("neither the ledger nor the warehouse knows such a patient")
        return 1
    return 0


def _recipients(connection: Connection, keyring: Keyring, key: str) -> dict[str, Recipient]:
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


def _name(connection: Connection, key: str) -> str | None:
    found = connection.execute(
        text("SELECT given_name FROM contract.patient WHERE patient_key = :key"), {"key": key}
    ).first()
    return None if found is None else str(found.given_name)


def _columns(home: Path) -> Mapping[str, str]:
    """The contract's columns in words that a patient reads; the contract's own for any other."""
    described = {
        f"{view.name}.{column.name}": f"{view.name}: {column.description.partition(';')[0]}"
        for view in load_contract(home).views
        for column in view.columns
    }
    return {**described, **WORDS}


def _evidence(accounting: Accounting, newest: Checkpoint | None) -> str:
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


def _write(
    options: Namespace,
    home: Path,
    accounting: Accounting,
    name: str | None,
    key: str,
    evidence: str,
) -> None:
    if options.csv:
        _put(options.csv, as_csv(accounting).encode())
    if options.pdf:
        from reengage.cli.accounting_letter import Facts, as_pdf

        practice = load_practice(home / "practice.yaml")
        made_on = datetime.now(UTC).astimezone(ZoneInfo(practice.time_zone)).date()
        patient = f"{name}, record {key}" if name else f"record {key}"
        _put(options.pdf, as_pdf(Facts(practice, accounting, made_on, patient, evidence)))
    for path in filter(None, (options.csv, options.pdf)):
        Console().print(f"written to {path}; it tells of a patient, keep it so", soft_wrap=True)


def _put(path: Path, content: bytes) -> None:
    """Write the file whole, for its owner's eyes."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written ({error.strerror})") from None


def _render(accounting: Accounting, evidence: str) -> None:
    for title, lines in (
        ("accounted for under 45 CFR 164.528", accounting.accountable),
        ("excepted", accounting.excepted),
    ):
        print(f"{title}: {len(lines) or 'none'}")
        for line in lines:
            _tell(line)
    print(f"prepared, and reached nobody: {accounting.undelivered or 'none'}")
    print(evidence)


def _tell(line: Line) -> None:
    which = "entry" if len(line.entries) == 1 else "entries"
    print(f"  {line.day}  {line.outcome}  {which} {', '.join(map(str, line.entries))}")
    for name, value in (
        ("to", f"{line.recipient}, {line.address}"),
        ("disclosed", line.disclosed),
        ("for", f"{line.campaign}, {line.purpose}; authorization {line.authorization}"),
        ("through", f"{line.vendor}, agreement {line.agreement}"),
        ("because", line.basis),
    ):
        shown = "".join(c if c.isprintable() else "\ufffd" for c in value)
        print(f"      {name:9}  {shown}")
