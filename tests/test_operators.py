"""Operators: whatever a room does, Airflow is told what to do next and nothing of a patient.

Shows SEC-10 and OLN-12 for each way in which a task can fail. The corridor is Airflow's own
operator, executed with a stub of the context; the rooms are made to order.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from reengage.errors import ConfigurationError, RelayError, StoreError
from reengage.notes import NOTE_KEY, REASON_KEY, WITHHELD

CANARY = "canary.4711@example.org"


class Context(dict[str, Any]):
    """What the corridor uses of Airflow's context; `told` holds the XComs that were pushed."""

    def __init__(self) -> None:
        self.told: dict[str, str] = {}
        ti = SimpleNamespace(map_index=None, try_number=2, xcom_push=self._push)
        dag_run = SimpleNamespace(dag_id="reengage_x", run_id="manual__1")
        super().__init__(ti=ti, dag_run=dag_run)

    def _push(self, *, key: str, value: str) -> None:
        self.told[key] = value


@pytest.fixture(scope="module")
def operators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module, with an AIRFLOW_HOME of its own: Airflow reads it when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        patch.setenv("AIRFLOW__CORE__UNIT_TEST_MODE", "False")
        from reengage import operators

        yield operators


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The steps that were recorded."""
    recorded: list[dict[str, Any]] = []

    def record_step(run_id: UUID, **step: Any) -> None:
        recorded.append(step)

    monkeypatch.setattr("reengage.pipeline.steps.record_step", record_step)
    return recorded


@pytest.fixture
def task(operators: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """A task whose room does what is asked."""
    monkeypatch.setattr(operators, "read_settings", lambda: None)

    def make(room: Callable[[], Any]) -> Any:
        class Room(operators.RoomOperator):  # type: ignore[misc]
            def _begin(self, settings: object, context: object) -> None:
                return None

            def _in_room(self, settings: object, context: object, trail: object) -> Any:
                return room()

        return Room(task_id="send", campaign="x")

    return make


def raising(error: BaseException) -> Callable[[], Any]:
    def room() -> Any:
        try:
            raise LookupError(CANARY)
        except LookupError:
            raise error  # noqa: B904 - a driver's error rides along, as it would

    return room


def failure_of(task: Any, context: Context) -> BaseException:
    with pytest.raises(BaseException) as raised:  # noqa: PT011 - each test looks at it
        task.execute(context)
    return raised.value


def all_of(error: BaseException) -> str:
    """What Airflow could log of it."""
    text = "".join(traceback.format_exception(error))
    return f"{text} {error!r} {error.args} {error.__context__!r} {error.__cause__!r}"


def test_what_a_room_gives_is_returned_and_its_step_recorded(task: Any, steps: list[Any]) -> None:
    context = Context()
    assert task(lambda: {"sent": 3}).execute(context) == {"sent": 3}
    [step] = steps
    assert (step["task"], step["map_index"], step["try_number"]) == ("send", -1, 2)
    assert step["outcome"] == "success"
    assert context.told == {}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (StoreError("the store is away"), "AirflowException"),
        (RelayError("the relay is away"), "AirflowException"),
        (ConfigurationError("the file is wrong"), "AirflowFailException"),
    ],
    ids=["store", "relay", "configuration"],
)
def test_an_error_of_ours_is_tried_again_only_where_time_may_mend_it(
    error: Exception, kind: str, task: Any, steps: list[Any]
) -> None:
    context = Context()
    failure = failure_of(task(raising(error)), context)
    assert type(failure).__name__ == kind
    assert str(failure) == f"{type(error).__name__}: {error}"
    assert context.told[REASON_KEY] == f"send: {failure}"
    assert set(context.told) == {REASON_KEY, NOTE_KEY}
    assert CANARY not in all_of(failure)
    assert [step["outcome"] for step in steps] == ["failed"]


def test_a_count_is_told_in_log_and_reason_and_not_in_the_note(task: Any, steps: list[Any]) -> None:
    """PRV-27: whoever opens the run reads the note, an Analyst too."""
    context = Context()
    error = StoreError("7 patients were to get a letter and have none")
    assert "7 patients" in str(failure_of(task(raising(error)), context))
    assert "7 patients" in context.told[REASON_KEY]
    assert context.told[NOTE_KEY] == f"send: {WITHHELD}"
    failure_of(task(raising(ConfigurationError("campaigns/x.yaml:6: mend it"))), context)
    assert context.told[NOTE_KEY] == context.told[REASON_KEY]


def test_the_plugin_makes_the_note_of_what_was_left_for_it_and_of_nothing_else(
    operators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models.xcom import XComModel
    from reengage_plugin import NoteOfFailure

    asked: list[str] = []
    monkeypatch.setattr(XComModel, "get_many", lambda **which: asked.append(which["key"]))
    monkeypatch.setattr(XComModel, "deserialize_value", lambda found: found)
    session = SimpleNamespace(scalars=lambda _: ["send: one", "send: one", "settle: two"])
    monkeypatch.setattr("sqlalchemy.orm.object_session", lambda _: session)
    dag_run = SimpleNamespace(dag_id="reengage_x", run_id="manual__1", note=None)
    NoteOfFailure().on_dag_run_failed(dag_run, "")  # type: ignore[arg-type]
    assert asked == [NOTE_KEY]
    assert dag_run.note == "send: one\nsettle: two"


def test_of_an_unforeseen_error_only_type_and_place_are_told(task: Any, steps: list[Any]) -> None:
    context = Context()
    failure = failure_of(task(raising(ValueError(CANARY))), context)
    assert type(failure).__name__ == "AirflowException"
    assert "unforeseen ValueError at " in str(failure)
    assert "operators.py:" in str(failure)
    assert failure.__context__ is None
    assert failure.__cause__ is None
    assert CANARY not in all_of(failure) + str(context.told)
    assert [step["outcome"] for step in steps] == ["failed"]


def test_a_task_over_its_time_limit_fails_with_a_text_of_ours(task: Any, steps: list[Any]) -> None:
    from airflow.sdk.execution_time.timeout import timeout

    def room() -> None:
        try:
            raise LookupError(CANARY)
        except LookupError:
            time.sleep(30)  # until Airflow's own alarm

    context = Context()
    with timeout(0.05):
        failure = failure_of(task(room), context)
    assert type(failure).__name__ == "AirflowException"
    assert str(failure).startswith("send was stopped by its time limit after 0 s; ")
    assert "clear the task and it goes on where it stopped" in context.told[REASON_KEY]
    assert context.told[NOTE_KEY].startswith("send: send was stopped by its time limit; what it")
    assert failure.__context__ is None
    assert CANARY not in all_of(failure)
    assert [step["outcome"] for step in steps] == ["failed"]


def test_the_send_task_comes_back_when_a_window_opens(
    operators: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither failed nor done: no try is used up, and nothing that comes after it begins."""
    from airflow.sdk.exceptions import AirflowRescheduleException
    from reengage.pipeline.send import Sent

    opening = datetime(2025, 6, 2, 18, tzinfo=UTC)
    tries = iter([Sent({"deferred": 1, "sent": 2}, opening), Sent({"sent": 3}, None)])
    monkeypatch.setattr(operators, "read_settings", lambda: None)
    monkeypatch.setattr(operators.SendOperator, "_begin", lambda *_: None)
    monkeypatch.setattr(operators.SendOperator, "_in_room", lambda *_: next(tries))
    chunk = {"number": 0, "first": 0, "last": 0}
    task, context = operators.SendOperator(task_id="send", campaign="x", chunk=chunk), Context()
    with pytest.raises(AirflowRescheduleException) as raised:
        task.execute(context)
    assert raised.value.reschedule_date == opening
    assert task.execute(context) == {"sent": 3}
    assert [step["outcome"] for step in steps] == ["success", "success"]
    assert context.told == {}


def test_a_relay_that_has_no_time_holds_no_worker_and_fails_nothing(
    operators: Any, steps: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A campaign that begins while another one has all connections is not lost for the day."""
    from airflow.sdk.exceptions import AirflowRescheduleException
    from reengage.relay import RelayBusyError

    again = datetime(2025, 6, 2, 18, tzinfo=UTC)
    instants = iter([again, None])

    def busy(*_: object, **__: object) -> None:
        raise RelayBusyError("all connections are in use")

    monkeypatch.setattr(operators, "read_settings", lambda: None)
    monkeypatch.setattr(operators.PreflightOperator, "_begin", lambda *_: None)
    monkeypatch.setattr("reengage.pipeline.preflight.preflight", busy)
    monkeypatch.setattr("reengage.pipeline.preflight.when_to_ask_again", lambda *_: next(instants))
    task, context = operators.PreflightOperator(task_id="preflight", campaign="x"), Context()
    context["params"], context["ti"].max_tries = {}, 2
    context["dag_run"] = SimpleNamespace(
        dag_id="reengage_x", run_id="manual__1", run_type="manual", logical_date=None
    )
    with pytest.raises(AirflowRescheduleException) as raised:
        task.execute(context)
    assert raised.value.reschedule_date == again
    assert context.told == {}
    failure = failure_of(task, context)  # its day ends before that
    assert str(failure) == "RelayBusyError: all connections are in use"


def test_airflow_starts_a_task_again_that_comes_back_at_its_time_and_not_before(
    operators: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the send task relies on: a mapped task that is no sensor waits for the instant."""
    from airflow.ti_deps.dep_context import DepContext
    from airflow.ti_deps.deps.ready_to_reschedule import ReadyToRescheduleDep
    from airflow.utils.state import TaskInstanceState

    opening = datetime.now(UTC)
    waits = SimpleNamespace(state=TaskInstanceState.UP_FOR_RESCHEDULE, map_index=0, id="1")
    session = SimpleNamespace(scalar=lambda _: opening)

    def may_start(now: datetime) -> bool:
        monkeypatch.setattr("airflow.ti_deps.deps.ready_to_reschedule.timezone.utcnow", lambda: now)
        found = ReadyToRescheduleDep()._get_dep_statuses(waits, DepContext(), session=session)
        return all(status.passed for status in found)

    assert not may_start(opening - timedelta(seconds=1))
    assert may_start(opening)


@pytest.mark.parametrize("late", [False, True], ids=["store is down", "time limit"])
def test_a_step_that_cannot_be_recorded_hides_no_outcome(
    late: bool, task: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowTaskTimeout

    def record_step(*_: object, **__: object) -> None:
        raise AirflowTaskTimeout(CANARY) if late else ConnectionError(CANARY)

    monkeypatch.setattr("reengage.pipeline.steps.record_step", record_step)
    assert task(lambda: 3).execute(Context()) == 3
    failure = failure_of(task(raising(StoreError("the store is away"))), Context())
    assert str(failure) == "StoreError: the store is away"
    assert CANARY not in all_of(failure)
