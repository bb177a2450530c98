"""Opt-outs by the token of a letter, whichever way it comes back: the page, one click, an e-mail.

The token is a keyed hash of what makes the letter unique (160 bits, EML-07), bound to its patient
and campaign by the row that was left when the letter was claimed. What it opts out of holds from
the next claim on, in the journal, the store and the ledger alike (EML-26, EML-29).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, text

from reengage import refusals
from reengage.keys import Keyring
from reengage.ledger.owed import pay

_TOKEN = re.compile(r"[a-z2-7]{32}")


@dataclass(frozen=True)
class Link:
    """Whom a letter's token speaks for, and of which campaign."""

    patient: str
    campaign: str


def opt_out_token(keyring: Keyring, identity: str) -> str:
    """The token of the letter with this identity."""
    return keyring.token("opt-out", identity)


def link_digest(token: str) -> bytes:
    """What the store knows of a token. Not keyed: nobody guesses 160 bits."""
    return hashlib.sha256(token.encode()).digest()


def find_link(connection: Connection, token: str, now: datetime) -> Link | None:
    """Whom the token speaks for; None = it is none of ours, or older than six years."""
    if not _TOKEN.fullmatch(token):
        return None
    found = connection.execute(
        text(
            "SELECT patient, campaign FROM opt_out_link WHERE token = :token AND valid_until > :now"
        ),
        {"token": link_digest(token), "now": now},
    ).one_or_none()
    return Link(found.patient, found.campaign) if found else None


def opt_out_by_token(
    connection: Connection,
    keyring: Keyring,
    journal: Path,
    token: str,
    *,
    channel: str,
    now: datetime | None = None,
    everything: bool = False,
) -> bool:
    """Opt the letter's patient out of its campaign, or of all; gives whether the token is ours.

    In the caller's transaction: commit it before you say that it is done. Repeating it is harmless
    and recorded once. `channel` tells how it came: `one_click`, `portal`, `mailto`. Raises
    StoreError or LedgerError where it cannot be written down.
    """
    link = find_link(connection, token, now or datetime.now(UTC))
    if link is None:
        return False
    scope = None if everything else link.campaign
    tell(connection, keyring, journal, link.patient, [("opt_out", scope)], channel=channel)
    return True


def tell(
    connection: Connection,
    keyring: Keyring,
    journal: Path,
    patient: str,
    said: Sequence[tuple[refusals.Kind, str | None]],
    *,
    channel: str,
) -> int:
    """Write down what a patient (a pseudonym) told us, each a kind and a scope; gives what is new.

    Row, journal and ledger record are one transaction of the caller's; the records come last, with
    those of what others told the journal and could not record.
    """
    at = datetime.now(UTC)
    told = [
        refusals.Refusal(kind, patient, scope, at, channel, "patient", at) for kind, scope in said
    ]
    new = refusals.record(connection, journal, told)
    pay(connection, keyring, told={one.what for one in told})
    return new
