"""Operators: the corridor between Airflow and the rooms of the pipeline.

Opens the audit record and the run, calls one room, closes the record, and lets nothing of a patient
out: what returns to Airflow is counts, chunk numbers and run ids. An error raised on purpose passes
with its text, free of patient data by construction; of any other only type and place are kept, as
drivers quote rows and addresses (SEC-10, OLN-12). The run's note, which an Analyst reads, says less
(notes.py). Rooms are imported when a task runs.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowTaskTimeout,
)

from reengage import metrics
from reengage.errors import LedgerError, ReengageError, RelayError, StoreError, place_of
from reengage.notes import NOTE_KEY, REASON_KEY, note_of
from reengage.operator_asking import AsksForApproval, answer_of, answer_pause, ask, asks_no_more
from reengage.operator_beginning import Begins, asked_for, run_id_of
from reengage.settings import Settings, read_settings

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Context

    from reengage.operator_asking import Answer
    from reengage.pipeline.breaker import Question
    from reengage.pipeline.plan import Chunk
    from reengage.pipeline.run import Run
    from reengage.pipeline.send import Sent
    from reengage.pipeline.trail import Trail

RETRYABLE = (RelayError, StoreError)
"""Errors that time may mend; any other needs a person, so a retry would only repeat it."""

LOOK_AGAIN = timedelta(minutes=5)
"""How long a chunk that does not ask waits for the answer before it looks."""


class RoomOperator(BaseOperator):  # type: ignore[misc]  # Airflow is not followed by mypy
    """One task of a campaign's run: subclasses say which room it opens."""

    ui_color = "#e8f1f2"

    def __init__(self, *, campaign: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.campaign = campaign
        self.told: str | None = None
        """Why it failed, in words that may be told to anybody (notifiers.py)."""
        self.live = True  # letters leave; as far as is known

    def execute(self, context: Context) -> Any:
        """Open the run, call the room, record the step; gives what may be seen in the UI."""
        return self._corridor(context)

    def _corridor(self, context: Context) -> Any:
        started, note, result = datetime.now(UTC), "", None
        failure: AirflowException | None = None
        trail: Trail | None = None
        try:
            settings = read_settings()
            trail = self._begin(settings, context)
            result = self._in_room(settings, context, trail)
            self._require_end(trail, result)
        except ReengageError as error:
            failure, note = _failure_of(error), note_of(error)
        except AirflowTaskTimeout:  # a BaseException
            failure, note = AirflowException(self._overdue(started)), self._overdue()
        except Exception as error:
            failure, note = AirflowException(place_of(error)), note_of(error)
        self._record_step(context, started, "failed" if failure else "success")
        failed = failure is not None
        metrics.after(self.campaign, self.task_id, started, result, failed=failed, live=self.live)
        if failure is None:
            self.log.info("%s of %s: %s", self.task_id, self.campaign, result)
            try:
                return self.shown(result)
            except ReengageError as error:  # a question that cannot be asked in this try
                failure, note = _failure_of(error), note_of(error)
            self._record_step(context, started, "failed")
            metrics.after(self.campaign, self.task_id, started, None, failed=True)
        self.told = str(failure)
        self._record_failure(trail, str(failure))
        context["ti"].xcom_push(key=REASON_KEY, value=f"{self.task_id}: {failure}")
        context["ti"].xcom_push(key=NOTE_KEY, value=f"{self.task_id}: {note}")
        # Raised here, not in the handler: the original must not ride along as its context.
        raise failure

    def _begin(self, settings: Settings, context: Context) -> Trail | None:
        """Record that the try begins: without that, nothing does (LOG-12)."""
        from reengage.pipeline.trail import start
        from reengage.task_run import task_run_of

        return start(settings, self.campaign, task_run_of(context))

    def _in_room(self, settings: Settings, context: Context, trail: Trail | None) -> Any:
        from reengage.pipeline.approvals import require_approved
        from reengage.pipeline.run import resume

        run = resume(settings, self.campaign, run_id_of(context), trail)
        self.live = run.mode == "live"
        require_approved(run, self.task_id)
        return self.room(run)

    def room(self, run: Run) -> Any:
        """Do this task's work for `run`; counts and ids only may be returned."""
        raise NotImplementedError

    def shown(self, result: Any) -> Any:
        """What Airflow keeps of the room's result; counts and ids only."""
        return result

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """What the task reads and writes, for Airflow's own provider; the ledger says the same."""
        from airflow.providers.openlineage.extractors import OperatorLineage

        from reengage.lineage.provider import client_datasets_of

        inputs, outputs = client_datasets_of(self.task_id, self.campaign, read_settings().home)
        return OperatorLineage(inputs=inputs, outputs=outputs)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage:
        """The same: how many rows, and what the gate said, is the ledger's to tell."""
        return self.get_openlineage_facets_on_start()

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage:
        """The same."""
        return self.get_openlineage_facets_on_start()

    def waits(self, result: Any) -> bool:
        """Whether the room will be opened again in this try, so that its end is yet to come."""
        return False

    def _require_end(self, trail: Trail | None, result: Any) -> None:
        if trail is not None and not trail.ended and not self.waits(result):
            raise LedgerError(f"{self.task_id} did its work and left no end of it in the ledger")

    def _record_failure(self, trail: Trail | None, message: str) -> None:
        from reengage.pipeline.trail import failed

        if trail is None:
            return
        try:
            failed(read_settings(), self.campaign, trail, message)
        except (Exception, AirflowTaskTimeout) as error:
            # The audit closes a try without an end; why the task failed must not be hidden.
            self.log.warning("the ledger has no end of this try yet: %s", type(error).__name__)

    def _overdue(self, started: datetime | None = None) -> str:
        passed = (datetime.now(UTC) - started).total_seconds() if started else None
        after = "" if passed is None else f" after {passed:.0f} s"
        return (
            f"{self.task_id} was stopped by its time limit{after};"
            " what it did is kept: clear the task and it goes on where it stopped"
        )

    def _record_step(self, context: Context, started: datetime, outcome: str) -> None:
        from reengage.pipeline.steps import record_step

        ti = context["ti"]
        try:
            record_step(
                run_id_of(context),
                task=self.task_id,
                map_index=ti.map_index if ti.map_index is not None else -1,
                try_number=ti.try_number,
                started_at=started,
                outcome=outcome,
            )
        except (Exception, AirflowTaskTimeout) as error:
            # A store that is down must not hide why the task itself failed.
            self.log.warning("the step's time was not recorded: %s", type(error).__name__)


class PreflightOperator(Begins, AsksForApproval, RoomOperator):
    """Opens the run: everything that must hold before a patient is read.

    Asks a person where something that the run works by was never approved in this state, and comes
    back where the relay has no time.
    """

    def _in_room(self, settings: Settings, context: Context, trail: Trail | None) -> Any:
        return self.asking(
            settings, context, run_id_of(context), lambda: self._open(settings, context, trail)
        )

    def _open(
        self, settings: Settings, context: Context, trail: Trail | None
    ) -> dict[str, str] | datetime:
        from reengage.pipeline.preflight import preflight, when_to_ask_again
        from reengage.relay import RelayBusyError

        run_id, name = run_id_of(context), context["dag_run"].run_id
        try:
            asked = asked_for(context)
            run = preflight(settings, self.campaign, run_id, name, **asked, trail=trail)
        except RelayBusyError as error:
            again_at = when_to_ask_again(settings, self.campaign)
            if again_at is None:
                raise
            self.log.warning("%s", error)
            return again_at
        return {"run_id": str(run.run_id), "campaign_date": str(run.day), "mode": run.mode}


class ExtractOperator(RoomOperator):
    """Finds the candidates, decides each, stages the eligible."""

    def room(self, run: Run) -> dict[str, int]:
        """Counts of patients."""
        from reengage.pipeline.extract import extract

        return asdict(extract(run))


class GateOperator(RoomOperator):
    """Great Expectations: nothing goes on unless the batch is as promised."""

    def room(self, run: Run) -> int:
        """Number of expectations that held."""
        from reengage.pipeline.gate import gate

        return gate(run)


class PlanOperator(AsksForApproval, RoomOperator):
    """Draws the holdout and cuts the batch into chunks; asks about an unusual number of letters."""

    def _in_room(self, settings: Settings, context: Context, trail: Trail | None) -> Any:
        return self.asking(
            settings, context, run_id_of(context),
            lambda: RoomOperator._in_room(self, settings, context, trail),
        )  # fmt: skip

    def room(self, run: Run) -> list[Chunk]:
        """The chunks that the next tasks are mapped over."""
        from reengage.pipeline.plan import plan

        return plan(run)


class ChunkOperator(RoomOperator):
    """A task mapped over the chunks."""

    def __init__(self, *, chunk: Chunk, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.chunk = chunk


class LetterOperator(ChunkOperator):
    """Composes and seals a chunk's letters."""

    def room(self, run: Run) -> int:
        """Number of letters that are new."""
        from reengage.pipeline.letter import write_letters

        return write_letters(run, self.chunk)


class CheckLettersOperator(ChunkOperator):
    """Great Expectations on the finished letters of a chunk."""

    def room(self, run: Run) -> int:
        """Number of letters checked."""
        from reengage.pipeline.check_letters import check_letters

        return check_letters(run, self.chunk)


class SendOperator(ChunkOperator):
    """Offers a chunk's letters to the vendor, each once, when its window is open.

    Where the run paused itself, the chunk that met it asks whether to go on: it waits in
    `awaiting_input` and goes on in the same try with the answer. The others look now and then.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._answer: tuple[int, Answer] | None = None
        self._question: Question | None = None
        self._context: Any = None

    def execute_complete(self, context: Context, event: dict[str, Any], number: int) -> Any:
        """Go on with the answer to the run's pause of this number."""
        self._answer = (number, answer_of(event))
        asks_no_more(context)
        return self._corridor(context)

    def _in_room(self, settings: Settings, context: Context, trail: Trail | None) -> Any:
        self._context = context
        return super()._in_room(settings, context, trail)

    def room(self, run: Run) -> Sent:
        """What became of the letters, and when to come back."""
        from reengage.pipeline.breaker import question_of
        from reengage.pipeline.send import send_what_is_open

        if self._answer is not None:
            answer_pause(run, *self._answer)
        sent = send_what_is_open(run, self.chunk)
        self._question = question_of(run) if sent.paused else None
        return sent

    def waits(self, result: Sent) -> bool:
        """Letters wait for an instant of today, or for a person."""
        return result.again_at is not None or result.paused

    def shown(self, result: Sent) -> dict[str, int]:
        """Number of letters by state; not yet while letters wait: no worker is held meanwhile."""
        if result.paused:
            if self._question is not None and self._question.chunk == self.chunk["number"]:
                ask(self._context, self._question, {"number": self._question.number})
            raise AirflowRescheduleException(datetime.now(UTC) + LOOK_AGAIN)
        if result.again_at is not None:
            raise AirflowRescheduleException(result.again_at)
        return result.letters


class SettleOperator(RoomOperator):
    """Checks that the letters add up and closes the run."""

    def room(self, run: Run) -> dict[str, int]:
        """Number of letters by state."""
        from reengage.pipeline.settle import settle

        return settle(run)


class ShredOperator(RoomOperator):
    """Destroys the data keys that no open letter needs."""

    def room(self, run: Run) -> int:
        """Number of keys destroyed."""
        from reengage.pipeline.settle import shred

        return shred(run)


def _failure_of(error: ReengageError) -> AirflowException:
    kind = AirflowException if isinstance(error, RETRYABLE) else AirflowFailException
    return kind(f"{type(error).__name__}: {error}")
