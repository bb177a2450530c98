"""The audit of the ledger, daily: is it what it was, and does it know everything that ran?

    verify → checkpoint → archive
    verify → reconcile
    remind

`verify` derives the ledger again from its bytes and compares it with every checkpoint. `checkpoint`
signs what it is now, `archive` copies it to where nothing is written twice, `reconcile` compares it
with Airflow's own account of every try and closes the runs of tasks that died. Nothing is ever
deleted. A red verify signs and archives nothing; what reconcile finds is worth knowing then, too,
so it runs in any case. A gap fails the run, and is told on it, every day until somebody who knows
why triggers the DAG with `accept`. What each finding means and what to do: docs/audit.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param
from reengage import audit_operators as task
from reengage.notifiers import ON_FAILURE
from reengage.roles import DAG_ACCESS

LEDGER = Asset("reengage://store/ledger")
CHECKPOINTS = Asset("reengage://checkpoints")
PARAMS = {
    "accept": Param(
        False,
        type="boolean",
        description="The gaps that reconcile lists are understood: record that, tell them no more.",
    ),
}

with DAG(
    dag_id="reengage_audit",
    dag_display_name="Audit of the ledger",
    description="Verifies the ledger, signs a checkpoint, archives it, reconciles it with Airflow",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 5 * * *", timezone="UTC"),  # between two days of campaigns
    start_date=datetime(2024, 1, 1),  # noqa: DTZ001 - Airflow reads it in the timetable's zone
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # an audit that nobody switched on would tell nobody
    access_control=DAG_ACCESS,
    tags=["reengage", "audit"],
    params=PARAMS,
    default_args={
        "owner": "compliance",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "on_failure_callback": ON_FAILURE,
        "execution_timeout": timedelta(hours=2),
    },
):
    verify = task.VerifyOperator(task_id="verify", inlets=[LEDGER, CHECKPOINTS])
    checkpoint = task.CheckpointOperator(
        task_id="checkpoint", inlets=[LEDGER], outlets=[CHECKPOINTS]
    )
    archive = task.ArchiveOperator(task_id="archive", inlets=[LEDGER, CHECKPOINTS])
    reconcile = task.ReconcileOperator(
        task_id="reconcile", trigger_rule="all_done", inlets=[LEDGER]
    )
    task.RemindOperator(task_id="remind")

    verify >> checkpoint >> archive
    verify >> reconcile
