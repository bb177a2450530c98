"""Trail: the run events of the audit's own tasks, START first and one end.

The audit is recorded like what it audits, with one difference: a ledger that takes no entry is
what `verify` is there to tell, so that its START is tried and no condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.ledger.append import append
from reengage.ledger.records import Record, run_event
from reengage.lineage import base, events
from reengage.lineage.events import EventType, TaskRun

VERSION = "1-0-0"
FACETS = {
    "reengage_reconciliation": "ReengageReconciliationRunFacet",
    "reengage_ledgerAudit": "ReengageLedgerAuditRunFacet",
}
"""Our facets of these tasks, by their key; their schemas lie in docs/schemas."""
WHAT = {
    "verify": "Derives the whole ledger again from its bytes and compares it with its checkpoints.",
    "checkpoint": "Signs what the ledger is, and puts it where its writers cannot change it.",
    "archive": "Copies the ledger to the archive, where nothing is written twice.",
    "remind": "Tells staff which agreement or certificate ends soon.",
    "imap": "Reads the mailbox that letters come back to, and does what follows from it.",
    "maildir": "Reads the Maildir that letters come back to, and does what follows from it.",
    "spool": "Reads vendors' signed events about letters, and does what follows from them.",
    "sweep": "Removes what was kept for as long as docs/retention.md says.",
    "reconcile": "Compares the ledger with Airflow's account of what ran, and closes what died.",
}
"""What each task does that is not of a campaign."""


def record(
    kind: EventType,
    keyring: Keyring,
    store: Engine,
    task: TaskRun,
    facets: Mapping[str, Any] | None = None,
    *,
    with_it: Sequence[Record] = (),
) -> None:
    """Append an event of the task, in a transaction of its own, and what belongs to it.

    Raises LedgerError when the ledger takes no entry, or has this try as ended.
    """
    event = events.run_event(
        kind,
        task,
        datetime.now(UTC),
        run_facets=dict(facets or {}),
        job_facets={
            "documentation": base.facet(
                "job_documentation", description=WHAT[task.task], contentType="text/plain"
            )
        },
    )
    with store.begin() as connection:
        connection.execute(text("SELECT FROM ledger_head FOR UPDATE"))
        if kind == "START" and _known(connection, task):
            raise LedgerError(
                f"the ledger has this try of {task.job_name} already; clear the task, so that it"
                " begins as a new try"
            )
        append(connection, keyring, [*with_it, run_event(event)])


def facet(key: str, **content: Any) -> dict[str, Any]:
    """One of our facets, to stand under its key."""
    return {key: base.own_facet(FACETS[key], VERSION, **content)}


def failure(message: str) -> dict[str, Any]:
    """Facet that says why a task failed."""
    return {"errorMessage": events.error_message(message)}


def _known(connection: Any, task: TaskRun) -> bool:
    return bool(
        connection.execute(
            text("SELECT 1 FROM ledger_entry WHERE kind = 'run_event' AND subject = :run LIMIT 1"),
            {"run": str(task.run_id)},
        ).first()
    )
