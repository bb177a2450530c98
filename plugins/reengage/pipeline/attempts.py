"""Attempts: what becomes of claimed letters, one at a time and then by the batch.

    claimed   -> attempted           before the first octet of its content leaves
    attempted -> answered            the relay's answer is heard
    claimed   -> answered            its no came before the content
    answered  -> sent | refused | deferred | unknown    settled, by the batch, with its record
    attempted -> unknown             its try died: it may have been delivered
    claimed   -> composed            released: nothing of it was offered
    claimed   -> unknown             the database crashed since: its mark may be lost

A try holds the **lease** of its chunk: a lock of the session that does all its work. While it lives
nobody else touches the chunk; when its worker is killed the server ends the session and the lease
with it, and whoever held it can commit nothing more. So a zombie and its retry never work on the
same letters.

Marks and answers do not wait for the disk. They survive SIGKILL of the worker, because the server
has them. A crash of the server may lose the last of them (three times `wal_writer_delay`, 0.6 s):
each claim therefore names the **incarnation** of the store, an id in a table that PostgreSQL
empties when it recovers and that no standby has. It holds in one place only (`store_place`: server,
timeline, database, table), and a restored backup is in another. What was claimed under another
incarnation is `unknown`, never offered again: at most one batch for each connection (ADR 0025).
Claims, and what is settled, do wait.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg
from sqlalchemy import Connection, text

from reengage.errors import StoreError
from reengage.pipeline import breaker, retry
from reengage.pipeline.deposits import remove
from reengage.pipeline.disclosure import disclose
from reengage.pipeline.run import Run
from reengage.sql import load_sql

Outgoing = Literal["sent", "refused", "deferred", "unknown"]


class ClaimLostError(StoreError):
    """Another try holds this letter now; this one must not send it."""


@dataclass(frozen=True)
class Answer:
    """What became of one attempt."""

    letter_id: UUID
    outcome: Outgoing
    reason: str | None
    evidence: Mapping[str, object] = field(default_factory=dict)
    final_reply: bytes = field(default=b"", repr=False)
    """The relay's last words, which may quote an address."""


def lease(connection: Connection, run: Run, chunk: int) -> None:
    """Take the chunk for as long as this session lasts. Raises StoreError when another try has it.

    A worker that vanished with its machine is noticed by keepalives, within two minutes.
    """
    connection.execute(
        text(
            "SELECT set_config('tcp_keepalives_idle', '60', false),"
            " set_config('tcp_keepalives_interval', '15', false),"
            " set_config('tcp_keepalives_count', '4', false)"
        )
    )
    mine = connection.execute(
        text("SELECT pg_try_advisory_lock(chunk_lease(:run_id, :chunk))"),
        {"run_id": run.run_id, "chunk": chunk},
    ).scalar_one()
    connection.commit()
    if not mine:
        raise StoreError(
            f"another try is at work on chunk {chunk} of this run; it goes on alone, and when it"
            " has ended, clear the task if letters are left"
        )


def require_session(connection: Connection) -> None:
    """Raises StoreError where the session was lost, and the lease with it."""
    if connection.invalidated:
        raise StoreError(
            "the session in the store ended when all was said; what became of the letters is kept:"
            " clear the `send` task and it goes on"
        )


def incarnation(connection: Connection) -> UUID:
    """The store's, until it crashes or comes back from a backup."""
    asked = text("SELECT id FROM incarnation WHERE place = store_place()")
    found: UUID | None = connection.execute(asked).scalar_one_or_none()
    if found is not None:
        return found
    for statement in (
        "UPDATE incarnation SET id = gen_random_uuid(), place = store_place()"
        " WHERE place IS DISTINCT FROM store_place()",
        "INSERT INTO incarnation (id, place) VALUES (gen_random_uuid(), store_place())"
        " ON CONFLICT DO NOTHING",
    ):
        connection.execute(text(statement))
    made: UUID = connection.execute(asked).scalar_one()
    return made


def recover(connection: Connection, run: Run, chunk: int) -> int:
    """Settle what an earlier try of this chunk left: gives the number of letters now `unknown`.

    Call it with the lease held: no other try of the chunk is alive then.
    """
    settle_answered(connection, run, chunk)
    unknown = connection.execute(
        text(
            "UPDATE letter SET state = 'unknown', settled_at = clock_timestamp(), reason ="
            " CASE WHEN incarnation IS DISTINCT FROM :incarnation THEN 'database_crashed'"
            " ELSE 'interrupted_after_attempt' END"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND is_open"
            " AND (state = 'attempted'"
            " OR (state = 'claimed' AND incarnation IS DISTINCT FROM :incarnation))"
            " RETURNING letter_id"
        ),
        {"run_id": run.run_id, "chunk": chunk, "incarnation": incarnation(connection)},
    ).scalars()
    doubtful = disclose(connection, run, list(unknown))
    release(connection, run, chunk)
    return doubtful


def release(connection: Connection, run: Run, chunk: int, token: UUID | None = None) -> None:
    """Give back claims on which nothing was attempted: those letters were not offered to anyone.

    With a token only that try's own; without one, those of any earlier try.
    """
    released = connection.execute(
        text(
            "UPDATE letter SET state = 'composed', claim = NULL, claimed_at = NULL,"
            " incarnation = NULL"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND is_open AND state = 'claimed'"
            " AND (CAST(:claim AS uuid) IS NULL OR claim = :claim)"
            # After a crash of the database nobody knows what was attempted under a claim.
            " AND incarnation = (SELECT id FROM incarnation) RETURNING letter_id"
        ),
        {"run_id": run.run_id, "chunk": chunk, "claim": token},
    ).scalars()
    remove(connection, list(released))


def mark(
    connection: Connection,
    run: Run,
    token: UUID,
    *,
    answer: Answer | None = None,
    following: UUID | None = None,
) -> None:
    """Keep an answer and mark the letter that follows, at once and without waiting for the disk.

    Raises ClaimLostError when the letter that follows is not this try's any more; the answer is
    kept all the same.
    """
    said: dict[str, Any] = dict.fromkeys(("outcome", "reason", "evidence", "final_reply"))
    if answer is not None:
        said = {
            "outcome": answer.outcome,
            "reason": answer.reason,
            "evidence": json.dumps(dict(answer.evidence)),
            "final_reply": _sealed_reply(run, answer) if answer.final_reply else None,
        }
    driver: Any = connection.connection.driver_connection
    try:
        driver.autocommit = True  # costs nothing on the wire; refused within a transaction
        marked = driver.execute(
            load_sql(run.settings.home, "outbox/mark.sql"),
            {
                **said,
                "answered": answer.letter_id if answer else None,
                "next": following,
                "claim": token,
            },
        ).rowcount
        driver.autocommit = False
    except BaseException as error:
        # Whatever broke it off (Airflow's time limit may at any line): a session that was left in
        # autocommit would settle without a transaction.
        connection.invalidate()
        if not isinstance(error, psycopg.Error):
            raise
        # with the session the lease is gone, too
        kind = type(error).__name__
        raise StoreError(
            f"the store did not take the mark of a letter ({kind}); when it answers again, clear"
            " the `send` task"
        ) from None
    if following is not None and marked != 1:
        raise ClaimLostError(
            "the claim on a letter was released to another try; this one leaves it"
        )


def settle_answered(connection: Connection, run: Run, chunk: int) -> int:
    """Give the chunk's answered letters their final state, each with its disclosure record.

    In the caller's transaction, which waits for the disk; gives how many.
    """
    settled = connection.execute(
        text(
            "UPDATE letter SET state = outcome, settled_at = clock_timestamp()"
            " WHERE sender_run_id = :run_id AND chunk = :chunk AND is_open AND state = 'answered'"
            " RETURNING letter_id, outcome, reason"
        ),
        {"run_id": run.run_id, "chunk": chunk},
    ).all()
    remove(connection, [row.letter_id for row in settled if row.outcome == "refused"])
    put_off = [row.letter_id for row in settled if row.outcome == "deferred"]
    retry.plan_next_try(connection, run, put_off)
    breaker.note(connection, run, chunk, [(row.outcome, row.reason) for row in settled])
    return disclose(connection, run, sorted(row.letter_id for row in settled))


def in_use(connection: Connection, leases: Sequence[tuple[UUID, int]]) -> list[tuple[UUID, int]]:
    """Those of these chunks that a try is at work on; the others are this transaction's alone."""
    return [
        (run_id, chunk)
        for run_id, chunk in sorted(leases)
        if not connection.execute(
            text("SELECT pg_try_advisory_xact_lock(chunk_lease(:run_id, :chunk))"),
            {"run_id": run_id, "chunk": chunk},
        ).scalar_one()
    ]


def _sealed_reply(run: Run, answer: Answer) -> bytes:
    """As long as the day's decisions are kept."""
    return run.month_key.seal(answer.final_reply, bound_to=f"reply/{answer.letter_id}")
