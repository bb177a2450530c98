"""Audit operators: the corridor between Airflow and the audit of the ledger.

The same corridor as the campaigns' (`operators`): counts return to Airflow, an error of ours passes
with its text, of any other only type and place, and the run's note has no count. Run ids are made
by Airflow's own OpenLineage provider, so that the ledger and Airflow are compared under ids that
neither of them could choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from reengage.errors import LedgerError
from reengage.operators import RoomOperator
from reengage.settings import Settings

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from reengage.audit.airflow_api import Attempt
    from reengage.audit.desk import Desk


class AuditOperator(RoomOperator):
    """One task of the audit: subclasses say what is done at the desk."""

    anyway = False
    """Whether to go on where the ledger takes no entry."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(campaign="audit", **kwargs)
        self._desk: Desk | None = None

    def work(self, desk: Desk, context: Context) -> Any:
        """Do this task's work; counts and digests only may be returned."""
        raise NotImplementedError

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """Nothing but that it ran: it reads the ledger, no data of the warehouse or the store."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        return OperatorLineage()

    def _begin(self, settings: Settings, context: Context) -> None:
        from reengage.audit.desk import open_desk
        from reengage.task_run import task_run_of

        self._desk = open_desk(settings, task_run_of(context))
        self._desk.begin(anyway=self.anyway)

    def _in_room(self, settings: Settings, context: Context, trail: Any) -> Any:
        if self._desk is None:
            raise LedgerError(f"{self.task_id} was opened before its beginning was recorded")
        result = self.work(self._desk, context)
        self._desk.complete()
        return result

    def _record_failure(self, trail: Any, message: str) -> None:
        if self._desk is None:
            return
        try:
            self._desk.fail(message)
        except Exception as error:
            # Of a ledger that takes no entry this is the finding itself, which the log tells.
            self.log.warning("the ledger has no end of this try: %s", type(error).__name__)

    def _record_step(self, context: Context, *_: Any) -> None:
        """The report's times are of campaigns."""


class VerifyOperator(AuditOperator):
    """Derives the whole ledger again; red when a byte of it is not what it was."""

    anyway = True  # the verdict says why it takes none

    def work(self, desk: Desk, context: Context) -> dict[str, Any]:
        """Number of entries, the root over them."""
        return desk.verify()


class CheckpointOperator(AuditOperator):
    """Signs what the ledger is, and puts it where its writers cannot change it."""

    def work(self, desk: Desk, context: Context) -> dict[str, Any]:
        """Size and root that were signed."""
        return desk.checkpoint()


class ArchiveOperator(AuditOperator):
    """Copies the ledger to where REENGAGE_ARCHIVE says; deletes nothing, here or there."""

    def work(self, desk: Desk, context: Context) -> dict[str, Any]:
        """What was copied, or that there is no archive."""
        return desk.archive()


class ReconcileOperator(AuditOperator):
    """Compares the ledger with Airflow's account of what ran, and letters with what is known.

    A letter that has been `unknown` for too long fails it daily until somebody resolves it.
    """

    def work(self, desk: Desk, context: Context) -> dict[str, int]:
        """Counts of tries, runs, runs that were closed, gaps."""
        from reengage.pipeline.unknown import require_resolved

        late = desk.overdue()
        for letter in late:
            self.log.error("unknown for %d days: letter %s", letter.days, letter.letter_id)
        accepts = bool(context["params"].get("accept"))
        who = getattr(context["dag_run"], "triggering_user_name", None) or "unknown"
        found = desk.reconcile(run_id_of_attempt, accepted_by=who if accepts else None)
        for gap in found.gaps:
            self.log.error("gap: %s", gap)
        for gap in found.accepted:
            self.log.warning("accepted gap: %s", gap)
        for label, count in found.table():
            self.log.info("%-16s %8d", label, count)
        found.require_none()
        require_resolved(late)
        return found.counts()


class RemindOperator(AuditOperator):
    """Tells staff what ends soon: agreements, the practice's certificate."""

    anyway = True  # what ends soon ends all the same

    def work(self, desk: Desk, context: Context) -> dict[str, int]:
        """How many reminders there are, and how many of them are new and were told."""
        from reengage.alerts.reminders import reminders
        from reengage.alerts.tell import tell

        found = reminders(desk.settings)
        return {"reminders": len(found), "told": sum(bool(tell(desk.settings, o)) for o in found)}


class MirrorOperator(AuditOperator):
    """Tells the lineage backend what it was not told yet; leaves no trail of its own."""

    def _begin(self, settings: Settings, context: Context) -> None:
        """Nothing: an entry for each of its runs would be the next one's work, for ever."""

    def _in_room(self, settings: Settings, context: Context, trail: Any) -> Any:
        from reengage.audit.desk import mirror

        return mirror(settings)


def run_id_of_attempt(attempt: Attempt) -> UUID:
    """The run id that Airflow's OpenLineage provider gives the try."""
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter

    return UUID(
        OpenLineageAdapter.build_task_instance_run_id(
            dag_id=attempt.dag_id,
            task_id=attempt.task_id,
            try_number=attempt.number,
            logical_date=attempt.instant,
            map_index=attempt.map_index,
        )
    )
