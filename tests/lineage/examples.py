"""A task run, verdicts and facets to make events of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from reengage.campaigns import Campaign, load_campaigns
from reengage.contract import Contract, load_contract
from reengage.lineage import facets
from reengage.lineage.datasets import Datasets, datasets_of
from reengage.lineage.events import TASKS, TaskRun, error_message, job_facets_of, run_event
from reengage.settings import HOME

CONTRACT: Contract = load_contract(HOME)
CAMPAIGNS: list[Campaign] = load_campaigns(HOME)[0]
AT = datetime(2026, 6, 1, 9, 0, 5, 123, tzinfo=UTC)
SHA = "ab" * 32

VERDICTS: list[dict[str, Any]] = [
    {"suite": "batch", "type": "expect_column_values_to_not_be_null", "column": "recipient",
     "severity": "critical", "success": True, "evaluated": True},
    {"suite": "batch", "type": "expect_table_columns_to_match_set", "column": None,
     "severity": "critical", "success": False, "evaluated": False},
    {"suite": "cohort", "type": "expect_column_values_to_be_in_set", "column": "consented",
     "severity": "critical", "success": False, "evaluated": True},
    {"suite": "source", "type": "expect_column_values_to_be_between", "column": "stale_days",
     "severity": "warning", "success": True, "evaluated": True},
    {"suite": "audience", "type": "expect_column_values_to_be_between", "column": "asked",
     "severity": "info", "success": True, "evaluated": True},
]  # fmt: skip

OWN_FACETS = {
    facets.CONSENT_GATE: facets.consent_gate(
        purpose="treatment", rules=["PRV-06", "PRV-01"], candidates=9, eligible=4,
        excluded={"opted_out": 2, "no_authorization": 3},
    ),
    facets.MINIMUM_NECESSARY: facets.minimum_necessary(
        declared=["appointment.start_at"], selected=["contact.email", "appointment.start_at"],
        staged=["patient_key", "appointment.start_at"], suites={"batch": SHA},
        templates={"appointment_reminder": SHA},
        statements={"sql/extract/appointment_reminder.sql": SHA},
    ),
    facets.DISCLOSURE_BATCH: facets.disclosure_batch(
        letters={"sent": 3, "unknown": 1}, vendor="embedded", baa_id="SAMPLE-0001",
        seals={"smime": 1, "tls": 3},
    ),
    facets.TRANSPORT_EVIDENCE: facets.transport_evidence([
        {"host": "localhost", "tls_version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384",
         "peer_sha256": SHA, "letters": 3},
        {"host": "localhost", "tls_version": "TLSv1.2", "cipher": "ECDHE-RSA-AES256-GCM-SHA384",
         "peer_sha256": None, "letters": 1},
    ]),
}  # fmt: skip


def task_run(task: str, campaign: Campaign) -> TaskRun:
    """A try of the task."""
    return TaskRun(
        run_id=UUID("01a210c1-0195-76fd-9d86-edad4382dc08"),
        job_namespace="reengage",
        job_name=f"{campaign.dag_id}.{task}",
        parent_run_id=UUID("01a210c1-0195-7b63-b23f-97492d289ce6"),
        parent_job_name=campaign.dag_id,
        nominal_start=AT,
        task=task,
        map_index=-1,
        try_number=1,
        engine_version="3.3.2",
    )


def event_of(kind: Any, task: str, campaign: Campaign, found: Datasets) -> dict[str, Any]:
    """An event with every run facet there is."""
    more = {**OWN_FACETS, "errorMessage": error_message("StoreError: the store is away")}
    return run_event(
        kind, task_run(task, campaign), AT, inputs=found.inputs, outputs=found.outputs,
        run_facets=more, job_facets=job_facets_of(campaign),
    )  # fmt: skip


def events() -> Iterator[dict[str, Any]]:
    """An event of every task of every campaign."""
    for campaign in CAMPAIGNS:
        for task in TASKS:
            yield event_of("COMPLETE", task, campaign, datasets_of(task, campaign, CONTRACT))
