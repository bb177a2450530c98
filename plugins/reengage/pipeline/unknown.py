"""Unknown: letters of which nobody knows whether the relay took them, until somebody finds out.

A letter is `unknown` when its task or its connection died after the first octet of its content. No
retry and no run ever changes that: evidence is looked for first (traces.py), then a person decides.
The decision, who took it and on what ground are recorded with a disclosure record that supersedes
the letter's last (LOG-12, SEC-15), in the transaction that changes its state, which must still be
`unknown`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.errors import ReengageError, StoreError
from reengage.keys import Keyring
from reengage.pipeline import reported
from reengage.pipeline.deposits import remove
from reengage.pipeline.superseding import supersede
from reengage.pipeline.traces import Trace
from reengage.return_path import envid_of

Verdict = Literal["sent", "refused"]
DAYS = 3
"""After how many days an alert is due where the campaign's file is not there to say."""
NAMED = 5
"""Letters that an alert has room for."""
REASONS: Mapping[Verdict, str | None] = {"sent": None, "refused": "resolved_as_refused"}


class UnresolvedError(ReengageError):
    """Somebody must find out what became of letters (docs/runbook.md, Unknown)."""


@dataclass(frozen=True)
class Unknown:
    """A letter that may have been delivered."""

    letter_id: UUID
    campaign: str
    campaign_date: date
    reason: str
    message_id: str
    since: datetime
    """When it was last at work, by the store's clock."""
    days: int
    """Whole days since then."""


@dataclass(frozen=True)
class Finding:
    """What the traces say of a letter that is `unknown`."""

    letter: Unknown
    says: Verdict
    traces: Sequence[Trace]
    """All of it, the one that decides first."""

    @property
    def ground(self) -> str:
        """In words, for the record: kinds and codes only."""
        return "; ".join(dict.fromkeys(f"{one.kind}: {one.detail}" for one in self.traces))[:200]


def list_unknown(connection: Connection) -> list[Unknown]:
    """Every letter that is `unknown`, the oldest first."""
    found = connection.execute(
        text(
            "SELECT letter_id, campaign, campaign_date, reason, message_id, settled_at,"
            " extract(day FROM clock_timestamp() - settled_at)::int AS days"
            " FROM letter WHERE is_unknown ORDER BY settled_at, letter_id"
        )
    )
    return [
        Unknown(
            row.letter_id,
            row.campaign,
            row.campaign_date,
            row.reason or "",
            row.message_id,
            row.settled_at,
            row.days,
        )
        for row in found
    ]


def match(keyring: Keyring, letters: Iterable[Unknown], traces: Iterable[Trace]) -> list[Finding]:
    """What the traces say of these letters; letters without a trace are left out. Pure."""
    by_name: dict[str, Unknown] = {}
    for letter in letters:
        by_name[letter.message_id] = by_name[envid_of(keyring, letter.letter_id)] = letter
    found: dict[UUID, list[Trace]] = {}
    for trace in traces:
        named = trace.letter if trace.letter.startswith("<") else trace.letter.lower()
        if named in by_name:
            found.setdefault(by_name[named].letter_id, []).append(trace)
    known = {letter.letter_id: letter for letter in by_name.values()}
    ordered = {one: sorted(said, key=lambda t: -t.weight) for one, said in found.items()}
    return [Finding(known[one], said[0].says, said) for one, said in ordered.items()]


def resolve(
    connection: Connection, keyring: Keyring, letter_id: UUID, verdict: Verdict, ground: str
) -> None:
    """Say what became of a letter; the caller records who did, in the same transaction, next.

    Raises StoreError when the letter is not `unknown` any more or never was, LedgerError when its
    last record cannot be told.
    """
    moved = connection.execute(
        text(
            "UPDATE letter SET state = :state, reason = :reason, settled_at = clock_timestamp(),"
            " evidence = coalesce(evidence, '{}') || CAST(:said AS jsonb)"
            " WHERE letter_id = :letter_id AND state = 'unknown' AND rehearsal IS NULL"
            " RETURNING patient, reason, evidence, campaign, campaign_date"
        ),
        {
            "letter_id": letter_id,
            "state": verdict,
            "reason": REASONS[verdict],
            "said": json.dumps({"resolved": verdict}),
        },
    ).one_or_none()
    if moved is None:
        raise StoreError(
            f"letter {letter_id} is not `unknown`, so there is nothing to resolve; look at"
            " `python -m reengage unknown list`"
        )
    reported.forget(connection, moved.campaign, moved.campaign_date)
    if verdict == "refused":
        remove(connection, [letter_id])
    supersede(
        connection,
        keyring,
        moved.patient,
        letter_id,
        outcome=verdict,
        reason=moved.reason,
        transport={**moved.evidence, "ground": ground},
    )


def overdue(letters: Iterable[Unknown], alert_days: Mapping[str, int]) -> list[Unknown]:
    """Those that have been `unknown` for longer than their campaign allows. Pure."""
    return [one for one in letters if one.days >= alert_days.get(one.campaign, DAYS)]


def require_resolved(late: Sequence[Unknown]) -> None:
    """Raises UnresolvedError with counts and ids: an alert, and never a resend."""
    if late:
        named = ", ".join(str(one.letter_id) for one in late[:NAMED])
        more = f" and {len(late) - NAMED} more" if len(late) > NAMED else ""
        raise UnresolvedError(
            f"{len(late)} letters are still `unknown` (oldest: {max(one.days for one in late)}"
            f" days): {named}{more}; find out what became of them with `python -m reengage unknown"
            " evidence` and resolve them; they are never sent again"
        )
