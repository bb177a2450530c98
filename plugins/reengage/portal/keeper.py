"""Keeper: what the portal leaves to be done by who does not face the internet.

Letters that were locked or reported become incidents, with a record in the ledger and a message to
the practice; the address of a reported one is suppressed at once. Messages that wait are sent
through the portal's vendor, each once. What is over is removed. Runs with the tasks' role; all of
it may be repeated and run twice at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from reengage import relay, store, suppressions
from reengage.errors import ConfigurationError
from reengage.keys import Keyring, open_keyring
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.portal.mail import Service, service_message
from reengage.portal.pickup import MOST
from reengage.practice import Practice, load_practice
from reengage.settings import Settings
from reengage.sql import load_sql
from reengage.suppressions import Suppression
from reengage.vendors import load_vendors, require_in_force, require_vendor

BATCH = 50
ACTOR = "portal"
GUESSES_KEPT = timedelta(days=91)
"""Longer than any letter waits: an id that no letter has stays locked as long as one that has."""


@dataclass(frozen=True)
class Tended:
    """What was done."""

    incidents: int
    sent: int
    waiting: int
    removed: int


def tend(settings: Settings) -> Tended:
    """Do what waits. Raises VendorError or RelayError where messages cannot be sent; what else
    there was to do is done by then.
    """
    engine, keyring = store.connect(settings.store_url), open_keyring(settings.keyring)
    practice = load_practice(settings.home / "practice.yaml")
    with engine.begin() as connection:
        store.require_keyring(connection, keyring)
        incidents = open_incidents(connection, keyring, settings, practice)
    with engine.begin() as connection:
        removed = _remove(connection)
    sent = _send_all(engine, keyring, practice, settings)
    with engine.connect() as connection:
        waiting = connection.execute(
            text("SELECT count(*) FROM portal_mail WHERE claimed_at IS NULL")
        ).scalar_one()
    return Tended(incidents, sent, waiting, removed)


def open_incidents(
    connection: Connection, keyring: Keyring, settings: Settings, practice: Practice
) -> int:
    """Make an incident of every letter that was locked or reported; gives how many are new.

    To the address of who said that it is not theirs nothing more is sent.
    """
    found = connection.execute(
        text(load_sql(settings.home, "portal/incidents.sql")), {"most": MOST}
    ).all()
    suppressions.record(connection, settings.suppressions_path, [
        Suppression(
            suppressions.suppression_id(row.incident_id, "not_me"), "not_me", settings.now(),
            recipient=row.recipient, letter_id=row.letter_id, evidence=str(row.incident_id),
        )
        for row in found
        if row.kind == "not_me" and row.recipient is not None
    ])  # fmt: skip
    for row in found:
        _queue_notice(connection, keyring, practice, row.kind, row.incident_id)
    append(connection, keyring, [
        access(actor=ACTOR, action="recorded", of="incident", detail={
            "incident": str(row.incident_id), "kind": row.kind, "letter": str(row.letter_id),
            "patient": row.patient, "pseudonym_key": keyring.pseudonym_key_name,
        })
        for row in found
    ])  # fmt: skip
    return len(found)


def reopen(
    connection: Connection, home: Path, message: str, by: str, *, journal: Path, at: datetime
) -> UUID | None:
    """Let a locked letter be opened again, and write to its address again where that was reported.

    `message` is the letter's id at the portal, an incident's, or the letter's own. Gives the
    letter's id; None = there is no such letter, or it is not locked. The caller records it.
    `journal` is that of suppressions.
    """
    found = connection.execute(
        text(load_sql(home, "portal/reopen.sql")), {"message": message, "by": by}
    ).one_or_none()
    if found is None:
        return None
    held = {one.suppression_id for one in suppressions.listed(connection, at)}
    for incident in found.reported:
        if (which := suppressions.suppression_id(incident, "not_me")) in held:
            suppressions.lift(connection, journal, which, at=at, by=by)
    letter: UUID = found.letter_id
    return letter


def _queue_notice(
    connection: Connection, keyring: Keyring, practice: Practice, kind: str, incident: UUID
) -> None:
    portal = practice.portal
    to = (portal.notify if portal else None) or practice.reply_to
    content = json.dumps({"to": to, "kind": kind, "incident": str(incident)}).encode()
    sealed = keyring.purpose_key("portal").seal(content, bound_to="mail/incident")
    connection.execute(
        text("INSERT INTO portal_mail (kind, sealed) VALUES ('incident', :sealed)"),
        {"sealed": sealed},
    )


def _remove(connection: Connection) -> int:
    """Sessions and windows that are over, messages that were offered, guesses of long ago."""
    removed = 0
    for statement in (
        "DELETE FROM portal_session WHERE expires_at < clock_timestamp()",
        "DELETE FROM portal_pace WHERE began < clock_timestamp() - INTERVAL '1 day'",
        "DELETE FROM portal_mail WHERE claimed_at < clock_timestamp() - INTERVAL '7 days'",
        "DELETE FROM portal_address WHERE confirmed_at IS NULL"
        " AND asked_at < clock_timestamp() - INTERVAL '7 days'",
    ):
        removed += connection.execute(text(statement)).rowcount
    removed += connection.execute(
        text("DELETE FROM portal_guess WHERE last_at < clock_timestamp() - :kept"),
        {"kept": GUESSES_KEPT},
    ).rowcount
    return removed


def _send_all(engine: Engine, keyring: Keyring, practice: Practice, settings: Settings) -> int:
    vendor_name = practice.portal.vendor if practice.portal else None
    if vendor_name is None:
        return 0
    with engine.connect() as connection:
        waits = connection.execute(
            text("SELECT EXISTS (SELECT 1 FROM portal_mail WHERE claimed_at IS NULL)")
        ).scalar_one()
    if not waits:
        return 0
    vendor = require_vendor(load_vendors(settings.vendors_path), vendor_name)
    day = settings.now().date()
    require_in_force(vendor, day)
    configured = settings.relays.get(vendor_name.lower())
    if configured is None:
        raise ConfigurationError(
            f"no relay is configured for the portal's vendor {vendor_name!r};"
            f" set REENGAGE_RELAY_URL_{vendor_name.upper()}"
        )
    service = Service(practice, keyring.dkim_key(practice.dkim.selector), settings.now())
    url, sent = relay.RelayUrl.parse(configured), 0
    with relay.open_relay(vendor, url, on=day, trust=settings.relay_trust) as line:
        while _send_one(engine, keyring, service, line):
            sent += 1
    return sent


def _send_one(
    engine: Engine, keyring: Keyring, service: Service, line: relay.RelayConnection
) -> bool:
    """Offer one message. It is claimed before; one that is lost is asked for again."""
    with engine.begin() as connection:
        row = connection.execute(
            text(
                "UPDATE portal_mail SET claimed_at = clock_timestamp() WHERE mail_id = ("
                " SELECT mail_id FROM portal_mail WHERE claimed_at IS NULL"
                " ORDER BY queued_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
                " RETURNING mail_id, kind, sealed"
            )
        ).one_or_none()
    if row is None:
        return False
    opened = keyring.purpose_key("portal").open(bytes(row.sealed), bound_to=f"mail/{row.kind}")
    content = json.loads(opened)
    message = service_message(service, row.kind, content, row.mail_id)
    outcome = line.send(
        service.practice.from_address, content["to"], message,
        envid=row.mail_id.hex, on_attempt=lambda: None,
    )  # fmt: skip
    with engine.begin() as connection:
        # Put off: it waits for the next time. The address is not kept longer than that.
        connection.execute(
            text(
                "UPDATE portal_mail SET outcome = :outcome,"
                " claimed_at = CASE WHEN :outcome = 'deferred' AND"
                " queued_at > clock_timestamp() - INTERVAL '1 day' THEN NULL ELSE claimed_at END,"
                " sealed = CASE WHEN :outcome = 'deferred' THEN sealed ELSE '' END"
                " WHERE mail_id = :mail_id"
            ),
            {"outcome": outcome.kind, "mail_id": row.mail_id},
        )
    return outcome.kind != "deferred" and line.alive
