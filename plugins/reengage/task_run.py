"""Task run: who a task is, in the words of Airflow's own OpenLineage provider.

The ledger's run ids are the provider's, so that its events and ours speak of the same run. Computed
here from what a task has in its context, whether or not the provider is on; a test compares them
with the provider's own. Two tries have different ids; a try that waits and goes on keeps its own.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from reengage.lineage.events import TaskRun

if TYPE_CHECKING:
    from airflow.sdk import Context


def task_run_of(context: Context) -> TaskRun:
    """The try that this context is of."""
    import airflow
    from airflow.providers.openlineage import conf
    from openlineage.client.uuid import generate_static_uuid

    ti, dag_run = context["ti"], context["dag_run"]
    namespace: str = conf.namespace()
    instant: datetime = dag_run.logical_date or dag_run.run_after
    map_index = -1 if ti.map_index is None else ti.map_index
    of_task = f"{namespace}.{dag_run.dag_id}.{ti.task_id}.{ti.try_number}.{map_index}"
    of_dag_run = f"{namespace}.{dag_run.dag_id}.{dag_run.clear_number or 0}"
    return TaskRun(
        run_id=generate_static_uuid(instant, of_task.encode()),
        job_namespace=namespace,
        job_name=f"{dag_run.dag_id}.{ti.task_id}",
        parent_run_id=generate_static_uuid(instant, of_dag_run.encode()),
        parent_job_name=dag_run.dag_id,
        nominal_start=instant,
        task=ti.task_id,
        map_index=map_index,
        try_number=ti.try_number,
        engine_version=airflow.__version__,
    )
