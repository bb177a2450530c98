"""Notifiers: what Airflow calls leads to the alert; a reason that is not ours stays out of it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from reengage.errors import GateError
from reengage.settings import HOME

CANARY = "canary.4711@example.org"


@pytest.fixture(scope="module")
def notifiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The module, with an AIRFLOW_HOME of its own: Airflow reads it when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        from reengage import notifiers

        yield notifiers


@pytest.fixture
def told(notifiers: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The alerts that were to be told."""
    found: list[Any] = []
    monkeypatch.setattr("reengage.settings.read_settings", lambda: None)
    monkeypatch.setattr("reengage.alerts.tell.tell", lambda _, alert: found.append(alert))
    return found


def failing(error: Exception) -> Any:
    """A task whose room raises, after it failed, as Airflow's context has it."""
    from airflow.sdk.exceptions import AirflowException
    from reengage import operators

    class Room(operators.RoomOperator):
        def _begin(self, settings: object, context: object) -> None:
            return None

        def _in_room(self, settings: object, context: object, trail: object) -> Any:
            raise error

        def _record_step(self, *_: object) -> None:
            return None

    task = Room(task_id="gate", campaign="x")
    ti = SimpleNamespace(xcom_push=lambda **_: None, log_url="https://a.test/x")
    context = {
        "ti": ti, "task": task, "exception": error,
        "dag_run": SimpleNamespace(dag_id="reengage_x", run_id="manual__1"),
    }  # fmt: skip
    with pytest.raises(AirflowException):
        task.execute(context)
    return context


def test_a_reason_of_ours_is_told(
    notifiers: Any, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reengage.operators.read_settings", lambda: None)
    notifiers.FailureNotifier()(failing(GateError("suite cohort: consented in set")))
    [alert] = told
    assert alert.key == "reengage_x/manual__1/gate"
    assert alert.reason == "gate: GateError: suite cohort: consented in set"
    assert alert.link == "https://a.test/x"


def test_of_any_other_error_the_place_only(
    notifiers: Any, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reengage.operators.read_settings", lambda: None)
    notifiers.FailureNotifier()(failing(LookupError(CANARY)))
    [alert] = told
    assert "canary" not in alert.text
    assert "unforeseen LookupError at" in alert.reason


def test_a_task_that_died_is_told_of_without_its_text(notifiers: Any, told: list[Any]) -> None:
    context = {
        "ti": SimpleNamespace(log_url=None),
        "task": SimpleNamespace(task_id="send"),
        "exception": RuntimeError(CANARY),
        "dag_run": SimpleNamespace(dag_id="reengage_x", run_id="manual__1"),
    }
    notifiers.FailureNotifier()(context)
    assert "canary" not in told[0].text


def test_a_late_run_is_told_by_the_executor_and_needs_no_triggerer(
    notifiers: Any, told: list[Any]
) -> None:
    """Called as Airflow's supervisor of callbacks calls it: path, kwargs, the run as JSON."""
    from airflow.sdk.execution_time.callback_supervisor import execute_callback

    alert = notifiers.deadline(HOME)
    assert type(alert.callback).__name__ == "SyncCallback"
    run = {"dag_id": "reengage_x", "dag_run_id": "scheduled__1"}
    kwargs = {**alert.callback.kwargs, "context": {"dag_run": run}}
    log = SimpleNamespace(**dict.fromkeys(("debug", "info", "exception"), lambda *_, **__: None))
    assert execute_callback(alert.callback.path, kwargs, "", None, log) == (True, None)
    assert told[0].kind == "late"
    assert "its run scheduled__1 is not over 6 hours after" in told[0].text


def test_a_deadline_leaves_a_run_that_can_be_cleared(notifiers: Any) -> None:
    """With the instant of queueing, Airflow 3.3.2 answers 500 to whoever clears a task."""
    assert notifiers.deadline(HOME).reference.reference_name == "DagRunLogicalDateDeadline"


def test_a_process_without_settings_raises_nothing(
    notifiers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REENGAGE_STORE_URL", raising=False)
    context = {
        "ti": SimpleNamespace(), "task": SimpleNamespace(task_id="send"),
        "dag_run": SimpleNamespace(dag_id="reengage_x", run_id="manual__1"),
    }  # fmt: skip
    notifiers.FailureNotifier()(context)
