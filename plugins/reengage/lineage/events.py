"""Events: one OpenLineage 2-0-2 run event, whole, as plain JSON that the ledger takes as it is.

START before a task touches a patient's data, exactly one of COMPLETE, FAIL, ABORT after (OLN-02).
Run ids are those of Airflow's own OpenLineage provider, so that both speak of the same run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from reengage.campaigns import Campaign
from reengage.lineage.base import PRODUCER, SPEC, VERSION, Facet, facet

__all__ = ["PRODUCER", "EventType", "TaskRun", "error_message", "job_facets_of", "run_event"]

EventType = Literal["START", "RUNNING", "COMPLETE", "FAIL", "ABORT"]

SCHEMA_URL = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
OWNER = "team:data-engineering"
LONGEST_MESSAGE = 500

TASKS: Mapping[str, str] = {
    "preflight": "Opens the run: checks everything that must hold before a patient is read.",
    "extract": "Finds the candidates, decides each with every reason, stages the eligible, sealed.",
    "gate": "Great Expectations on batch, cohort, audience and source: red stops the run.",
    "plan": "Draws the holdout, takes over open letters and cuts the batch into chunks.",
    "letter": "Composes and seals the letters of a chunk.",
    "check_letters": "Compares the finished letters of a chunk with blank ones; marks who pass.",
    "send": "Claims, attempts and settles each letter of a chunk over verified TLS.",
    "settle": "Checks that every letter of the day is accounted for and closes the run.",
    "shred": "Destroys the data keys that no open letter needs.",
}
"""What each task of a campaign's DAG does."""


@dataclass(frozen=True)
class TaskRun:
    """One try of one task of one DAG run."""

    run_id: UUID
    """The same as Airflow's OpenLineage provider gives this try."""
    job_namespace: str
    job_name: str
    """`<dag id>.<task id>`."""
    parent_run_id: UUID
    """Of the DAG run."""
    parent_job_name: str
    """The DAG's id."""
    nominal_start: datetime
    """The instant that the DAG run stands for: its logical date, or when it was due."""
    task: str
    map_index: int
    """-1 = the task is not mapped."""
    try_number: int
    engine_version: str
    """Airflow's."""
    reengage_version: str = VERSION


def run_event(
    event_type: EventType,
    task: TaskRun,
    at: datetime,
    *,
    inputs: Sequence[Mapping[str, Any]] = (),
    outputs: Sequence[Mapping[str, Any]] = (),
    run_facets: Mapping[str, Facet] | None = None,
    job_facets: Mapping[str, Facet] | None = None,
) -> dict[str, Any]:
    """A run event (OLN-01). The facets given stand beside, or instead of, those of every event."""
    return {
        "eventType": event_type,
        "eventTime": instant(at),
        "producer": PRODUCER,
        "schemaURL": SCHEMA_URL,
        "run": {
            "runId": str(task.run_id),
            "facets": {**_run_facets(task), **(run_facets or {})},
        },
        "job": {
            "namespace": task.job_namespace,
            "name": task.job_name,
            "facets": {**_job_facets(task), **(job_facets or {})},
        },
        "inputs": [dict(one) for one in inputs],
        "outputs": [dict(one) for one in outputs],
    }


def job_facets_of(campaign: Campaign) -> dict[str, Facet]:
    """What a campaign's jobs are tagged with (OLN-10)."""
    return {"tags": _job_tags(campaign_class=campaign.purpose, campaign=campaign.slug)}


def error_message(text: str) -> Facet:
    """Facet `errorMessage`: one bounded line without stack trace. Give a scrubbed text (OLN-12)."""
    line = " ".join(text.split()) or "no message"
    if len(line) > LONGEST_MESSAGE:
        line = line[: LONGEST_MESSAGE - 1] + "…"
    return facet("errorMessage", message=line, programmingLanguage="python")


def instant(moment: datetime) -> str:
    """An aware instant, UTC, with six digits of fraction (RFC 3339)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _run_facets(task: TaskRun) -> dict[str, Facet]:
    """What every run tells of itself (OLN-11)."""
    parent = {
        "run": {"runId": str(task.parent_run_id)},
        "job": {"namespace": task.job_namespace, "name": task.parent_job_name},
    }
    return {
        "parent": facet("parent", **parent, root=parent),
        "nominalTime": facet("nominalTime", nominalStartTime=instant(task.nominal_start)),
        "processing_engine": facet(
            "processing_engine",
            name="Airflow",
            version=task.engine_version,
            openlineageAdapterVersion=task.reengage_version,
        ),
    }


def _job_facets(task: TaskRun) -> dict[str, Facet]:
    what = TASKS.get(task.task, f"Task {task.task} of {task.parent_job_name}.")
    return {
        "jobType": facet("jobType", processingType="BATCH", integration="AIRFLOW", jobType="TASK"),
        "documentation": facet("job_documentation", description=what, contentType="text/plain"),
        "ownership": facet("job_ownership", owners=[{"name": OWNER, "type": "MAINTAINER"}]),
        "tags": _job_tags(),
    }


def _job_tags(**more: str) -> Facet:
    tags = {"product": "reengage", **more}
    return facet(
        "job_tags",
        tags=[{"key": key, "value": value, "source": "reengage"} for key, value in tags.items()],
    )
