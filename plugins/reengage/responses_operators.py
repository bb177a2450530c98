"""Responses operators: the corridor between Airflow and what comes back of letters.

The audit's corridor, with its trail: START before a message is read, COMPLETE after the last one.
Counts return to Airflow; nothing of a message, no address and no server's text does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reengage.audit_operators import AuditOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from reengage.audit.desk import Desk
    from reengage.responses.take import Source


class ReadOperator(AuditOperator):
    """Reads one kind of place; without any in the settings there is nothing to do."""

    def __init__(self, *, source: Source, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source = source

    def work(self, desk: Desk, context: Context) -> dict[str, int]:
        """How many messages came to what."""
        from reengage.responses.read import read

        counts = read(desk.settings, self.source)
        for label, count in counts.items():
            self.log.info("%-24s %8d", label, count)
        return counts
