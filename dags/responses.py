"""What comes back of letters, every hour: bounces, complaints, opt-outs by mail, replies.

    imap, maildir, spool

Each task reads one kind of place: the mailboxes and the Maildir that letters come back to, and the
spool of vendors' signed events. A dead address is suppressed at once, one with passing trouble
after several letters and for a while; a complaint suppresses its patient for that purpose; an
opt-out holds from the next claim on. Letters that were `unknown` are found out about. A message is
read once, whatever dies on the way, and removed; what a person wrote is moved to the staff's folder
unread. Trigger it at any time: docs/responses.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable
from reengage import responses_operators as task
from reengage.notifiers import ON_FAILURE
from reengage.roles import DAG_ACCESS

SUPPRESSIONS = Asset("reengage://store/suppression")
OPT_OUTS = Asset("reengage://store/opt_out")

with DAG(
    dag_id="reengage_responses",
    dag_display_name="What comes back",
    description="Bounces, complaints, opt-outs and replies: suppressions, and resolved letters",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("7 * * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1),  # noqa: DTZ001 - Airflow reads it in the timetable's zone
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=False,  # an opt-out that nobody reads would not hold
    access_control=DAG_ACCESS,
    tags=["reengage", "responses"],
    default_args={
        "owner": "data-engineering",
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "on_failure_callback": ON_FAILURE,
        "execution_timeout": timedelta(minutes=50),
        "outlets": [SUPPRESSIONS, OPT_OUTS],
    },
):
    task.ReadOperator(task_id="imap", source="imap")
    task.ReadOperator(task_id="maildir", source="maildir")
    task.ReadOperator(task_id="spool", source="spool")
