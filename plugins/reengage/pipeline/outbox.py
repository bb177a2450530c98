"""Outbox: the states of a letter, each change guarded in SQL by the state it leaves.

    composed | deferred -> claimed                  (here, with the ledger's intent)
    claimed -> attempted -> answered -> sent | refused | deferred | unknown    (attempts.py)
    composed | deferred -> withheld                 (the last look, or too late)
    composed | deferred -> deferred                 (its send window is closed)
    composed            -> rehearsed                (the letter of a dry run or a replay, no other)

No other change is possible through these functions, and what became of a letter is recorded in the
ledger by the same transaction. Each attempt carries the claim it was made under, and each claim the
store's incarnation (attempts.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from reengage.database import read_whole
from reengage.errors import StoreError
from reengage.keys import DataKey
from reengage.pipeline import holds
from reengage.pipeline.addressed import Addressed
from reengage.pipeline.attempts import incarnation
from reengage.pipeline.composing import identity_of
from reengage.pipeline.decide import recipient_pseudonym
from reengage.pipeline.deposits import leave, remove
from reengage.pipeline.disclosure import disclose, intend
from reengage.pipeline.run import Run
from reengage.refusals import purpose_scope
from reengage.sql import load_sql

BATCH = 100
"""Letters claimed at once: the last look at a batch must not be older than a minute (claim.sql)."""


_Keys = dict[UUID, DataKey]


@dataclass(frozen=True)
class Queued:
    """A letter of the outbox, opened. `recipient` is the address's pseudonym."""

    letter_id: UUID
    identity: str
    letter: Addressed
    recipient: str
    expires_at: datetime


@dataclass(frozen=True)
class Draft:
    """A composed letter that was not checked yet, opened."""

    letter_id: UUID
    identity: str
    letter: Addressed


def clock(connection: Connection) -> datetime:
    """The store's clock: what is compared with its own instants must come from it."""
    instant: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return instant


def drafts(connection: Connection, run: Run, chunk: int, limit: int) -> Iterator[Draft]:
    """Up to `limit` letters of the chunk that wait for their check, opened as they are asked for.

    They come through a cursor of the caller's transaction: memory holds a batch of them sealed, and
    opened what the caller keeps.
    """
    keys: _Keys = {}
    read_whole(connection)
    with connection.execute(
        text(
            "SELECT letter_id, run_id, campaign, patient, period, sealed FROM letter"
            " WHERE sender_run_id = :run_id AND chunk = :chunk"
            " AND state = 'composed' AND checked_at IS NULL ORDER BY letter_id LIMIT :limit"
        ),
        {"run_id": run.run_id, "chunk": chunk, "limit": limit},
        execution_options={"yield_per": BATCH},
    ) as found:
        for row in found:
            yield Draft(row.letter_id, _identity(row), _opened(run, row, keys))


def mark_checked(connection: Connection, checked: Sequence[UUID]) -> None:
    """These letters passed their check: only such a letter can be claimed."""
    connection.execute(
        text(
            "UPDATE letter SET checked_at = clock_timestamp()"
            " WHERE letter_id = ANY(CAST(:ids AS uuid[])) AND state = 'composed'"
        ),
        {"ids": list(checked)},
    )


def withhold_too_late(connection: Connection, run: Run, chunk: int | None = None) -> int:
    """Withhold open letters whose time has passed; gives how many.

    Of the chunk, before they are opened: shred may have destroyed the key of one. Without a chunk,
    of the campaign: rehearsals that were never played, and for a live run the real ones. Those
    claimed or attempted are for `recover`.
    """
    withheld = connection.execute(
        text(
            "UPDATE letter SET state = 'withheld', reason = 'too_late',"
            " settled_at = clock_timestamp()"
            " WHERE campaign = :campaign AND is_open AND state IN ('composed', 'deferred')"
            " AND expires_at <= :now AND CASE WHEN CAST(:chunk AS int) IS NULL"
            " THEN rehearsal IS NOT NULL OR :live"
            " ELSE rehearsal IS NULL AND sender_run_id = :run_id AND chunk = :chunk END"
            " RETURNING letter_id"
        ),
        {
            "campaign": run.campaign.slug,
            "now": run.settings.now(),
            "live": run.mode == "live",
            "run_id": run.run_id,
            "chunk": chunk,
        },
    ).scalars()
    ids = list(withheld)
    remove(connection, ids)
    return disclose(connection, run, ids)


def open_letters(
    connection: Connection, run: Run, chunk: int, token: UUID | None = None
) -> list[Queued]:
    """Up to `BATCH` letters of the chunk that the try of this token has not put off, opened.

    A live run has real letters only, a rehearsal only its own: a run may be cleared on a later day.
    """
    found = connection.execute(
        text(
            "SELECT letter_id, run_id, campaign, patient, period, sealed, expires_at FROM letter"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND is_open"
            " AND checked_at IS NOT NULL"
            " AND rehearsal IS NOT DISTINCT FROM CAST(:rehearsal AS uuid)"
            " AND (state = 'composed' OR (state = 'deferred'"
            " AND (CAST(:token AS uuid) IS NULL OR claim IS DISTINCT FROM :token)))"
            " AND (next_try_at IS NULL OR next_try_at <= :now)"
            " AND (held_until IS NULL OR held_until <= clock_timestamp())"
            " ORDER BY letter_id LIMIT :limit"
        ),
        {
            "run_id": run.run_id,
            "chunk": chunk,
            "rehearsal": run.rehearsal,
            "token": token,
            "now": run.settings.now(),
            "limit": BATCH,
        },
    ).all()
    keys: _Keys = {}
    return [_queued(run, row, keys) for row in found]


def claim(
    connection: Connection,
    run: Run,
    letters: Sequence[Queued],
    *,
    token: UUID,
    denied: Mapping[UUID, str],
    consents: Mapping[UUID, Mapping[str, str | None]],
    warehouse_read_at: datetime,
    baa_id: str,
    verified: Mapping[UUID, str] | None = None,
    on_file: Mapping[UUID, str] | None = None,
    verifiers: Mapping[UUID, bytes] | None = None,
) -> list[Queued]:
    """Claim letters under `token`; those that may no longer go become `withheld`, with the reason.

    The ledger has the intent to offer them, under this agreement, in the same transaction, and the
    portal what is to be picked up there. `denied` is the warehouse's last word, letter to reason,
    read at `warehouse_read_at`; `consents` purpose to the signing of the form that counts: a
    revocation of it that we know of counts from then on, and any where the letter is not in it
    (PRV-06); `verified` when the address was confirmed (PRV-23); `on_file` the pseudonym of the
    address that the warehouse has, where it is not the letter's (PRV-21); `verifiers` what opens
    those that wait at the portal. Until the caller's transaction ends no other claim looks at these
    patients, of whichever campaign: the later one sees this one's letters and keeps to its caps.
    Of a paused campaign none are claimed. Raises StoreError when nothing moved.
    """
    if holds.is_paused(connection, run.campaign.slug):
        return []
    _lock_patients(connection, run, letters)
    moved = connection.execute(
        text(load_sql(run.settings.home, "outbox/claim.sql")),
        {
            "letter_ids": [one.letter_id for one in letters],
            "recipients": [one.recipient for one in letters],
            "reasons": [denied.get(one.letter_id) for one in letters],
            "consents": [
                json.dumps(found) if (found := consents.get(one.letter_id)) else None
                for one in letters
            ],
            "verified": [(verified or {}).get(one.letter_id) for one in letters],
            "on_file": [(on_file or {}).get(one.letter_id, one.recipient) for one in letters],
            "claim": token,
            "incarnation": incarnation(connection),
            "warehouse_read_at": warehouse_read_at,
            **_rules(run),
        },
    ).all()
    if letters and not moved:
        raise StoreError(
            "no letter of the batch could be claimed: the warehouse took longer than a minute to"
            " answer, or another try of this task is at work; clear the task when that has ended"
        )
    _withhold(connection, run, [row.letter_id for row in moved if row.state == "withheld"])
    ids = {row.letter_id for row in moved if row.state != "withheld"}
    claimed = [one for one in letters if one.letter_id in ids]
    leave(connection, run, claimed, verifiers or {})
    intend(connection, run, sorted(ids), baa_id)
    return claimed


def _withhold(connection: Connection, run: Run, letters: Sequence[UUID]) -> None:
    remove(connection, letters)
    disclose(connection, run, letters)


def _lock_patients(connection: Connection, run: Run, letters: Sequence[Queued]) -> None:
    connection.execute(
        text(load_sql(run.settings.home, "outbox/claim_lock.sql")),
        {"letter_ids": [one.letter_id for one in letters]},
    )


def _rules(run: Run) -> dict[str, object]:
    """What the claim holds every letter of the run to."""
    return {
        "now": run.settings.now(),
        "purpose": run.campaign.purpose,
        "purpose_scope": purpose_scope(run.campaign.purpose),
        "cap_days": run.campaign.caps.days_between_letters,
        "any_cap_days": run.campaign.caps.days_after_any_letter,
    }


def defer(connection: Connection, letters: Sequence[Queued], reason: str, *, token: UUID) -> None:
    """Leave these letters for a later try than this; a deferred one keeps its own reason."""
    connection.execute(
        text(
            "UPDATE letter SET state = 'deferred', settled_at = clock_timestamp(),"
            " next_try_at = NULL, claim = :token,"
            " reason = CASE WHEN state = 'deferred' THEN coalesce(reason, :reason)"
            " ELSE :reason END"
            " WHERE letter_id = ANY(CAST(:ids AS uuid[])) AND rehearsal IS NULL"
            " AND checked_at IS NOT NULL AND state IN ('composed', 'deferred')"
        ),
        {"ids": [one.letter_id for one in letters], "reason": reason, "token": token},
    )


def defer_open(connection: Connection, run: Run, chunk: int, reason: str) -> int:
    """Leave the chunk's composed letters for a later run; a deferred one keeps its own reason."""
    return connection.execute(
        text(
            "UPDATE letter SET state = 'deferred', reason = :reason, settled_at = clock_timestamp()"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND checked_at IS NOT NULL"
            " AND rehearsal IS NULL AND state = 'composed'"
        ),
        {"run_id": run.run_id, "chunk": chunk, "reason": reason},
    ).rowcount


def mark_rehearsed(connection: Connection, letters: Sequence[Queued]) -> None:
    """These letters were written where a dry run leaves them."""
    connection.execute(
        text(
            "UPDATE letter SET state = 'rehearsed', settled_at = clock_timestamp()"
            " WHERE letter_id = ANY(CAST(:ids AS uuid[])) AND rehearsal IS NOT NULL"
            " AND state = 'composed'"
        ),
        {"ids": [one.letter_id for one in letters]},
    )


def _queued(run: Run, row: Row[Any], keys: _Keys) -> Queued:
    letter = _opened(run, row, keys)
    recipient = recipient_pseudonym(run, letter.recipient)
    return Queued(row.letter_id, _identity(row), letter, recipient, row.expires_at)


def _opened(run: Run, row: Row[Any], keys: _Keys) -> Addressed:
    """The letter; the keys of the runs that composed a batch are opened once."""
    if row.run_id not in keys:
        keys[row.run_id] = run.keyring.data_key(row.run_id)
    return Addressed.from_bytes(
        keys[row.run_id].open(row.sealed, bound_to=f"letter/{_identity(row)}")
    )


def _identity(row: Row[Any]) -> str:
    return identity_of(row.campaign, row.patient, row.period)
