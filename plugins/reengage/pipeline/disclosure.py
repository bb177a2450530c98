"""Disclosure: the record of each letter that was to leave, in the transaction that settles it.

Before a relay is spoken to, an intent names the letters; after, one disclosure record per letter
says what became of it (LOG-12, PRV-25). Both hold pseudonyms, digests, ids and codes only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from reengage.ledger.append import append
from reengage.ledger.records import Disclosure, Record, intent
from reengage.pipeline.run import Run

NOT_SENT = "none"
"""A letter that was offered to nobody."""


def intend(connection: Connection, run: Run, letters: Sequence[UUID], baa_id: str) -> None:
    """Record that these letters are about to be offered, under this agreement."""
    if letters:
        of = connection.execute(
            text(
                "SELECT letter_id, period FROM letter WHERE letter_id = ANY(CAST(:ids AS uuid[]))"
            ),
            {"ids": list(letters)},
        )
        periods = {row.letter_id: row.period for row in of}
        record = intent(
            run=run.run_id,
            campaign=run.campaign.slug,
            vendor=run.vendor.name,
            baa_id=baa_id,
            letters=letters,
            periods=[periods[letter] for letter in letters],
        )
        append(connection, run.keyring, [record])


def disclose(connection: Connection, run: Run, letters: Sequence[UUID]) -> int:
    """Record what became of these letters, as the outbox has them in this transaction.

    Gives the number of letters; a rehearsal's are counted and not recorded.
    """
    if not letters:
        return 0
    found = connection.execute(
        text(
            "SELECT l.letter_id, l.run_id, l.campaign, l.campaign_date, l.patient, l.recipient_id,"
            " l.authorization_id, l.template_sha256, l.message_id, l.state, l.reason, l.evidence,"
            " l.attempted_at, l.seal, l.seal_basis, r.vendor, r.baa_id"
            " FROM letter l JOIN run r ON r.run_id = l.sender_run_id"
            " WHERE l.letter_id = ANY(CAST(:ids AS uuid[])) AND l.rehearsal IS NULL"
            " ORDER BY l.letter_id"
        ),
        {"ids": list(letters)},
    )
    of_all = {
        "pseudonym_key": run.keyring.pseudonym_key_name,
        "purpose": run.campaign.purpose,
        "fields": run.campaign.sources(),
        "suite_sha256": run.suites_sha256,
    }
    append(connection, run.keyring, [_record(row, of_all) for row in found])
    return len(letters)


def _record(row: Row[Any], of_all: Mapping[str, Any]) -> Record:
    # Of one in doubt the mark may be lost with a crash of the database.
    offered = row.attempted_at is not None or row.state == "unknown"
    return Disclosure(
        letter=row.letter_id,
        run=row.run_id,
        campaign=row.campaign,
        campaign_date=row.campaign_date,
        patient=row.patient,
        recipient=row.recipient_id,
        authorization=row.authorization_id,
        template_sha256=row.template_sha256,
        vendor=row.vendor,
        baa_id=row.baa_id,
        message_id=row.message_id,
        seal=row.seal if offered else NOT_SENT,
        seal_basis=row.seal_basis if offered else None,
        outcome=row.state,
        reason=row.reason,
        transport=row.evidence,
        **of_all,
    ).record()
