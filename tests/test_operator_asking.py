"""Asking for an approval: what each answer leads to, and that no answer is a no."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

PAST = datetime(2025, 5, 1, 14, tzinfo=UTC)
THINGS = {"template/x": "a" * 64}
YES = {
    "chosen_options": ["Approve"],
    "params_input": {"reason": "read both languages"},
    "responded_by_user": {"id": "2", "name": "olga"},
}


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module, with an AIRFLOW_HOME of its own: Airflow reads it when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from reengage import operators

        yield operators


class Stage:
    """A preflight that finds `missing` unapproved until it was approved."""

    def __init__(self, operators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.missing: dict[str, str] = dict(THINGS)
        self.approvers: tuple[str, ...] = ()
        self.recorded: list[tuple[Any, ...]] = []
        self.turned_away: list[str] = []
        self.stands: tuple[str, str] | None = None
        self.asked: list[dict[str, Any]] = []
        self.noted: list[tuple[Any, ...]] = []
        self.closed: list[Any] = []
        settings = SimpleNamespace(now=lambda: datetime(2025, 6, 2, tzinfo=UTC))
        self.task = operators.PreflightOperator(task_id="preflight", campaign="x")
        patch = monkeypatch.setattr
        patch(operators.PreflightOperator, "_open", lambda *_: self._open())
        patch(operators.RoomOperator, "_begin", lambda *_: None)
        patch(operators, "read_settings", lambda: None)
        patch("reengage.pipeline.steps.record_step", lambda *_, **__: None)
        patch("reengage.operator_beginning.read_settings", lambda: settings)
        patch("reengage.pipeline.beginnings.begin", lambda *_, **__: None)
        patch("reengage.pipeline.beginnings.end", lambda *_: None)
        patch("reengage.operator_asking.read_settings", lambda: settings)
        patch("reengage.pipeline.required.note", lambda _, *said: self.noted.append(said))
        patch("reengage.pipeline.required.close", lambda _, place: self.closed.append(place))
        patch("reengage.pipeline.approvals.answer", self._answer)
        patch("reengage.pipeline.approvals.turned_away", lambda _, by, *__: self._away(by))
        patch("reengage.pipeline.approvals.may_answer", lambda _, by: self._may(by))
        patch("reengage.operator_asking.put_question", self._put)

    def _put(self, question: dict[str, Any]) -> tuple[str, str]:
        self.asked.append(question)
        return self.stands or (question["subject"], question["body"])

    def _open(self) -> dict[str, str]:
        from reengage.pipeline.question import Question, UnapprovedError

        if self.missing:
            raise UnapprovedError(Question("send?", "| x |", timedelta(hours=9), self.missing))
        return {"mode": "live"}

    def _answer(
        self, _: Any, things: Any, verdict: str, *, by: str, reason: str, run_id: Any
    ) -> None:
        from reengage.errors import RefusedError

        self.recorded.append((things, verdict, by, reason))
        if verdict == "rejected":
            raise RefusedError(f"{by} said no")
        self.missing = {n: d for n, d in self.missing.items() if things.get(n) != d}

    def _away(self, by: str) -> None:
        self.turned_away.append(by)

    def _may(self, by: str) -> bool:
        return not self.approvers or by in self.approvers

    def resume(self, event: dict[str, Any], things: dict[str, str] = THINGS) -> Any:
        kwargs = {"event": event, "things": things}
        return self.task.resume_execution("execute_complete", kwargs, context())


@pytest.fixture
def stage(operators: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(operators, monkeypatch)


@pytest.fixture
def waiting() -> Callable[..., Any]:
    from airflow.sdk.exceptions import TaskAwaitingInput

    return lambda: pytest.raises(TaskAwaitingInput)


def context() -> Any:
    ti = SimpleNamespace(
        map_index=None, try_number=1, max_tries=2, id="ti-1", task_id="preflight",
        xcom_push=lambda **_: None,
    )  # fmt: skip
    dag_run = SimpleNamespace(dag_id="reengage_x", run_id="manual__1", run_type="manual")
    return {"ti": ti, "dag_run": dag_run, "params": {}}


def test_a_run_by_what_nobody_approved_waits_for_a_person_and_wants_a_reason(
    stage: Stage, waiting: Callable[..., Any]
) -> None:
    with waiting() as raised:
        stage.task.execute(context())
    assert (raised.value.method_name, raised.value.kwargs) == (
        "execute_complete", {"things": THINGS},
    )  # fmt: skip
    assert raised.value.timeout == timedelta(hours=9)
    [asked] = stage.asked
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])
    assert asked["params"]["reason"]["schema"]["minLength"] == 3
    assert stage.recorded == []


def test_the_pages_learn_what_is_asked_about_what_and_until_when(
    stage: Stage, waiting: Callable[..., Any]
) -> None:
    with waiting():
        stage.task.execute(context())
    [(place, subject, things, until)] = stage.noted
    assert (place.dag_id, place.dag_run_id, place.task, place.map_index) == (
        "reengage_x", "manual__1", "preflight", -1,
    )  # fmt: skip
    assert (subject, things) == ("send?", THINGS)
    assert until == datetime(2025, 6, 2, 9, tzinfo=UTC)
    assert stage.resume(YES) == {"mode": "live"}
    assert stage.closed[-1] == place


def test_a_store_that_is_away_hinders_no_question(
    stage: Stage, waiting: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OSError

    monkeypatch.setattr("reengage.pipeline.required.note", away)
    monkeypatch.setattr("reengage.pipeline.required.close", away)
    with waiting():
        stage.task.execute(context())
    assert len(stage.asked) == 1


def test_with_everything_approved_nobody_is_asked(stage: Stage) -> None:
    stage.missing = {}
    assert stage.task.execute(context()) == {"mode": "live"}
    assert stage.asked == []


def test_a_yes_goes_on_in_the_same_try_on_record(stage: Stage) -> None:
    assert stage.resume(YES) == {"mode": "live"}
    assert stage.recorded == [(THINGS, "approved", "olga", "read both languages")]


@pytest.mark.parametrize(
    ("event", "record"),
    [
        ({**YES, "chosen_options": ["Reject"]}, ("rejected", "olga", "read both languages")),
        (
            {"chosen_options": ["Reject"], "params_input": {}, "responded_by_user": None},
            ("rejected", "nobody (not answered in time)", "no reason given"),
        ),
        # A timeout that approves, whoever set it up: nobody's name is on it.
        (
            {**YES, "responded_by_user": None},
            ("rejected", "nobody (not answered in time)", "read both languages"),
        ),
        ({**YES, "chosen_options": []}, ("rejected", "olga", "read both languages")),
        (
            {"error": "timeout", "error_type": "timeout"},
            ("rejected", "nobody (not answered in time)", "no reason given"),
        ),
    ],
)
def test_anything_but_a_persons_yes_is_a_no_and_fails_for_good(
    event: dict[str, Any], record: tuple[str, ...], stage: Stage
) -> None:
    from airflow.sdk.exceptions import AirflowFailException

    with pytest.raises(AirflowFailException, match="RefusedError"):
        stage.resume(event)
    assert stage.recorded == [(THINGS, *record)]


@pytest.mark.parametrize("reason", ["", "ok", "p4711@example.org asked", "chart 1234567", None, 7])
def test_a_yes_without_a_reason_that_may_be_kept_is_asked_for_again(
    reason: Any, stage: Stage, waiting: Callable[..., Any]
) -> None:
    with waiting():
        stage.resume({**YES, "params_input": {"reason": reason}})
    assert stage.recorded == []
    assert len(stage.asked) == 1


def test_who_is_no_approver_is_turned_away_on_record_and_the_question_stands(
    stage: Stage, waiting: Callable[..., Any]
) -> None:
    stage.approvers = ("carla",)
    with waiting():
        stage.resume(YES)
    with waiting():
        stage.resume({**YES, "chosen_options": ["Reject"]})
    assert (stage.recorded, stage.turned_away) == ([], ["olga", "olga"])


def test_what_changed_while_it_was_asked_about_is_the_next_trys_question(stage: Stage) -> None:
    """Airflow keeps the text of a try's first question: it would ask about the wrong digest."""
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    stage.missing = {"template/x": "b" * 64}
    with pytest.raises(AirflowException, match="the next try asks") as raised:
        stage.resume(YES)
    assert not isinstance(raised.value, AirflowFailException)
    assert stage.asked == []


@pytest.mark.parametrize(
    ("run_type", "day"), [("scheduled", PAST), ("backfill", PAST), ("manual", None)]
)
def test_a_backfill_of_past_days_is_of_those_days_and_so_sends_nothing(
    run_type: str, day: datetime | None, operators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a run of today, each of its days would send today's letters."""
    seen: list[dict[str, Any]] = []
    run = SimpleNamespace(run_id="r", day="d", mode="m")
    monkeypatch.setattr(
        "reengage.pipeline.preflight.preflight", lambda *_, **said: seen.append(said) or run
    )
    dag_run = SimpleNamespace(
        dag_id="reengage_x", run_id="r1", run_type=run_type, logical_date=PAST
    )
    task = operators.PreflightOperator(task_id="preflight", campaign="x")
    task._open(None, {"params": {}, "dag_run": dag_run}, None)
    assert [one["scheduled_for"] for one in seen] == [day]
