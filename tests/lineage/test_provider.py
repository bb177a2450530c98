"""Airflow's own provider: the same datasets, the same run ids, and nothing that people typed.

Shows OLN-12 and OLN-14 on the provider's own classes, its redaction included.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from examples import CAMPAIGNS, CONTRACT, OWN_FACETS, VERDICTS
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    RunFacet,
    documentation_job,
    error_message_run,
    processing_engine_run,
    schema_dataset,
    source_code_job,
)
from openlineage.client.serde import Serde
from openlineage_spec import Spec
from reengage.embedded.airflow import environment
from reengage.embedded.layout import Layout
from reengage.errors import StoreError, place_of
from reengage.lineage.datasets import Datasets, datasets_of, with_assertions, with_rows
from reengage.lineage.events import TASKS
from reengage.lineage.provider import client_datasets, client_datasets_of, client_facets
from reengage.lineage.scrubber import WITHHELD, Scrubber
from reengage.settings import HOME

CANARY = "canary.4711@example.org"
ONE = CAMPAIGNS[0]
LATER = datetime(2026, 6, 1, 14, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Airflow's provider, with an AIRFLOW_HOME of its own: it is read when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        patch.setenv("AIRFLOW__CORE__UNIT_TEST_MODE", "False")
        patch.setenv("AIRFLOW__OPENLINEAGE__NAMESPACE", "reengage")
        from airflow.providers.openlineage.plugins import adapter, facets
        from airflow.providers.openlineage.utils import utils

        yield SimpleNamespace(adapter=adapter, facets=facets, utils=utils)


def plain(facet: Any) -> Any:
    """As it is sent, without what is empty."""
    return {name: value for name, value in Serde.to_dict(facet).items() if value != {}}


@pytest.mark.parametrize("task", TASKS)
def test_the_provider_carries_the_same_datasets(task: str, airflow: Any) -> None:
    found = datasets_of(task, ONE, CONTRACT)
    if task == "gate":
        found = with_rows(with_assertions(found, VERDICTS), {"batch": 4})
    event = RunEvent(
        eventType=RunState.START,
        eventTime="2026-06-01T09:00:00Z",
        run=Run("01a210c1-0195-76fd-9d86-edad4382dc08", client_facets(OWN_FACETS)),
        job=Job("reengage", "x"),
        inputs=client_datasets(found)[0],
        outputs=client_datasets(found)[1],
    )
    # What they go through: the provider's redaction, which hides what is called `authorization`,
    # a copy for the transformer, and another process.
    masker = airflow.adapter._secrets_masker()
    redacted = airflow.utils.OpenLineageRedactor.from_masker(masker).redact(event, max_depth=20)
    sent = Scrubber({}).transform(deepcopy(pickle.loads(pickle.dumps(redacted))))
    assert [plain(one) for one in sent.inputs] == list(found.inputs)
    assert [plain(one) for one in sent.outputs] == list(found.outputs)
    assert {key: plain(one) for key, one in sent.run.facets.items()} == OWN_FACETS


@pytest.mark.parametrize("task", TASKS)
def test_the_operators_give_them_to_the_provider(
    task: str, airflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reengage import operators

    monkeypatch.setattr(operators, "read_settings", lambda: SimpleNamespace(home=HOME))
    operator = operators.RoomOperator(task_id=task, campaign=ONE.slug)
    found = datasets_of(task, ONE, CONTRACT)
    for given in (
        operator.get_openlineage_facets_on_start(),
        operator.get_openlineage_facets_on_complete(None),
        operator.get_openlineage_facets_on_failure(None),
    ):
        assert [plain(one) for one in given.inputs] == list(found.inputs)
        assert [plain(one) for one in given.outputs] == list(found.outputs)
    assert client_datasets_of(task, ONE.slug, HOME) == (given.inputs, given.outputs)


# --- run ids ---


@pytest.mark.parametrize("map_index", [-1, 0, 31, None])
@pytest.mark.parametrize("logical_date", [None, datetime(2026, 6, 1, 9, tzinfo=UTC)])
@pytest.mark.parametrize(("try_number", "clear_number"), [(1, 0), (2, 0), (3, 1)])
def test_run_ids_are_the_providers(
    map_index: int | None,
    logical_date: datetime | None,
    try_number: int,
    clear_number: int,
    airflow: Any,
) -> None:
    from reengage.task_run import task_run_of

    ti = SimpleNamespace(task_id="send", try_number=try_number, map_index=map_index)
    dag_run = SimpleNamespace(
        dag_id="reengage_x",
        run_id="manual__1",
        logical_date=logical_date,
        run_after=LATER,
        clear_number=clear_number,
    )
    found = task_run_of({"ti": ti, "dag_run": dag_run})
    date = logical_date or LATER
    adapter = airflow.adapter.OpenLineageAdapter
    assert str(found.run_id) == adapter.build_task_instance_run_id(
        dag_id="reengage_x",
        task_id="send",
        try_number=try_number,
        logical_date=date,
        map_index=-1 if map_index is None else map_index,
    )
    assert str(found.parent_run_id) == adapter.build_dag_run_id(
        dag_id="reengage_x", logical_date=date, clear_number=clear_number
    )
    assert (found.job_namespace, found.job_name) == ("reengage", "reengage_x.send")
    assert (found.parent_job_name, found.nominal_start) == ("reengage_x", date)
    assert found.engine_version.startswith("3.")


# --- what may leave ---


def typed(airflow: Any, message: str = CANARY) -> RunEvent:
    """An event with a canary wherever somebody could have typed, or a library quoted, something."""

    class Info(airflow.utils.InfoJsonEncodable):  # type: ignore[misc,name-defined]
        """Airflow's own way of putting an object into a facet."""

        def __init__(self, **content: Any) -> None:
            super().__init__(SimpleNamespace(**content))

    of_run = {
        "dag_id": "reengage_x", "run_id": f"manual__{CANARY}", "run_type": "manual",
        "clear_number": 0, "conf": {"patient": CANARY}, "note": CANARY, "partition_key": CANARY,
        "triggering_user_name": CANARY, "run_after": "2026-06-01T09:00:00Z", "deadlines": CANARY,
    }  # fmt: skip
    dag = {"dag_id": "reengage_x", "description": CANARY, "fileloc": CANARY, "doc_md": CANARY,
           "owner": "data-engineering", "tags": "[]", "owner_links": {CANARY: CANARY}}  # fmt: skip
    own = airflow.facets
    return RunEvent(
        eventType=RunState.FAIL,
        eventTime="2026-06-01T09:00:00Z",
        run=Run("01a210c1-0195-76fd-9d86-edad4382dc08", {
            "airflow": own.AirflowRunFacet(
                dag=Info(**dag),
                dagRun=Info(**of_run),
                task=Info(task_id="send", op_kwargs=CANARY, inlets=CANARY, parameters=CANARY),
                taskInstance=Info(try_number=1, note=CANARY, rendered_map_index=CANARY,
                                  log_url=CANARY),
                taskUuid="01a210c1-0195-76fd-9d86-edad4382dc08",
            ),
            "airflowDagRun": own.AirflowDagRunFacet(dag=Info(**dag), dagRun=Info(**of_run)),
            "airflowDebug": own.AirflowDebugRunFacet(packages={CANARY: "1"}),
            "unknownSourceAttribute": own.UnknownOperatorAttributeRunFacet(
                [own.UnknownOperatorInstance("X", {"kwargs": CANARY})]
            ),
            "processing_engine": processing_engine_run.ProcessingEngineRunFacet("3.3.2"),
            "errorMessage": error_message_run.ErrorMessageRunFacet(message, "python", CANARY),
            "tomorrows": RunFacet().with_additional_properties(value=CANARY),
        }),
        job=Job("reengage", "reengage_x.send", {
            "sourceCode": source_code_job.SourceCodeJobFacet("python", CANARY),
            "sql": RunFacet().with_additional_properties(query=CANARY),
            "airflow": own.AirflowJobFacet({}, {}, {"send": CANARY}),
            "documentation": documentation_job.DocumentationJobFacet("Sends."),
        }),
        inputs=[InputDataset("postgres://host", CANARY), *(
            InputDataset("reengage://store", "a/b", **{place: {
                "schema": schema_dataset.SchemaDatasetFacet([
                    schema_dataset.SchemaDatasetFacetFields(CANARY)
                ])
            }}) for place in ("facets", "inputFacets")
        )],
        outputs=[OutputDataset("file", CANARY)],
    )  # fmt: skip


def test_nothing_that_people_typed_or_a_library_quoted_leaves(
    airflow: Any, openlineage: Spec
) -> None:
    event = typed(airflow)
    assert Serde.to_json(event).count(CANARY) > 20
    sent = Scrubber({}).transform(deepcopy(event))
    text = Serde.to_json(sent)
    assert CANARY not in text
    found = json.loads(text)
    assert openlineage.faults(found) == []
    assert found["run"]["facets"]["errorMessage"]["message"] == WITHHELD
    assert "stackTrace" not in found["run"]["facets"]["errorMessage"]
    assert set(found["run"]["facets"]) == {
        "airflow", "airflowDagRun", "processing_engine", "errorMessage"
    }  # fmt: skip
    assert found["run"]["facets"]["airflow"]["dagRun"] == {
        "dag_id": "reengage_x", "run_type": "manual", "clear_number": 0,
        "run_after": "2026-06-01T09:00:00Z",
    }  # fmt: skip
    assert set(found["job"]["facets"]) == {"documentation"}
    assert found["inputs"] == found["outputs"] == []


def unforeseen() -> str:
    try:
        raise ValueError(CANARY)
    except ValueError as error:
        return place_of(error)


@pytest.mark.parametrize(
    "message",
    [
        f"StoreError: {StoreError('the store is away')}",
        "GateError: suite 'batch' failed: expect_column_values_to_not_be_null on recipient",
        unforeseen(),
        "send was stopped by its time limit after 7200 s; what it did is kept",
        "task_failure",
    ],
)
def test_words_of_our_own_pass(message: str, airflow: Any) -> None:
    sent = Scrubber({}).transform(typed(airflow, message))
    assert sent.run.facets["errorMessage"].message == message


@pytest.mark.parametrize(
    "message",
    [
        f"DETAIL: Key (email)=({CANARY}) already exists.",
        f"{{'{CANARY}': (550, b'no such user')}}",
        f"said StoreError: {CANARY}",
        f"task_failure {CANARY}",
        "",
    ],
)
def test_words_of_a_library_are_withheld(message: str, airflow: Any) -> None:
    sent = Scrubber({}).transform(typed(airflow, message))
    assert sent.run.facets["errorMessage"].message == WITHHELD


def test_an_event_of_another_kind_is_not_sent() -> None:
    assert Scrubber({}).transform(SimpleNamespace(run=None)) is None


def test_the_settings_leave_no_way_round(
    tmp_path: Any, airflow: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says in which a run is started."""
    from airflow.providers.openlineage import conf

    for name, value in {
        "INCLUDE_FULL_TASK_INFO": "True", "DEBUG_MODE": "True", "CUSTOM_RUN_FACETS": "a.b",
        "EXTRACTORS": "a.b", "CONFIG_PATH": "/tmp/x", "CONFIG_CONN_ID": "x", "DISABLED": "True",
        "SELECTIVE_ENABLE": "True", "DISABLED_FOR_OPERATORS": "reengage.operators.SendOperator",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"AIRFLOW__OPENLINEAGE__{name}", value)
    for name, value in environment(Layout(tmp_path), "postgresql://x", 1).items():
        if name.startswith("AIRFLOW__OPENLINEAGE__"):
            monkeypatch.setenv(name, value)
    assert not conf.is_disabled()
    assert not conf.include_full_task_info()
    assert not conf.debug_mode()
    assert not conf.selective_enable()
    assert not conf.custom_run_facets()
    assert not conf.custom_extractors()
    assert not conf.disabled_operators()
    transport = airflow.adapter.OpenLineageAdapter().get_or_create_openlineage_client().transport
    assert transport.kind == "transform"
    assert type(transport.transformer).__name__ == "Scrubber"
    [rule] = conf.emission_policy()
    assert (rule["scope"], rule["locked"]) == ({}, True)
    assert rule["controls"] == {
        "emit": True, "include_source_code": False, "include_full_task_info": False,
        "hook_lineage": False,
    }  # fmt: skip


def test_empty_datasets_are_none() -> None:
    assert client_datasets(Datasets()) == ([], [])
