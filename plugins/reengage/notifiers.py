"""Notifiers: Airflow's own callbacks, by which staff are told (alerts).

`ON_FAILURE` is every DAG's `on_failure_callback` of its tasks: it runs once the last try failed, in
the worker that holds the settings. A task whose process died is told of by whoever closes it for
Airflow, without a reason. `deadline()` is a campaign's deadline; it runs on the executor, so that
no triggerer is needed. A reason is told only where the corridor made it: whatever else raised may
quote a patient (SEC-10).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

if TYPE_CHECKING:
    from airflow.sdk import Context

    from reengage.alerts.alert import Alert


class FailureNotifier(BaseNotifier):  # type: ignore[misc]  # Airflow is not followed by mypy
    """Tells that a task failed for good."""

    def notify(self, context: Context) -> None:
        """Tell it. Raises nothing."""
        from reengage.alerts.alert import failed

        dag_run, task = context["dag_run"], context["task"]
        reason = getattr(task, "told", None)
        link = getattr(context["ti"], "log_url", None)
        _tell(failed(dag_run.dag_id, dag_run.run_id, task.task_id, reason, link))


class LateNotifier(BaseNotifier):  # type: ignore[misc]  # as above
    """Tells that a run was not over in time."""

    def __init__(self, hours: int, context: Context | None = None) -> None:
        super().__init__(context)
        self.hours = hours

    def notify(self, context: Context) -> None:
        """Tell it. Raises nothing. Airflow gives a deadline's callback the run as JSON."""
        from reengage.alerts.alert import late

        found: Any = context.get("dag_run") or {}
        run = found if isinstance(found, dict) else vars(found)
        ids = str(run.get("dag_id", "a campaign")), str(run.get("dag_run_id") or run.get("run_id"))
        _tell(late(*ids, timedelta(hours=self.hours)))


ON_FAILURE = [FailureNotifier()]


def deadline(home: Path) -> DeadlineAlert | None:
    """When a campaign's run is late, as practice.yaml says it; None = the file does not load.

    Preflight says why it does not; a DAG that does not parse would say it in a stranger place.
    """
    from reengage.errors import ConfigurationError
    from reengage.practice import load_practice

    try:
        hours = load_practice(home / "practice.yaml").alerts.late_after_hours
    except ConfigurationError:
        return None
    # Not DAGRUN_QUEUED_AT: with it Airflow 3.3.2 answers 500 to whoever clears a task of the run
    # (`_recalculate_dagrun_queued_at_deadlines` takes the stored interval for a number). A run
    # that was triggered by hand has no logical date, and whoever triggered it watches it.
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_LOGICAL_DATE,
        interval=timedelta(hours=hours),
        callback=SyncCallback(LateNotifier, kwargs={"hours": hours}),
    )


def tell_question(context: Context, task_id: str, subject: str, about: str) -> None:
    """Tell that a run waits for an answer. Raises nothing."""
    from reengage.alerts.alert import question

    dag_run = context["dag_run"]
    link = getattr(context["ti"], "log_url", None)
    _tell(question(dag_run.dag_id, dag_run.run_id, task_id, subject, about, link))


def _tell(alert: Alert) -> None:
    from reengage.alerts.tell import tell
    from reengage.errors import ConfigurationError
    from reengage.settings import read_settings

    try:
        settings = read_settings()
    except ConfigurationError:
        return  # a process that has no settings has no way to tell anybody
    tell(settings, alert)
