"""The only file that Airflow's plugin scanner reads here (see .airflowignore).

Mounts the reports in Airflow's UI: an item of the menu, and a tab on the campaigns' DAGs and runs.
The app has its own guard, as Airflow gives a plugin's none. Only the api-server makes it.

Stands before every door of Airflow's that takes a password and counts the tries (log_in/).

Puts what may be said of a failed task on its DAG run as the note, where whoever opens the run in
the UI sees it first, an Analyst too: a text of ours, without patient data or a count (notes.py).
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin
from reengage.notes import NOTE_KEY

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun


class NoteOfFailure:
    """Listens in the scheduler, in the transaction that ends the run."""

    @hookimpl
    def on_dag_run_failed(self, dag_run: DagRun, msg: str) -> None:
        """Note why a run of ours failed; runs of other DAGs are left alone."""
        from airflow.models.xcom import XComModel
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None or not dag_run.dag_id.startswith("reengage_"):
            return
        found = session.scalars(
            XComModel.get_many(run_id=dag_run.run_id, dag_ids=dag_run.dag_id, key=NOTE_KEY)
        )
        reasons = dict.fromkeys(str(XComModel.deserialize_value(one)) for one in found)
        if reasons:
            dag_run.note = "\n".join(list(reasons)[:5])[:1000]


class Reports:
    """The app of the reports, made when somebody first opens it: schedulers and tasks never do."""

    def __init__(self) -> None:
        self._app: Any = None
        self._making = Lock()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        if self._app is None:
            from starlette.concurrency import run_in_threadpool

            await run_in_threadpool(self._make)
        await self._app(scope, receive, send)

    def _make(self) -> None:
        with self._making:
            if self._app is None:
                from reengage.reports.app import build_app

                self._app = build_app()


def log_in_limit(app: Any, **options: Any) -> Any:
    """The limit of tries to log in around Airflow's app; schedulers and tasks never make it."""
    from reengage.log_in.limit import LogInLimit

    return LogInLimit(app, **options)


class ReengagePlugin(AirflowPlugin):
    """What reengage adds to Airflow besides its DAGs."""

    name = "reengage"
    listeners = [NoteOfFailure()]  # noqa: RUF012 - the form that Airflow asks for
    fastapi_apps = [{"app": Reports(), "url_prefix": "/reengage", "name": "Re-engagement reports"}]  # noqa: RUF012
    fastapi_root_middlewares = [{"name": "log-in limit", "middleware": log_in_limit, "kwargs": {}}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Reports",
            "href": "reengage/",  # without the slash Airflow answers with its own front page
            "url_route": "reengage",
            "destination": "nav",
            "nav_top_level": True,
        },
        {
            "name": "Re-engagement",
            "href": "reengage/dags/{DAG_ID}",
            "url_route": "reengage-campaign",
            "destination": "dag",
        },
        {
            "name": "Re-engagement",
            "href": "reengage/dags/{DAG_ID}/runs/{RUN_ID}",
            "url_route": "reengage-run",
            "destination": "dag_run",
        },
    ]
