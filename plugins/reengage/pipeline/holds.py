"""Holds: a campaign that somebody paused, and lets go on, each with a reason, on record.

A pause is a row in the store, read in the transaction of every claim: it wins from the next claim
on, in a run under way, too. What was claimed by then, at most a batch per chunk, is finished. A run
of a paused campaign does everything but claim: its letters are left to a later run, last look
included, and those that are too late by then are withheld as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from reengage.errors import ConfigurationError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import access

REASON = "campaign_paused"
"""Reason of the letters that a paused campaign leaves to a later run."""


@dataclass(frozen=True)
class Hold:
    """What somebody decided about a campaign last."""

    campaign: str
    paused: bool
    by: str
    reason: str
    at: datetime


def decide(
    connection: Connection,
    keyring: Keyring,
    campaign: str,
    *,
    pause: bool,
    by: str,
    reason: str,
    account: str | None = None,
) -> Hold:
    """Pause the campaign, or let it go on. Call it last in the caller's transaction.

    `reason` names nobody (grounds.tidy); the caller knows that there is such a campaign. Raises
    ConfigurationError where it stands so already, so that nobody believes to have done it.
    """
    # Two who decide at once are told apart.
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('campaign_pause'), hashtext(:campaign))"),
        {"campaign": campaign},
    )
    if is_paused(connection, campaign) == pause:
        raise ConfigurationError(
            f"campaign {campaign!r} is {'paused' if pause else 'not paused'} already;"
            " `python -m reengage campaign list` says by whom"
        )
    at = connection.execute(
        text(
            "INSERT INTO campaign_pause (campaign, paused, decided_by, reason)"
            " VALUES (:campaign, :paused, :by, :reason) RETURNING decided_at"
        ),
        {"campaign": campaign, "paused": pause, "by": by, "reason": reason},
    ).scalar_one()
    detail = {"reason": reason} | ({"account": account} if account else {})
    action = "paused" if pause else "resumed"
    record = access(actor=by, action=action, of=f"campaign/{campaign}", detail=detail)
    append(connection, keyring, [record])
    return Hold(campaign, pause, by, reason, at)


def is_paused(connection: Connection, campaign: str) -> bool:
    """Whether no letter of the campaign may be claimed."""
    found = connection.execute(
        text(
            "SELECT paused FROM campaign_pause WHERE campaign = :campaign"
            " ORDER BY number DESC LIMIT 1"
        ),
        {"campaign": campaign},
    ).scalar_one_or_none()
    return found is True


def latest(connection: Connection) -> dict[str, Hold]:
    """The last decision about each campaign that there was one about, by its slug."""
    found = connection.execute(
        text(
            "SELECT DISTINCT ON (campaign) campaign, paused, decided_by, reason, decided_at"
            " FROM campaign_pause ORDER BY campaign, number DESC"
        )
    )
    return {row.campaign: Hold(*row) for row in found}
