"""Letters: which of ours a message is about, by the names that it gives and by nothing else.

A name that is not ours matches nothing; names of two letters match neither: whoever wrote such a
message has put it together.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.keys import Keyring
from reengage.responses.recognise import Names
from reengage.return_path import letter_of, letter_of_envid

Doubt = Literal["unnamed", "contradictory", "not_out", "under_way"]


@dataclass(frozen=True)
class Returned:
    """A letter of ours that has left, as far as a message about it may touch it."""

    letter_id: UUID
    campaign: str
    campaign_date: date
    patient: str
    recipient: str
    """Keyed pseudonym of the address that it went to."""
    vendor: str
    state: str
    returned: str | None
    """Why it came back, where that is known already."""


def find_letter(connection: Connection, keyring: Keyring, names: Names) -> Returned | Doubt:
    """The one letter that the message names, or why there is none.

    `not_out`: one that we do not hold for sent. `under_way`: its outcome is not settled yet; ask
    again later.
    """
    ids = [found for one in names.envids if (found := letter_of_envid(keyring, one))]
    ids += [found for one in names.return_paths if (found := letter_of(keyring, one))]
    rows = connection.execute(
        text(
            "SELECT l.letter_id, l.campaign, l.campaign_date, l.patient, l.recipient_id, l.state,"
            " l.returned, r.vendor FROM letter l JOIN run r ON r.run_id = l.sender_run_id"
            " WHERE l.rehearsal IS NULL AND (l.letter_id = ANY(CAST(:ids AS uuid[]))"
            " OR l.message_id = ANY(CAST(:message_ids AS text[])))"
        ),
        {"ids": ids, "message_ids": list(names.message_ids)},
    ).all()
    # A letter that was withheld leaves its Message-ID to the one of another day.
    left = [row for row in rows if row.state not in ("composed", "withheld", "rehearsed")]
    if not left:
        return "not_out" if rows else "unnamed"
    if len(left) > 1:
        return "contradictory"
    [row] = left
    if row.state in ("claimed", "attempted", "answered"):
        return "under_way"
    if row.recipient_id is None or row.state not in ("sent", "unknown"):
        return "not_out"
    return Returned(
        row.letter_id, row.campaign, row.campaign_date, row.patient, row.recipient_id,
        row.vendor, row.state, row.returned,
    )  # fmt: skip
