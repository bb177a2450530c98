"""Keeper: what the portal leaves to be done by who does not face the internet.

Letters that were locked or reported become incidents, with a record in the ledger and a message to
the practice; the address of a reported one is suppressed at once, also when the letter's time is
over. Messages that wait are sent through the portal's vendor (post.py). What is over is removed:
the content of letters whose time is over, addresses that count no more. Runs with the tasks' role;
all of it may be repeated and run twice at once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid5

from sqlalchemy import Connection, text

from reengage import store, suppressions
from reengage.keys import Keyring, open_keyring
from reengage.ledger.append import append
from reengage.ledger.owed import pay
from reengage.ledger.records import access
from reengage.pipeline.deposits import remove_expired
from reengage.portal import post
from reengage.portal.pickup import MOST
from reengage.portal.wanted import CONFIRM_DAYS
from reengage.practice import Practice, load_practice
from reengage.settings import Settings
from reengage.sql import load_sql
from reengage.suppressions import Suppression

ACTOR = suppressions.PORTAL
GUESSES_KEPT = timedelta(days=91)
"""Longer than any letter waits: an id that no letter has stays locked as long as one that has."""
ADDRESS_YEARS = timedelta(days=6 * 366)
"""For which a confirmed address is kept without a letter to its patient: as long as records are."""


@dataclass(frozen=True)
class Tended:
    """What was done."""

    incidents: int
    sent: int
    waiting: int
    removed: int
    expired: int
    """Letters whose content went, their time being over."""
    lost: int
    """Messages that will reach nobody; what an incident's would have said, `incidents` lists."""


@dataclass(frozen=True)
class Reopened:
    """A letter whose incidents are closed; one whose time is over `opens` no more all the same."""

    letter_id: UUID
    opens: bool
    lifted: tuple[UUID, ...]
    """Suppressions of its address that are lifted."""


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
        expired = remove_expired(connection, settings.now())
        removed = _remove(connection, settings.home)
    posted = post.send_all(engine, keyring, practice, settings)
    with engine.connect() as connection:
        waiting = post.waiting(connection)
    return Tended(incidents, posted.sent, waiting, removed, expired, posted.lost)


def open_incidents(
    connection: Connection, keyring: Keyring, settings: Settings, practice: Practice
) -> int:
    """Make an incident of every letter that was locked or reported; gives how many are new.

    To the address of who said that it is not theirs nothing more is sent.
    """
    found = connection.execute(
        text(load_sql(settings.home, "portal/incidents.sql")), {"most": MOST}
    ).all()
    left_alone = [
        Suppression(
            _said_id(row.letter_id, row.reported_at), "not_me", settings.now(),
            recipient=row.recipient, letter_id=row.letter_id, evidence=str(row.incident_id),
        )
        for row in found
        if row.kind == "not_me" and row.recipient is not None
    ]  # fmt: skip
    suppressions.record(connection, settings.suppressions_path, left_alone)
    for row in found:
        _queue_notice(connection, keyring, practice, row.kind, row.incident_id)
    append(connection, keyring, [
        access(actor=ACTOR, action="recorded", of="incident", detail={
            "incident": str(row.incident_id), "kind": row.kind, "letter": str(row.letter_id),
            "patient": row.patient, "pseudonym_key": keyring.pseudonym_key_name,
        })
        for row in found
    ])  # fmt: skip
    # And what the journal told and nobody could record.
    pay(connection, keyring, told={suppressions.suppressing(x.suppression_id) for x in left_alone})
    return len(found)


def reopen(
    connection: Connection, home: Path, message: str, by: str, *, journal: Path, at: datetime
) -> Reopened | None:
    """Let a locked letter be opened again, and write to its address again where that was reported.

    `message` is the letter's id at the portal, an incident's, or the letter's own. None = there is
    no such letter, or nothing is held against it. The caller records it. `journal` is that of
    suppressions.
    """
    found = connection.execute(
        text(load_sql(home, "portal/reopen.sql")), {"message": message, "by": by, "now": at}
    ).one_or_none()
    if found is None:
        return None
    lifted = [
        one.suppression_id
        for one in suppressions.listed(connection, at)
        if one.reason == "not_me" and one.letter_id == found.letter_id
    ]
    for which in lifted:
        suppressions.lift(connection, journal, which, at=at, by=by)
    return Reopened(found.letter_id, found.opens, tuple(lifted))


def _said_id(letter: UUID, reported_at: datetime) -> UUID:
    """Of what was said, not of the incident made of it: the journal may have it from a try whose
    transaction failed. Whoever says so again, after a reopening, says another thing.
    """
    said = uuid5(letter, reported_at.astimezone(UTC).isoformat())
    return suppressions.suppression_id(said, "not_me")


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


def _remove(connection: Connection, home: Path) -> int:
    """Sessions and windows that are over, messages that were offered, guesses of long ago, and
    addresses that are not written to.
    """
    removed = connection.execute(
        text(load_sql(home, "portal/forget_addresses.sql")),
        {"days": CONFIRM_DAYS, "years": ADDRESS_YEARS.days},
    ).rowcount
    for statement in (
        "DELETE FROM portal_session WHERE expires_at < clock_timestamp()",
        "DELETE FROM portal_pace WHERE began < clock_timestamp() - INTERVAL '1 day'",
        "DELETE FROM portal_mail WHERE claimed_at < clock_timestamp() - INTERVAL '7 days'"
        " AND outcome IS NOT NULL",
    ):
        removed += connection.execute(text(statement)).rowcount
    removed += connection.execute(
        text("DELETE FROM portal_guess WHERE last_at < clock_timestamp() - :kept"),
        {"kept": GUESSES_KEPT},
    ).rowcount
    return removed
