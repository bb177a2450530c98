"""Decided: what people decided since a backup holds in the store that came back from it.

Approvals, rejections and pauses of campaigns are taken from the ledger's entries that the archive
gave back; letters that were closed at the portal from those and from the journal. What was decided
after the newest checkpoint nobody can know, a pause least of all. So every campaign is paused, on
record, until a person has looked and lets it go on: what `restore` prints is what holds (SEC-08).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from reengage.keys import Keyring
from reengage.pipeline import holds
from reengage.portal.pickup import MOST
from reengage.sql import load_sql

REASON = "the store came back from a backup; look at docs/backup.md, After a restore"


@dataclass(frozen=True)
class Decided:
    """What holds again; numbers only."""

    approvals: int
    """Approvals and rejections of the ledger's."""
    pauses: int
    """Pauses and resumptions of the ledger's."""
    closed: int
    """Letters at the portal that nobody opens."""
    held: tuple[str, ...]
    """Campaigns that wait for a person now, by slug, and did not before."""


def recall(connection: Connection, keyring: Keyring, home: Path, *, first: int, by: str) -> Decided:
    """Take up what was decided, and pause every campaign, in the transaction that opens the store.

    `first` is the index of the first entry that the backup did not have.
    """
    since = {"first": first}
    approvals, pauses = (
        connection.execute(text(load_sql(home, f"backup/{name}.sql")), since).rowcount
        for name in ("approvals_since", "pauses_since")
    )
    for name in ("incidents_since", "reopened_since"):
        connection.execute(text(load_sql(home, f"backup/{name}.sql")), since)
    closed = connection.execute(
        text(load_sql(home, "backup/closed_at_the_portal.sql")), {"most": MOST}
    ).rowcount
    held = []
    for slug in _campaigns(connection, home):
        if not holds.is_paused(connection, slug):
            holds.decide(connection, keyring, slug, pause=True, by=by, reason=REASON)
            held.append(slug)
    return Decided(approvals, pauses, closed, tuple(held))


def _campaigns(connection: Connection, home: Path) -> list[str]:
    """All that there are files of, also broken ones, and all that letters are of."""
    found = connection.execute(text("SELECT DISTINCT campaign FROM run")).scalars()
    return sorted({*found, *(path.stem for path in (home / "campaigns").glob("*.yaml"))})
