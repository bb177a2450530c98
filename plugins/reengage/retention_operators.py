"""Retention operators: the corridor between Airflow and what removes what was kept long enough.

The audit's corridor, with its trail. What went is on record, by kind and number, in the transaction
that records the end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reengage.audit_operators import AuditOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from reengage.audit.desk import Desk

ACTOR = "reengage_retention"


class SweepOperator(AuditOperator):
    """Applies the table of docs/retention.md."""

    def work(self, desk: Desk, context: Context) -> dict[str, Any]:
        """How many of each kind went."""
        from reengage.ledger.records import access
        from reengage.retention.sweep import Places, sweep

        settings = desk.settings
        places = Places(settings.rehearsal_maildir, settings.returns_spool)
        gone = sweep(desk.store, desk.keyring, settings.home, now=settings.now(), places=places)
        for name, count in gone.items():
            self.log.info("%-24s %8d", name, count)
        if gone:
            desk.note(access(actor=ACTOR, action="removed", of="retention", detail=dict(gone)))
        return gone
