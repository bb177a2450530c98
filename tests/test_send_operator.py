"""The send task of a run that paused itself: one chunk asks a person, the others come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from reengage.grounds import NO_REASON

WHY = "the relay lists bounces of last year"
ANSWER = {
    "chosen_options": ["Approve"],
    "responded_by_user": {"id": "1", "name": "olga"},
    "params_input": {"reason": WHY},
}


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module, with an AIRFLOW_HOME of its own: Airflow reads it when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from reengage import operators

        yield operators


class Stage:
    """What the task meets: a run, its pause, and Airflow's side of a question."""

    def __init__(self, operators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        from reengage.pipeline.breaker import Question
        from reengage.pipeline.send import Sent

        self.question: Question | None = None
        self.sent = Sent({"sent": 3}, None)
        self.answers: list[tuple[Any, ...]] = []
        self.asked: list[dict[str, Any]] = []
        self.approvers = ["olga"]
        self.away: list[tuple[Any, ...]] = []
        self.stands: tuple[str, str] | None = None
        self.noted: list[tuple[Any, ...]] = []
        self.closed: list[Any] = []
        self.make = lambda: Question(2, 0, "go on?", "| codes |", timedelta(hours=3))
        self.paused = Sent({"sent": 2, "composed": 1}, None, paused=True)
        patch = monkeypatch.setattr
        patch("reengage.pipeline.send.send_what_is_open", lambda *_: self.sent)
        patch("reengage.pipeline.breaker.question_of", lambda _: self.question)
        patch("reengage.pipeline.breaker.answer", lambda _, *said: self.answers.append(said))
        patch("reengage.operator_asking.put_question", self._put)
        patch("reengage.pipeline.approvals.may_answer", lambda _, by: by in self.approvers)
        patch("reengage.pipeline.approvals.turned_away", lambda _, *said: self.away.append(said))
        patch("reengage.pipeline.approvals.require_approved", lambda *_: None)
        campaign = SimpleNamespace(slug="x")
        run = SimpleNamespace(settings=None, run_id="r", campaign=campaign, mode="live")
        patch("reengage.pipeline.run.resume", lambda *_: run)
        self.steps: list[str] = []
        ended = self.steps.append
        patch("reengage.pipeline.steps.record_step", lambda *_, **step: ended(step["outcome"]))
        patch(operators, "read_settings", lambda: None)
        settings = SimpleNamespace(now=lambda: datetime(2025, 6, 2, tzinfo=UTC))
        patch("reengage.operator_asking.read_settings", lambda: settings)
        patch("reengage.pipeline.required.note", lambda _, *said: self.noted.append(said))
        patch("reengage.pipeline.required.close", lambda _, place: self.closed.append(place))
        patch(operators.RoomOperator, "_begin", lambda *_: None)

    def _put(self, question: dict[str, Any]) -> tuple[str, str]:
        self.asked.append(question)
        return self.stands or (question["subject"], question["body"])


@pytest.fixture
def stage(operators: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(operators, monkeypatch)


@pytest.fixture
def task(operators: Any) -> Callable[[int], Any]:
    def of(number: int) -> Any:
        chunk = {"number": number, "first": 0, "last": 0}
        return operators.SendOperator(task_id="send", campaign="x", chunk=chunk)

    return of


def context() -> Any:
    ti = SimpleNamespace(
        map_index=0, try_number=1, id="ti-1", task_id="send", xcom_push=lambda **_: None
    )
    return {"ti": ti, "dag_run": SimpleNamespace(dag_id="reengage_x", run_id="manual__1")}


def test_a_day_without_trouble_asks_nobody(stage: Stage, task: Callable[[int], Any]) -> None:
    assert task(0).execute(context()) == {"sent": 3}
    assert stage.asked == []


def test_the_chunk_that_met_it_asks_as_airflows_own_operator_does(
    stage: Stage, task: Callable[[int], Any]
) -> None:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
    from airflow.sdk.exceptions import TaskAwaitingInput

    stage.question, stage.sent = stage.make(), stage.paused
    with pytest.raises(TaskAwaitingInput) as raised:
        task(0).execute(context())
    assert (raised.value.method_name, raised.value.kwargs) == ("execute_complete", {"number": 2})
    assert raised.value.timeout == timedelta(hours=3)
    [asked] = stage.asked
    assert asked["options"] == [ApprovalOperator.APPROVE, ApprovalOperator.REJECT]
    assert asked["params"]["reason"]["schema"]["minLength"] == 3  # a yes goes on record with why
    assert asked["defaults"] == [ApprovalOperator.REJECT]  # nobody's answer is a no
    assert (asked["ti_id"], asked["subject"], asked["body"]) == ("ti-1", "go on?", "| codes |")
    [(place, subject, things, until)] = stage.noted
    assert (place.task, place.map_index, subject, things) == ("send", 0, "go on?", {})
    assert until == datetime(2025, 6, 2, 3, tzinfo=UTC)
    assert stage.closed == []


def test_the_other_chunks_come_back_in_minutes_and_hold_no_worker(
    stage: Stage, task: Callable[[int], Any], operators: Any
) -> None:
    stage.question, stage.sent = stage.make(), stage.paused
    with pytest.raises(operators.AirflowRescheduleException) as raised:
        task(1).execute(context())
    assert raised.value.reschedule_date - datetime.now(UTC) <= timedelta(minutes=5)
    assert stage.asked == []


@pytest.mark.parametrize(
    ("event", "answer"),
    [
        (ANSWER, (2, "approved", "olga", WHY)),
        ({**ANSWER, "chosen_options": ["Reject"]}, (2, "rejected", "olga", WHY)),
        (
            {**ANSWER, "chosen_options": ["Reject"], "params_input": {}},
            (2, "rejected", "olga", NO_REASON),
        ),
        ({"chosen_options": ["Reject"], "responded_by_user": None}, (2, "rejected", "", NO_REASON)),
        ({"chosen_options": [], "responded_by_user": None}, (2, "rejected", "", NO_REASON)),
    ],
)
def test_the_answer_is_recorded_before_anything_is_sent(
    event: dict[str, Any],
    answer: tuple[Any, ...],
    stage: Stage,
    task: Callable[[int], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    monkeypatch.setattr(
        "reengage.pipeline.breaker.answer", lambda _, *said: order.append(str(said))
    )
    monkeypatch.setattr(
        "reengage.pipeline.send.send_what_is_open",
        lambda *_: order.append("send") or stage.sent,  # type: ignore[func-returns-value]
    )
    resumed = task(0).resume_execution("execute_complete", {"event": event, "number": 2}, context())
    assert resumed == {"sent": 3}
    assert order == [str(answer), "send"]
    assert [(place.task, place.map_index) for place in stage.closed] == [("send", 0)]


def test_who_is_no_approver_resumes_no_run_and_the_question_stands(
    stage: Stage, task: Callable[[int], Any]
) -> None:
    from airflow.sdk.exceptions import TaskAwaitingInput

    stage.approvers = ["carla"]
    stage.question, stage.sent = stage.make(), stage.paused
    with pytest.raises(TaskAwaitingInput):
        task(0).resume_execution("execute_complete", {"event": ANSWER, "number": 2}, context())
    assert stage.answers == []
    assert stage.away == [("olga", {"breaker/x": 2}, "r")]
    assert len(stage.asked) == 1


@pytest.mark.parametrize("said", [{}, {"reason": "ok"}, {"reason": "asked m.doe@example.org"}])
def test_a_yes_without_a_reason_resumes_no_run_and_the_question_stands(
    said: dict[str, str], stage: Stage, task: Callable[[int], Any]
) -> None:
    """SEC-15: of all decisions this is the one that needs a ground on record."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    stage.question, stage.sent = stage.make(), stage.paused
    event = {**ANSWER, "params_input": said}
    with pytest.raises(TaskAwaitingInput):
        task(0).resume_execution("execute_complete", {"event": event, "number": 2}, context())
    assert stage.answers == []
    assert len(stage.asked) == 1


def test_the_next_pause_of_a_try_is_the_next_trys_question(
    stage: Stage, task: Callable[[int], Any]
) -> None:
    """Airflow keeps the text of a try's first question: the counts would be the first pause's."""
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    stage.question, stage.sent = stage.make(), stage.paused
    stage.stands = ("go on?", "| the first pause's codes |")
    told: dict[str, str] = {}
    around = context()
    around["ti"].xcom_push = lambda *, key, value: told.update({key: value})
    with pytest.raises(AirflowException, match="the next try asks") as raised:
        task(0).execute(around)
    assert not isinstance(raised.value, AirflowFailException)
    # A failed try like any other: the run's note, its step and the ledger have it.
    assert stage.steps == ["success", "failed"]
    assert told.keys() == {"reengage_reason", "reengage_note"}
    assert "the next try asks" in told["reengage_note"]
