"""What a patient refuses, written down at the desk: opt-outs and revocations.

Either holds from the next claim on, also for a run under way (EML-26, PRV-06), and is in the
journal before it is in the store (SEC-08). What cannot be meant is refused before anything is
recorded. A patient whom the warehouse does not have is recorded all the same, since tomorrow's load
may bring them and nothing may be lost, but told, with exit status 1: else a mistyped key leaves
someone believing that no letter will come.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from rich.console import Console
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from reengage import refusals, store, suppressions
from reengage.cli import places
from reengage.cli.actor import actor, note_access
from reengage.errors import ConfigurationError, LedgerError
from reengage.keys import Keyring, open_keyring
from reengage.ledger.owed import pay


def opt_out(options: Namespace, home: Path) -> int:
    """Record that a patient wants no letters, of one campaign or of all."""
    if options.campaign:
        _require_campaign(home, options.campaign)
    return _record(options, home, "opt_out", options.campaign, datetime.now(UTC))


def revoke(options: Namespace, home: Path) -> int:
    """Record that a patient revoked an authorization, of one purpose or of all.

    It ends the forms signed up to then; one that is signed anew afterwards counts again.
    """
    now = datetime.now(UTC)
    at = options.at or now
    if at > now:
        raise ConfigurationError(
            "--at lies in the future, nothing was recorded; give the instant at which the"
            " revocation was received, or leave it out for now"
        )
    return _record(options, home, "revocation", options.purpose, at)


def journal(options: Namespace, home: Path) -> int:
    """Join the journal and the store, where the journal was lost or replaced."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        learnt = refusals.mend(connection, places.journal(home))
        suppressions.mend(connection, places.suppressions(home))
        pay(connection, keyring)
    Console().print(f"journal and store are one again; the store learnt of {learnt:,} refusals")
    return 0


def _record(
    options: Namespace,
    home: Path,
    kind: Literal["opt_out", "revocation"],
    scope: str | None,
    at: datetime,
) -> int:
    actor()  # before the journal has it: what nobody's name is on is refused whole
    patient = patient_key(options.patient)
    keyring = open_keyring(places.keyring(home))
    refusal = refusals.Refusal(
        kind=kind,
        patient=keyring.pseudonym("patient", patient),
        scope=scope,
        at=at,
        channel=options.channel,
        source="patient",
        received_at=datetime.now(UTC),
    )
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        refusals.record(connection, places.journal(home), [refusal])
        _note(connection, keyring, refusal)
        pay(connection, keyring, recorded={refusal.what})
    return _tell(home, patient)


def _note(connection: Connection, keyring: Keyring, refusal: refusals.Refusal) -> None:
    """Who wrote the refusal down, in the ledger."""
    said = {
        "patient": refusal.patient,
        "pseudonym_key": keyring.pseudonym_key_name,
        "scope": refusal.scope,
        "channel": refusal.channel,
        "at": refusal.at.isoformat(),
    }
    try:
        note_access(connection, keyring, "recorded", refusal.kind, said)
    except LedgerError as error:
        raise LedgerError(
            f"{error}. The refusal itself is safe: it is in the journal, and holds for every letter"
            " from now on"
        ) from None


def patient_key(argument: str) -> str:
    """The key that was given; for `-` the line on standard input, which no process list shows."""
    patient = sys.stdin.readline().strip() if argument == "-" else argument
    if not patient:
        raise ConfigurationError(
            "there is no patient's key, nothing was recorded; write it on standard input for"
            " `--patient -`"
        )
    return patient


def _tell(home: Path, patient: str) -> int:
    known = _in_warehouse(home, patient)
    if known:
        Console().print("recorded; it holds from the next letter on")
        return 0
    reason = (
        "the warehouse has no patient with this key"
        if known is False
        else "the warehouse could not be asked whether it has this patient"
    )
    print(f"recorded, but {reason}; check the key for a typing error", file=sys.stderr)
    return 1


def _require_campaign(home: Path, slug: str) -> None:
    known = sorted(path.stem for path in (home / "campaigns").glob("*.yaml"))
    if slug not in known:
        raise ConfigurationError(
            f"there is no campaign {slug!r}, nothing was recorded; there are {', '.join(known)}"
        )


def _in_warehouse(home: Path, patient: str) -> bool | None:
    """Whether the warehouse has a patient with this key; None when it cannot be asked."""
    external = "REENGAGE_STORE_URL" in os.environ and "REENGAGE_WAREHOUSE_URL" not in os.environ
    if external:  # the embedded warehouse is not the one that this store belongs to
        return None
    statement = text("SELECT 1 FROM contract.patient WHERE patient_key = :patient LIMIT 1")
    try:
        with places.warehouse(home) as engine, engine.connect() as connection:
            return connection.execute(statement, {"patient": patient}).scalar() is not None
    except (SQLAlchemyError, ConfigurationError):
        return None
