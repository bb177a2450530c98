"""Settle and shred: the day's letters must add up, and what is no longer needed becomes unreadable.

Settle withholds what is too late to send, and refuses a patient without a letter and a letter that
is neither final nor waiting for a later run. Shred destroys the data key of every run of the
campaign whose letters are all final; a run that still has an open letter keeps its key, so that a
retry or the next run goes on from where it stopped, and a failed run keeps it until a retry would
come too late.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, text

from reengage.errors import StoreError
from reengage.pipeline import deposits, outbox, reported
from reengage.pipeline.facts import disclosed
from reengage.pipeline.run import Run
from reengage.pipeline.trail import complete
from reengage.sql import load_sql

FINAL = ("sent", "refused", "unknown", "withheld", "rehearsed")
"""States that no later run changes; `unknown` is resolved by evidence or a person, not by a run."""


def settle(run: Run) -> dict[str, int]:
    """Totals of the letters that this run was to send, by state.

    Raises StoreError when a letter is unaccounted for: still composed, claimed or attempted, or
    never composed for a patient who was to get one.
    """
    with run.store.begin() as connection:
        outbox.withhold_too_late(connection, run)
        if run.mode == "live":  # a rehearsal's clock may be pinned
            deposits.remove_expired(connection, run.settings.now())
        found = connection.execute(
            text(
                "SELECT state, count(*) AS letters FROM letter WHERE sender_run_id = :run_id"
                " GROUP BY state ORDER BY state"
            ),
            {"run_id": run.run_id},
        )
        totals = {row.state: int(row.letters) for row in found}
        stray = {state: n for state, n in totals.items() if state not in (*FINAL, "deferred")}
        if stray:
            raise StoreError(
                f"letters unaccounted for: {stray}; clear the `send` tasks of this DAG run"
            )
        if missing := _unwritten(connection, run):
            raise StoreError(
                f"{missing} patients were to get a letter and have none; clear the `letter` tasks"
                " of this DAG run"
            )
        connection.execute(
            text("UPDATE run SET finished_at = now() WHERE run_id = :run_id"),
            {"run_id": run.run_id},
        )
        reported.forget_days_of(connection, run.run_id)
        reported.keep(connection, run.settings.home, run.run_id)
        complete(connection, run, facets=disclosed(connection, run))
    return totals


def shred(run: Run) -> int:
    """Destroy the data keys that no letter needs any more; gives how many."""
    destroyed = 0
    with run.store.begin() as connection:
        # Held to the end: a second shred must not decide on the same runs at the same time.
        closed = connection.execute(
            text(load_sql(run.settings.home, "outbox/closed_runs.sql")),
            {
                "campaign": run.campaign.slug,
                "run_id": run.run_id,
                "given_up": run.today() - timedelta(days=run.campaign.letter_valid_days),
            },
        ).scalars()
        for run_id in closed:
            run.keyring.destroy_data_key(run_id)
            connection.execute(
                text("UPDATE run SET shredded_at = now() WHERE run_id = :run_id"),
                {"run_id": run_id},
            )
            destroyed += 1
        complete(connection, run)
    return destroyed


def _unwritten(connection: Connection, run: Run) -> int:
    """Patients whom the run decided to write to, and for whom no letter of this day or later is."""
    found: int = connection.execute(
        text(
            "SELECT count(*) FROM decision d WHERE d.run_id = :run_id AND d.arm = 'write'"
            " AND NOT EXISTS (SELECT 1 FROM letter l WHERE l.patient = d.patient"
            " AND l.campaign = :campaign AND l.campaign_date >= :day"
            # A live run that goes on as a replay has letters of both kinds.
            " AND (l.rehearsal IS NULL OR l.rehearsal = :run_id))"
        ),
        {
            "run_id": run.run_id,
            "campaign": run.campaign.slug,
            "day": run.day,
        },
    ).scalar_one()
    return found
