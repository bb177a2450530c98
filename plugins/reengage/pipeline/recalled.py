"""Recalled: no letter goes twice because the store came back from a backup (SEC-08, ADR 0046).

What became of letters since is known from the ledger's entries that the archive gave back and from
traces of the relay's; of a letter whose row came back and of which nothing is known, nobody can say
whether it left since, so that it is `unknown`. A letter whose row is lost is composed once more
with the same Message-ID, recognized by it, and takes up what became of it instead of being offered.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from reengage.campaigns import load_campaigns
from reengage.errors import StoreError
from reengage.keys import Keyring
from reengage.opt_outs import link_digest, opt_out_token
from reengage.pipeline.composing import identity_of
from reengage.pipeline.deposits import OPT_OUT_YEARS
from reengage.pipeline.disclosure import disclose, intend
from reengage.pipeline.run import Run
from reengage.pipeline.superseding import supersede
from reengage.pipeline.traces import Trace
from reengage.settings import Settings
from reengage.sql import load_sql

REASON = "store_restored"


@dataclass(frozen=True)
class Settled:
    """What is known of letters after a restore; numbers only."""

    recorded: int
    """Letters whose row took up what the ledger says became of it since."""
    unknown: int
    """Letters that were open, of which nobody knows."""
    lost: int
    """Letters without a row, to be recognized when they are composed again."""


def settle_restored(
    connection: Connection, settings: Settings, keyring: Keyring, *, first: int
) -> Settled:
    """Settle every letter that may have left since the backup, in the caller's transaction, last.

    `first` is the index of the first entry that the backup did not have. Raises StoreError where a
    campaign's file is gone that letters are open of.
    """
    said = connection.execute(
        text(load_sql(settings.home, "backup/recorded_since.sql")), {"first": first}
    ).all()
    known = _take_up_rows(connection, said)
    lost = [row for row in said if row.letter_id not in known and row.outcome != "withheld"]
    for row in lost:
        _keep(connection, row.message_id, row.letter_id, row.outcome, row.reason)
    _leave_links(connection, settings, keyring, [row for row in lost if row.period is not None])
    unknown = _doubt(connection, settings, keyring)
    return Settled(len(known), unknown, len(lost))


def note_traces(connection: Connection, traces: Iterable[Trace]) -> int:
    """Keep what the relay's traces say of letters that have no row; gives how many those are.

    One that names no Message-ID says nothing of a letter whose row is lost.
    """
    found = {one.letter: one for one in sorted(traces, key=lambda one: one.weight)}
    named = [one for name, one in found.items() if name.startswith("<")]
    known = set(
        connection.execute(
            text(
                "SELECT message_id FROM letter WHERE message_id = ANY(CAST(:ids AS text[]))"
                " UNION SELECT message_id FROM lost_letter"
            ),
            {"ids": [one.letter for one in named]},
        ).scalars()
    )
    new = [one for one in named if one.letter not in known]
    for one in new:
        _keep(connection, one.letter, None, one.says, None)
    return len(new)


def take_up(connection: Connection, run: Run, message_ids: Sequence[object]) -> int:
    """Let the run's letters that were composed again be what they became; gives how many.

    In the transaction that composed them. The record that the ledger has of one stays its last
    word; of one that only a trace is known of, intent and disclosure are appended.
    """
    if run.rehearsal is not None:
        return 0
    found = connection.execute(
        text(
            "UPDATE letter SET letter_id = coalesce(lost.letter_id, letter.letter_id),"
            " state = CASE lost.outcome WHEN 'deferred' THEN 'unknown' ELSE lost.outcome END,"
            " reason = coalesce(lost.reason, :reason), settled_at = clock_timestamp()"
            " FROM lost_letter AS lost WHERE lost.message_id = letter.message_id"
            " AND letter.message_id = ANY(CAST(:ids AS text[]))"
            " AND letter.sender_run_id = :run AND letter.state = 'composed'"
            " RETURNING letter.letter_id, letter.campaign, letter.patient, letter.period,"
            " lost.outcome, lost.letter_id AS recorded, lost.message_id"
        ),
        {"ids": list(message_ids), "run": run.run_id, "reason": REASON},
    ).all()
    if not found:
        return 0
    connection.execute(
        text(
            "UPDATE lost_letter SET taken_at = clock_timestamp()"
            " WHERE message_id = ANY(CAST(:ids AS text[]))"
        ),
        {"ids": [row.message_id for row in found]},
    )
    _leave_links(connection, run.settings, run.keyring, found)
    _record(connection, run, [row.letter_id for row in found if row.recorded is None])
    for row in found:
        if row.outcome == "deferred":
            supersede(
                connection, run.keyring, row.patient, row.letter_id, outcome="unknown",
                reason=REASON,
            )  # fmt: skip
    return len(found)


def _take_up_rows(connection: Connection, said: Sequence[Row[Any]]) -> set[UUID]:
    """Of a letter put off since, nobody knows whether it left after that: it stays open here."""
    known = set()
    for row in said:
        final = row.outcome != "deferred"
        found = connection.execute(
            text(
                "UPDATE letter SET state = :outcome, reason = :reason,"
                " evidence = CAST(:evidence AS jsonb), settled_at = clock_timestamp()"
                " WHERE letter_id = :letter_id AND rehearsal IS NULL"
                if final
                else "SELECT FROM letter WHERE letter_id = :letter_id AND rehearsal IS NULL"
            ),
            {
                "outcome": row.outcome,
                "reason": row.reason,
                "evidence": json.dumps(row.transport) if row.transport is not None else None,
                "letter_id": row.letter_id,
            },
        )
        if found.rowcount:
            known.add(row.letter_id)
    return known


def _keep(
    connection: Connection, message_id: str, letter: UUID | None, outcome: str, reason: str | None
) -> None:
    connection.execute(
        text(
            "INSERT INTO lost_letter (message_id, letter_id, outcome, reason)"
            " VALUES (:message_id, :letter, :outcome, :reason) ON CONFLICT (message_id) DO NOTHING"
        ),
        {"message_id": message_id, "letter": letter, "outcome": outcome, "reason": reason},
    )


def _doubt(connection: Connection, settings: Settings, keyring: Keyring) -> int:
    """Every letter that is still open may have left since: `unknown`, each with its record."""
    found = connection.execute(
        text(
            "UPDATE letter SET state = 'unknown', reason = :reason, settled_at = clock_timestamp(),"
            " outcome = NULL, claim = NULL WHERE is_open AND rehearsal IS NULL"
            " RETURNING letter_id, campaign, patient, period, sender_run_id, campaign_date"
        ),
        {"reason": REASON},
    ).all()
    if not found:
        return 0
    _leave_links(connection, settings, keyring, found)
    campaigns = {one.slug: one for one in load_campaigns(settings.home)[0]}
    by_run: dict[UUID, list[Row[Any]]] = {}
    for row in found:
        by_run.setdefault(row.sender_run_id, []).append(row)
    for run_id, rows in by_run.items():
        slug = rows[0].campaign
        if slug not in campaigns:
            raise StoreError(
                f"letters of campaign {slug} are open in the backup, and its file is gone or"
                " broken; put it back as the backup's files/ have it, then repeat"
            )
        run = Run(run_id, rows[0].campaign_date, "live", campaigns[slug], settings)
        _record(connection, run, [row.letter_id for row in rows])
    return len(found)


def _record(connection: Connection, run: Run, letters: Sequence[UUID]) -> None:
    """Intent, where the ledger has none, and disclosure of letters that may have been offered."""
    if not letters:
        return
    intended = set(
        connection.execute(
            text(load_sql(run.settings.home, "backup/intended.sql")), {"letters": list(letters)}
        ).scalars()
    )
    baa_id = connection.execute(
        text("SELECT baa_id FROM run WHERE run_id = :run"), {"run": run.run_id}
    ).scalar_one()
    intend(connection, run, [one for one in letters if one not in intended], baa_id)
    disclose(connection, run, list(letters))


def _leave_links(
    connection: Connection, settings: Settings, keyring: Keyring, rows: Sequence[Row[Any]]
) -> None:
    """What left since has opt-out links in it, and they go on opting out (EML-26)."""
    if not rows:
        return
    until = settings.now() + timedelta(days=366 * OPT_OUT_YEARS)
    connection.execute(
        text(
            "INSERT INTO opt_out_link (token, patient, campaign, valid_until)"
            " VALUES (:token, :patient, :campaign, :until) ON CONFLICT (token) DO NOTHING"
        ),
        [
            {
                "token": link_digest(opt_out_token(keyring, _identity(row))),
                "patient": row.patient,
                "campaign": row.campaign,
                "until": until,
            }
            for row in rows
        ],
    )


def _identity(row: Row[Any]) -> str:
    return identity_of(row.campaign, row.patient, row.period)
