"""Settle and shred: the day's letters must add up, and what is no longer needed becomes unreadable.

Settle refuses a letter that is neither final nor waiting for a later run. Shred destroys the data
key of every run of the campaign whose letters are all final or too late to send; a run that still
has an open letter keeps its key, so that a retry or the next run goes on from where it stopped.
"""

from __future__ import annotations

from sqlalchemy import text

from reengage.errors import StoreError
from reengage.pipeline.run import Run
from reengage.sql import load_sql

FINAL = ("sent", "refused", "unknown", "withheld", "rehearsed")
"""States that no later run changes; `unknown` is resolved by evidence or a person, not by a run."""


def settle(run: Run) -> dict[str, int]:
    """Totals of the letters that this run was to send, by state.

    Raises StoreError when a letter is unaccounted for: still composed, claimed or attempted.
    """
    with run.store.begin() as connection:
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
        connection.execute(
            text("UPDATE run SET finished_at = now() WHERE run_id = :run_id"),
            {"run_id": run.run_id},
        )
    return totals


def shred(run: Run) -> int:
    """Destroy the data keys that no letter needs any more; gives how many."""
    destroyed = 0
    with run.store.begin() as connection:
        # Held to the end: a second shred must not decide on the same runs at the same time.
        closed = connection.execute(
            text(load_sql(run.settings.home, "outbox/closed_runs.sql")),
            {"campaign": run.campaign.slug, "now": run.settings.now(), "run_id": run.run_id},
        ).scalars()
        for run_id in closed:
            run.keyring.destroy_data_key(run_id)
            connection.execute(
                text("UPDATE run SET shredded_at = now() WHERE run_id = :run_id"),
                {"run_id": run_id},
            )
            destroyed += 1
    return destroyed
