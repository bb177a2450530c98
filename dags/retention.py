"""Retention, daily: what was kept for as long as it had to be goes, and not a day before.

    sweep

What is kept how long, and by which rule, is one table: docs/retention.md. What a rule holds for six
years goes after them; the ledger, its archive and its checkpoints never go. It may be retried and
cleared at any time: the same again removes nothing. What went is in the ledger, in numbers.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable
from reengage import retention_operators as task
from reengage.notifiers import ON_FAILURE
from reengage.roles import DAG_ACCESS

STORE = Asset("reengage://store/retention")

with DAG(
    dag_id="reengage_retention",
    dag_display_name="Retention",
    description="Removes what was kept for as long as it had to be",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("10 6 * * *", timezone="UTC"),  # after the audit
    start_date=datetime(2024, 1, 1),  # noqa: DTZ001 - Airflow reads it in the timetable's zone
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # what must go, goes without anybody who switches it on
    access_control=DAG_ACCESS,
    tags=["reengage", "retention"],
    default_args={
        "owner": "compliance",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "on_failure_callback": ON_FAILURE,
        "execution_timeout": timedelta(hours=1),
    },
):
    task.SweepOperator(task_id="sweep", outlets=[STORE])
