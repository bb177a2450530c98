"""Who came back: daily, for every campaign, by the warehouse's own visits alone.

    observe → publish

`observe` asks the warehouse, as of the end of a day, about everybody whose follow-up is open: those
who were to be written to and those who were held out. `publish` makes the report's tables of it,
counts only, small ones withheld. Both may be retried and cleared; a day that was reported on is not
asked about again, and its report, made again, is the same. No letter is ever looked at by its
opening or its links: what counts is whether a patient came. What the tables hold: docs/reports.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param
from reengage import outcomes_operators as task
from reengage.notifiers import ON_FAILURE
from reengage.roles import DAG_ACCESS

PATIENTS = Asset("reengage://warehouse/contract")
KNOWN = Asset("reengage://store/outcomes/known")
REPORT = Asset("reengage://store/outcomes/report")
PARAMS = {
    "as_of": Param(
        None,
        type=["null", "string"],
        format="date",
        description="Day to report on, one that is over; without it, the last that is.",
    ),
}

with DAG(
    dag_id="reengage_outcomes",
    dag_display_name="Who came back",
    description="Follows everybody written to or held out, and reports who returned to care",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("30 10 * * *", timezone="UTC"),  # the day is over in every state
    start_date=datetime(2024, 1, 1),  # noqa: DTZ001 - Airflow reads it in the timetable's zone
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,
    access_control=DAG_ACCESS,
    tags=["reengage", "outcomes"],
    params=PARAMS,
    default_args={
        "owner": "data-engineering",
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "on_failure_callback": ON_FAILURE,
        "execution_timeout": timedelta(hours=2),
    },
):
    observe = task.ObserveOperator(task_id="observe", inlets=[PATIENTS], outlets=[KNOWN])
    publish = task.PublishOperator(task_id="publish", inlets=[KNOWN], outlets=[REPORT])

    observe >> publish
