"""Tells a lineage backend what the ledger says, every five minutes, where there is one.

    mirror

The ledger is the truth, the backend a copy that may lag: each event is told at least once, in
order, from where it was left off. Without `REENGAGE_MIRROR_URL` there is no such DAG.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable
from reengage import audit_operators as task
from reengage.roles import DAG_ACCESS
from reengage.settings import mirror_url

if mirror_url():
    with DAG(
        dag_id="reengage_ledger_mirror",
        dag_display_name="Mirror of the ledger",
        description="Tells an OpenLineage backend the run events that it was not told yet",
        doc_md=__doc__,
        schedule=CronTriggerTimetable("*/5 * * * *", timezone="UTC"),
        start_date=datetime(2024, 1, 1),  # noqa: DTZ001 - Airflow reads it in the timetable's zone
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
        access_control=DAG_ACCESS,
        tags=["reengage", "audit"],
        # The next run is the retry.
        default_args={"owner": "data-engineering", "execution_timeout": timedelta(minutes=30)},
    ):
        task.MirrorOperator(task_id="mirror", inlets=[Asset("reengage://store/ledger")])
