"""Remember: what patients refused by the warehouse's word, kept where no restore can undo it.

A warehouse that comes back from a backup has forgotten who revoked and who opted out since. Each
live run therefore writes down what is new of it, as of the end of its day, in our own store and
journal (PRV-06, SEC-08). A dry run and a replay write nothing down: they tell of no present day.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Row, text

from reengage import refusals
from reengage.pipeline.asking import asking
from reengage.pipeline.run import Run
from reengage.sql import load_sql

OVERLAP = timedelta(days=30)
"""How late a warehouse may hear of a refusal, compared with the newest that it told us of."""


def remember_warehouse(source: Connection, run: Run) -> int:
    """Record the warehouse's revocations and opt-outs; gives how many were new to us.

    Reads in the caller's snapshot of the warehouse, batch by batch, and commits each batch by
    itself: neither a long extraction nor one that fails keeps another recording waiting.
    """
    if run.mode != "live":
        return 0
    rows = source.execute(
        text(load_sql(run.settings.home, "extract/refusals.sql")),
        {**asking(run), **_since(run)},
        execution_options={"yield_per": refusals.BATCH},
    )
    now = datetime.now(UTC)
    new = 0
    # The size once more: a result forgets its yield_per, and gives all at once.
    for batch in rows.partitions(refusals.BATCH):
        found = [_refusal(run, row, now) for row in batch]
        with run.store.begin() as sink:
            new += refusals.record(sink, run.settings.journal_path, found)
    return new


def _since(run: Run) -> dict[str, datetime | None]:
    """Per kind, what is remembered already."""
    with run.store.connect() as connection:
        known = refusals.newest_of_warehouse(connection)
    return {
        name: latest - OVERLAP if (latest := known[kind]) else None
        for name, kind in (("revoked_since", "revocation"), ("opted_out_since", "opt_out"))
    }


def _refusal(
    run: Run, row: Row[tuple[str, str, str | None, datetime]], now: datetime
) -> refusals.Refusal:
    return refusals.Refusal(
        kind="revocation" if row.kind == "revocation" else "opt_out",
        patient=run.pseudonym(row.patient_key),
        scope=row.scope,
        at=row.at,
        channel=refusals.WAREHOUSE,
        source="warehouse",
        received_at=now,
    )
