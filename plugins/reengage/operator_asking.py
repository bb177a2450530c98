"""Asking: how a task asks a person in Airflow, the one way there is, and what the answer means.

The task waits in `awaiting_input`, holds no worker, and goes on in the same try with the answer, as
Airflow's own ApprovalOperator does. Who may answer is Airflow's to decide (the role needs to edit
the DAG and its required actions); a practice may narrow it by name (`approvers`). Nobody's answer
is a no, and so is a yes that nobody's name is on: nothing is ever approved by a timeout.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, Protocol
from uuid import UUID

from airflow.sdk import Param
from airflow.sdk.exceptions import TaskAwaitingInput

from reengage.errors import RefusedError, StoreError
from reengage.grounds import LONGEST_GROUND, NO_REASON, tidy
from reengage.notifiers import tell_question
from reengage.settings import Settings, read_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from reengage.pipeline.approvals import Verdict
    from reengage.pipeline.required import Place
    from reengage.pipeline.run import Run

LOG = logging.getLogger(__name__)
APPROVE, REJECT = "Approve", "Reject"
"""In the words of Airflow's own ApprovalOperator."""
_NEEDS_REASON = "a yes needs a reason of 3 to %d characters, naming nobody"


class Asked(Protocol):
    """What a person is asked."""

    @property
    def subject(self) -> str:
        """One line."""

    @property
    def body(self) -> str:
        """Markdown."""

    @property
    def patience(self) -> timedelta:
        """How long an answer is waited for."""

    @property
    def about(self) -> str:
        """What tells it from any other question of the task."""


@dataclass(frozen=True)
class Answer:
    """What somebody said."""

    approved: bool
    by: str
    """Name of the Airflow user; empty = nobody answered in time."""
    reason: str | None
    """In words that may be kept for good; None = none was given, or one that names somebody."""

    @property
    def verdict(self) -> Verdict:
        """As records say it."""
        return "approved" if self.approved else "rejected"

    @property
    def ground(self) -> str:
        """As records say it: of a no there may be none."""
        return self.reason or NO_REASON


@dataclass(frozen=True)
class Waiting:
    """A room could not go on without a person."""

    question: Any


def ask(
    context: Context,
    question: Asked,
    resumed: Mapping[str, Any],
    *,
    things: Mapping[str, str] | None = None,
) -> NoReturn:
    """Wait for a person and their reason; `execute_complete` gets the answer and `resumed`.

    Staff are told, and the pages show it, with `things` (name -> SHA-256) that it is about. Raises
    TaskAwaitingInput. Airflow keeps the text of a try's first question, so that somebody
    would answer one with another before their eyes: StoreError then, and the next try asks.
    """
    ti = context["ti"]
    asked = {
        "ti_id": ti.id,
        "options": [APPROVE, REJECT],
        "subject": question.subject,
        "body": question.body,
        "defaults": [REJECT],  # taken when nobody answers in time
        "params": {"reason": _reason()},
    }
    # First, as it may take its time: an answer should not come before the task waits for it.
    tell_question(context, ti.task_id, question.subject, question.about)
    if put_question(asked) != (question.subject, question.body):
        raise StoreError(
            "an earlier question of this try stands in Airflow, which keeps its text; the next try"
            " asks this one",
            countless=True,
        )
    LOG.warning("%s\n%s", question.subject, question.body)
    _note(context, question, things or {})
    raise TaskAwaitingInput(
        method_name="execute_complete", kwargs=dict(resumed), timeout=question.patience
    )


def put_question(asked: dict[str, Any]) -> tuple[str, str | None]:
    """Have Airflow ask; gives subject and body that stand there now.

    As `airflow.sdk.execution_time.hitl.upsert_hitl_detail` does, which keeps the answer to itself.
    """
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    stands = SUPERVISOR_COMMS.send(
        msg=CreateHITLDetailPayload(**asked, multiple=False, assigned_users=[])
    )
    return stands.subject, stands.body


def answer_pause(run: Run, number: int, said: Answer) -> None:
    """Record the answer to the run's pause of this number, if the practice takes it.

    Not of somebody who may not, which is on record, nor a yes without a reason: the question
    stands. Nobody's is a no, and counts.
    """
    from reengage.pipeline import approvals, breaker

    if said.by and not approvals.may_answer(run.settings, said.by):
        things = {f"breaker/{run.campaign.slug}": number}
        approvals.turned_away(run.settings, said.by, things, run.run_id)
    elif said.approved and said.reason is None:
        LOG.warning(_NEEDS_REASON, LONGEST_GROUND)
    else:
        breaker.answer(run, number, said.verdict, said.by, said.ground)


def asks_no_more(context: Context) -> None:
    """Take the task's question off the pages. Raises nothing."""
    from reengage.pipeline import required

    try:
        required.close(read_settings(), _place(context))
    except Exception as error:
        LOG.warning("the pages may show a question that is answered: %s", type(error).__name__)


def _note(context: Context, question: Asked, things: Mapping[str, str]) -> None:
    """Let the pages show it. Raises nothing: it is asked in any case."""
    from reengage.pipeline import required

    try:
        settings = read_settings()
        until = settings.now() + question.patience
        required.note(settings, _place(context), question.subject, things, until)
    except Exception as error:
        LOG.warning("the pages do not show this question: %s", type(error).__name__)


def _place(context: Context) -> Place:
    from reengage.pipeline.required import Place
    from reengage.pipeline.run import derive_run_id

    ti, dag_run = context["ti"], context["dag_run"]
    return Place(
        derive_run_id(dag_run.dag_id, dag_run.run_id), dag_run.dag_id, dag_run.run_id, ti.task_id,
        -1 if ti.map_index is None else ti.map_index,
    )  # fmt: skip


def answer_of(event: Mapping[str, Any]) -> Answer:
    """The answer as Airflow hands it over, which has not looked at what was typed."""
    who = event.get("responded_by_user") or {}
    by = str(who.get("name") or who.get("id") or "")
    said = (event.get("params_input") or {}).get("reason")
    reason = tidy(said) if isinstance(said, str) else None
    return Answer(bool(by) and event.get("chosen_options") == [APPROVE], by, reason)


def _reason() -> dict[str, Any]:
    return dict(
        Param(
            "",
            type="string",
            title="Reason",
            minLength=3,
            maxLength=LONGEST_GROUND,
            description="What you looked at, for whoever asks later: it is kept for good, so name"
            " no patient, address or record number.",
        ).serialize()
    )


class AsksForApproval:
    """A task whose room may find that a person has to approve first. Comes before RoomOperator."""

    log: Any
    task_id: str
    refusal: Answer | None = None
    """The answer that was a no, once it is on record."""
    _answered: tuple[dict[str, str], Answer] | None = None
    _context: Any = None

    def execute_complete(
        self, context: Context, event: dict[str, Any], things: dict[str, str]
    ) -> Any:
        """Go on with the answer about these things: name -> SHA-256."""
        self._answered = (things, answer_of(event))
        asks_no_more(context)
        return self._corridor(context)  # type: ignore[attr-defined]

    def asking(
        self, settings: Settings, context: Context, run_id: UUID, work: Callable[[], Any]
    ) -> Any:
        """What `work` gives, or Waiting. Raises RefusedError where somebody said no."""
        from reengage.pipeline.question import UnapprovedError

        self._context = context
        if self._answered is not None:
            self._record(settings, run_id, *self._answered)
        try:
            return work()
        except UnapprovedError as error:
            question = error.question
        if self._answered is not None and self._answered[0] != question.things:
            raise StoreError(
                "what is to be approved has changed while it was asked about; the next try asks"
            )
        return Waiting(question)

    def waits(self, result: Any) -> bool:
        """The room will be opened again in this try."""
        return isinstance(result, Waiting)

    def shown(self, result: Any) -> Any:
        """Counts and ids only, once there is nothing to ask."""
        if isinstance(result, Waiting):
            question, things = result.question, dict(result.question.things)
            ask(self._context, question, {"things": things}, things=things)
        return result

    def _record(
        self, settings: Settings, run_id: UUID, things: dict[str, str], answer: Answer
    ) -> None:
        """Record the answer, if it is one: else the same question is asked again."""
        from reengage.pipeline import approvals
        from reengage.pipeline.question import NOBODY

        if answer.by and not approvals.may_answer(settings, answer.by):
            approvals.turned_away(settings, answer.by, things, run_id)
            self.log.warning("%s answered, who is no approver of practice.yaml", answer.by)
            return
        if answer.approved and answer.reason is None:
            self.log.warning(_NEEDS_REASON, LONGEST_GROUND)
            return
        try:
            approvals.answer(
                settings,
                things,
                answer.verdict,
                by=answer.by or NOBODY,
                reason=answer.ground,
                run_id=run_id,
            )
        except RefusedError:
            self.refusal = answer
            raise
