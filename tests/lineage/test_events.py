"""Events are OpenLineage 2-0-2, whole and refused when they are not; the ledger takes them.

OLN-01 to OLN-05, OLN-10, OLN-11: time, producer and schema; parent, engine, error; owners and tags.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from examples import AT, CAMPAIGNS, CONTRACT, VERDICTS, event_of, events, task_run
from openlineage_spec import Spec, facets_of
from reengage.ledger.canonical import canonical
from reengage.ledger.records import run_event as record_of
from reengage.lineage import base
from reengage.lineage.datasets import Datasets, datasets_of, with_assertions, with_rows
from reengage.lineage.events import LONGEST_MESSAGE, OWNER, TASKS, error_message, run_event
from reengage.settings import HOME

ONE = CAMPAIGNS[0]
KINDS = ("START", "RUNNING", "COMPLETE", "FAIL", "ABORT")


def test_every_task_of_every_campaign_gives_a_valid_event(openlineage: Spec) -> None:
    for event in events():
        assert openlineage.faults(event) == [], event["job"]["name"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_valid(kind: str, openlineage: Spec) -> None:
    assert openlineage.faults(event_of(kind, "send", ONE, Datasets())) == []


def test_an_event_with_verdicts_and_rows_is_valid(openlineage: Spec) -> None:
    found = with_assertions(datasets_of("gate", ONE, CONTRACT), VERDICTS)
    event = event_of("FAIL", "gate", ONE, with_rows(found, {"batch": 4}))
    assert openlineage.faults(event) == []


def test_the_ledger_takes_every_event_and_finds_it_by_its_run() -> None:
    for event in events():
        assert canonical(event)
        assert record_of(event).subject == event["run"]["runId"]


def test_every_facet_names_its_producer_and_its_schema() -> None:
    for event in events():
        for *_, facet in facets_of(event):
            assert facet["_producer"] == base.PRODUCER
            assert re.fullmatch(r"https://.+/\d-\d-\d/(\w+)\.json#/\$defs/\1", facet["_schemaURL"])


def test_the_versions_of_standard_facets_are_those_of_the_specification(openlineage: Spec) -> None:
    for name, version in base.STANDARD.values():
        assert f"https://openlineage.io/spec/facets/{version}/{name}.json" in openlineage.documents


BROKEN: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no time": lambda e: e.pop("eventTime"),
    "no producer": lambda e: e.pop("producer"),
    "no schema": lambda e: e.pop("schemaURL"),
    "no run": lambda e: e.pop("run"),
    "no job": lambda e: e.pop("job"),
    "a time that is none": lambda e: e.update(eventTime="yesterday"),
    "a time without offset": lambda e: e.update(eventTime="2026-06-01T09:00:05"),
    "a producer that is no URI": lambda e: e.update(producer="reengage"),
    "a kind that there is not": lambda e: e.update(eventType="DONE"),
    "a run id that is none": lambda e: e["run"].update(runId="4711"),
    "a job without namespace": lambda e: e["job"].pop("namespace"),
    "a facet without producer": lambda e: e["run"]["facets"]["parent"].pop("_producer"),
    "a facet without schema": lambda e: e["run"]["facets"]["parent"].pop("_schemaURL"),
    "a facet of a branch": lambda e: e["run"]["facets"]["parent"].update(
        _schemaURL="https://openlineage.io/spec/main/ParentRunFacet.json#/$defs/ParentRunFacet"
    ),
    "a parent without its job": lambda e: e["run"]["facets"]["parent"].pop("job"),
    "an engine without version": lambda e: e["run"]["facets"]["processing_engine"].pop("version"),
    "an error without language": lambda e: e["run"]["facets"]["errorMessage"].pop(
        "programmingLanguage"
    ),
    "a facet under another's key": lambda e: e["run"]["facets"].update(
        nominalTime=e["run"]["facets"]["parent"]
    ),
    "a run's facet at a job": lambda e: e["job"]["facets"].update(
        parent=e["run"]["facets"]["parent"]
    ),
    "a facet of ours, misnamed": lambda e: e["run"]["facets"].update(
        consentGate=e["run"]["facets"]["reengage_consentGate"]
    ),
    "a facet of ours with more": lambda e: e["run"]["facets"]["reengage_consentGate"].update(
        patients=["4711"]
    ),
    "a facet of ours with less": lambda e: e["run"]["facets"]["reengage_disclosureBatch"].pop(
        "baaId"
    ),
    "a negative count": lambda e: e["run"]["facets"]["reengage_consentGate"].update(eligible=-1),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_event_is_refused(fault: str, openlineage: Spec) -> None:
    event = deepcopy(event_of("COMPLETE", "preflight", ONE, Datasets()))
    assert openlineage.faults(event) == []
    BROKEN[fault](event)
    assert openlineage.faults(event) != []


def test_an_event_of_a_job_or_a_dataset_has_no_run(openlineage: Spec) -> None:
    event = event_of("COMPLETE", "preflight", ONE, Datasets())
    assert openlineage.faults(event, "JobEvent") != []
    assert openlineage.faults(event, "DatasetEvent") != []
    both = event | {"dataset": {"namespace": "a", "name": "b"}}
    assert openlineage.faults(both, "DatasetEvent") != []


def test_run_parent_and_root_are_those_of_the_try() -> None:
    task = task_run("send", ONE)
    event = run_event("START", task, AT)
    parent = event["run"]["facets"]["parent"]
    assert event["run"]["runId"] == str(task.run_id)
    assert event["job"]["name"] == f"{ONE.dag_id}.send"
    assert parent["run"] == parent["root"]["run"] == {"runId": str(task.parent_run_id)}
    assert parent["job"] == {"namespace": "reengage", "name": ONE.dag_id}


def test_an_instant_is_written_in_utc_with_six_digits() -> None:
    here = datetime(2026, 6, 1, 4, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert run_event("START", task_run("send", ONE), here)["eventTime"] == (
        "2026-06-01T09:00:00.000000Z"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("StoreError: away", "StoreError: away"),
        ("two\nlines\r\n\tand more", "two lines and more"),
        ("  \n ", "no message"),
        ("", "no message"),
        ("x" * LONGEST_MESSAGE, "x" * LONGEST_MESSAGE),
        ("x" * (LONGEST_MESSAGE + 1), "x" * (LONGEST_MESSAGE - 1) + "…"),
    ],
)
def test_an_error_is_one_bounded_line_without_a_stack(text: str, message: str) -> None:
    facet = error_message(text)
    assert facet["message"] == message
    assert "stackTrace" not in facet


def test_facets_that_are_given_replace_those_of_every_event() -> None:
    own = base.facet("job_tags", tags=[{"key": "a", "value": "b"}])
    event = run_event("START", task_run("send", ONE), AT, job_facets={"tags": own})
    assert event["job"]["facets"]["tags"] == own
    assert set(event["job"]["facets"]) == {"jobType", "documentation", "ownership", "tags"}


def test_a_campaigns_class_is_a_tag_of_job_and_datasets() -> None:
    for campaign in CAMPAIGNS:
        event = event_of("START", "letter", campaign, datasets_of("letter", campaign, CONTRACT))
        tags = {one["key"]: one["value"] for one in event["job"]["facets"]["tags"]["tags"]}
        assert tags["campaign_class"] == campaign.purpose
        [letters] = event["outputs"]
        assert {"campaign_class": campaign.purpose}.items() <= {
            one["key"]: one["value"] for one in letters["facets"]["tags"]["tags"]
        }.items()


def test_version_and_owner_are_those_of_the_project() -> None:
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    assert project["version"] == base.VERSION
    dag = (HOME / "dags" / "reengagement.py").read_text()
    assert f'"owner": "{OWNER.removeprefix("team:")}"' in dag


def test_every_task_of_the_dag_is_described() -> None:
    dag = (HOME / "dags" / "reengagement.py").read_text()
    assert set(re.findall(r'task_id="(\w+)"', dag)) == set(TASKS)
