"""One DAG per campaign file: find inactive patients, check, write, send, account for it.

    preflight → extract → gate → plan → letter[n] → check_letters[n] → send[n] → settle → shred

Every task may be retried or cleared: a letter is claimed before it is sent and settled after, and
one letter exists per campaign, patient and period. Tasks pass on counts and chunk numbers only;
patients stay in the store, sealed under a key that the last task destroys. A red gate stops the
run before any letter exists. A broken campaign file does not hinder the others: it shows as an
import error of `campaign_errors.py`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import DAG, Asset, CronTriggerTimetable, Param
from reengage import operators as task
from reengage.campaigns import load_campaigns
from reengage.notifiers import ON_FAILURE, deadline
from reengage.roles import DAG_ACCESS
from reengage.settings import HOME

PATIENTS = Asset("reengage://warehouse/contract")
DEFAULT_ARGS = {
    "owner": "data-engineering",
    "retries": 2,
    "retry_delay": timedelta(seconds=30),
    "retry_exponential_backoff": 2.0,  # the factor; True would be one of 1
    "on_failure_callback": ON_FAILURE,
    "execution_timeout": timedelta(hours=2),
}
# A worker that died in mid-campaign is replaced within 3 to 6 seconds, while the other chunks send;
# a relay that is away has 3 to 6 minutes, longer than by the two retries of the other tasks.
SEND_AGAIN = {"retries": 6, "retry_delay": timedelta(seconds=3)}
PARAMS = {
    "campaign_date": Param(
        None,
        type=["null", "string"],
        format="date",
        description="Day to run for. A past day is replayed and never opens a connection.",
    ),
    "dry": Param(False, type="boolean", description="Everything but the SMTP conversation."),
}

for campaign in load_campaigns(HOME)[0]:
    batch, letters, outbox = (
        Asset(f"reengage://store/{campaign.slug}/{part}") for part in ("batch", "letters", "outbox")
    )
    with DAG(
        dag_id=campaign.dag_id,
        dag_display_name=campaign.title,
        description=f"Re-engagement by e-mail, purpose {campaign.purpose}",
        doc_md=__doc__,
        schedule=CronTriggerTimetable(campaign.schedule, timezone=campaign.time_zone),
        start_date=datetime(2024, 1, 1),  # noqa: DTZ001 - Airflow reads it in the timetable's zone
        catchup=False,
        max_active_runs=1,
        access_control=DAG_ACCESS,
        tags=["reengage", campaign.purpose],
        params=PARAMS,
        deadline=deadline(HOME),
        default_args={**DEFAULT_ARGS, "campaign": campaign.slug},
    ):
        preflight = task.PreflightOperator(task_id="preflight")
        extract = task.ExtractOperator(task_id="extract", inlets=[PATIENTS], outlets=[batch])
        gate = task.GateOperator(task_id="gate", inlets=[PATIENTS, batch])
        plan = task.PlanOperator(task_id="plan", inlets=[batch])
        letter = task.LetterOperator.partial(
            task_id="letter", inlets=[batch], outlets=[letters]
        ).expand(chunk=plan.output)
        check_letters = task.CheckLettersOperator.partial(
            task_id="check_letters", inlets=[letters]
        ).expand(chunk=plan.output)
        send = task.SendOperator.partial(
            task_id="send", inlets=[letters], outlets=[outbox], **SEND_AGAIN
        ).expand(chunk=plan.output)
        # With nobody to write to, the mapped tasks are skipped and the run still ends in order.
        settle = task.SettleOperator(task_id="settle", trigger_rule="none_failed", inlets=[outbox])
        shred = task.ShredOperator(task_id="shred", trigger_rule="none_failed")

        preflight >> extract >> gate >> plan >> letter >> check_letters >> send >> settle >> shred
