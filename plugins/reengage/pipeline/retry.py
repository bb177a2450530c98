"""Retry: when a letter that a relay put off is tried again (RFC 5321 section 4.5.4.1).

Not in the same breath: after half an hour, then after twice as long each time, up to three hours,
as the campaign's `retry` says; and only as long as it is of use. What falls outside the run's day,
after the letter is too late or where the clock is pinned is left to the campaign's next run.
Whether the send window is open then, where the patient lives, is looked at when the time has come.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from reengage.pipeline.run import Run, local_day


def plan_next_try(connection: Connection, run: Run, letters: Sequence[UUID]) -> None:
    """Say when those of these letters that are `deferred` may be tried again.

    Call it in the transaction that settles them, for those that a relay put off.
    """
    if not letters:
        return
    found = connection.execute(
        text(
            "UPDATE letter SET tries = tries + 1"
            " WHERE letter_id = ANY(CAST(:ids AS uuid[])) AND state = 'deferred'"
            " RETURNING letter_id, tries"
        ),
        {"ids": list(letters)},
    ).all()
    now = run.settings.now()
    connection.execute(
        text(
            "UPDATE letter SET next_try_at = planned.at"
            " FROM unnest(CAST(:ids AS uuid[]), CAST(:instants AS timestamptz[]))"
            " AS planned (id, at)"
            " WHERE letter_id = planned.id"
        ),
        {
            "ids": [row.letter_id for row in found],
            "instants": [now + run.campaign.retry.pause(row.tries) for row in found],
        },
    )


def next_try(connection: Connection, run: Run, chunk: int, token: UUID) -> datetime | None:
    """When this run may try the first of the chunk's letters that were put off; else None.

    What the try of this token put off is `open_letters`' to pass over, also where it is due by now.
    """
    if run.settings.pinned_now is not None:
        return None
    found = connection.execute(
        text(
            "SELECT min(next_try_at) FROM letter"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND rehearsal IS NULL"
            " AND state = 'deferred' AND next_try_at < expires_at"
            " AND (next_try_at > :now OR claim = :token)"
        ),
        {"run_id": run.run_id, "chunk": chunk, "now": run.settings.now(), "token": token},
    )
    at: datetime | None = found.scalar_one()
    return at if at is not None and local_day(at, run.campaign) == run.day else None
