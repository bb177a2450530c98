"""Complaints: a campaign that too many patients call spam stops until a person goes on with it.

Looked at before a run opens (preflight): complaints come back hours and days after the letters, so
that the run that caused them is over. Mailbox providers ask senders to stay below 0.3 % (Google and
Yahoo, sender requirements of 2024), above which they turn away everybody's letters. Counted are the
campaign's letters of the last days and the complaints about them, from when a person last went on.
Who did is a row in the store and a record in the ledger, in one transaction (SEC-15).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Connection, text

from reengage.campaigns import Campaign
from reengage.delivery import Complaints
from reengage.errors import GateError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import access
from reengage.pipeline.run import Run
from reengage.sql import load_sql


@dataclass(frozen=True)
class Seen:
    """A campaign's letters of the last days that left, and how many of them were called spam."""

    letters: int
    complaints: int

    def is_too_much(self, limits: Complaints) -> bool:
        """Whether the campaign stops."""
        return self.complaints >= limits.at_least and self.complaints >= limits.share * self.letters


def seen(connection: Connection, home: Path, campaign: str, day: date, limits: Complaints) -> Seen:
    """What is to be looked at as of a day."""
    row = connection.execute(
        text(load_sql(home, "outbox/complaints.sql")),
        {"campaign": campaign, "day": day, "since": day - timedelta(days=limits.within_days)},
    ).one()
    return Seen(row.letters, row.complaints)


def stopped(connection: Connection, home: Path, campaign: Campaign, day: date) -> Seen | None:
    """What stops a campaign's runs of this day; None where nothing does.

    Letters are counted only where there are complaints enough: a page asks this often.
    """
    limits = campaign.complaints
    if limits is None:
        return None
    since = {"slug": campaign.slug, "since": day - timedelta(days=limits.within_days)}
    few = connection.execute(
        text(
            "SELECT count(*) < :least FROM response r JOIN letter l ON l.letter_id = r.letter_id"
            " WHERE r.verdict = 'complaint' AND l.campaign = :slug AND l.campaign_date > :since"
        ),
        {**since, "least": limits.at_least},
    ).scalar_one()
    if few:
        return None
    found = seen(connection, home, campaign.slug, day, limits)
    return found if found.is_too_much(limits) else None


def require_few(run: Run) -> None:
    """Raises GateError where too many of the campaign's letters were called spam."""
    limits = run.campaign.complaints
    if limits is None or run.mode != "live":
        return
    with run.store.connect() as connection:
        found = stopped(connection, run.settings.home, run.campaign, run.day)
    if found:
        slug = run.campaign.slug
        raise GateError(
            f"{found.complaints} of {found.letters} letters of {slug} in {limits.within_days} days"
            f" were called spam; expected fewer than {limits.share:.1%}; find out why (docs/"
            f"responses.md), then `python -m reengage suppressions continue {slug} --because ...`"
        )


def go_on(
    connection: Connection,
    keyring: Keyring,
    campaign: Campaign,
    day: date,
    *,
    by: str,
    because: str,
) -> None:
    """A person goes on with a campaign: letters up to `day` are no longer looked at.

    In the caller's transaction, with its record in the ledger.
    """
    connection.execute(
        text(
            "INSERT INTO complaints_seen (campaign, until, seen_by, because)"
            " VALUES (:campaign, :day, :by, :because)"
        ),
        {"campaign": campaign.slug, "day": day, "by": by, "because": because},
    )
    detail = {"until": day.isoformat(), "ground": because}
    of = f"complaints/{campaign.slug}"
    append(connection, keyring, [access(actor=by, action="approved", of=of, detail=detail)])
