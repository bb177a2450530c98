"""The only file that Airflow's plugin scanner reads here (see .airflowignore).

Puts the reason of a failed task on its DAG run as the note, where whoever opens the run in the UI
sees it first. The reason is a text of ours, free of patient data by construction (operators.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from reengage.operators import REASON_KEY

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


class NoteOfFailure:
    """Listens in the scheduler, in the transaction that ends the run."""

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        """Note the reasons of a campaign's run; runs of other DAGs are left alone."""
        from airflow.models.xcom import XComModel
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None or not dag_run.dag_id.startswith("reengage_"):
            return
        found = session.scalars(
            XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key=REASON_KEY)
        )
        reasons = dict.fromkeys(str(XComModel.deserialize_value(one)) for one in found)
        if reasons:
            dag_run.note = "\n".join(list(reasons)[:5])[:1000]


class ReengagePlugin(AirflowPlugin):
    """What reengage adds to Airflow besides its DAGs."""

    name = "reengage"
    listeners = [NoteOfFailure()]  # noqa: RUF012 - the form that Airflow asks for
