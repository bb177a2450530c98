"""Datasets: what each task reads and writes, with the gate's verdicts and no value of anybody."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
from examples import CAMPAIGNS, CONTRACT, VERDICTS, events
from openlineage_spec import facets_of
from pglast import ast as sql
from pglast import parse_sql
from reengage.campaigns import Campaign
from reengage.checks import load_suite
from reengage.contract import load_contract
from reengage.errors import ConfigurationError
from reengage.lineage import tables
from reengage.lineage.building import PROJECT, STORE, WAREHOUSE, names
from reengage.lineage.datasets import Datasets, datasets_of, with_assertions, with_rows
from reengage.lineage.events import TASKS
from reengage.settings import HOME

ONE = CAMPAIGNS[0]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


def called(datasets: tuple[dict[str, Any], ...], name: str) -> dict[str, Any]:
    [found] = [one for one in datasets if one["name"].endswith(name)]
    return found


def assertions(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dataset["inputFacets"]["dataQualityAssertions"]["assertions"]
    return found


def test_names_are_of_views_tables_and_files() -> None:
    slugs = "|".join(campaign.slug for campaign in CAMPAIGNS)
    views = "|".join(view.name for view in CONTRACT.views)
    allowed = {
        WAREHOUSE: rf"contract\.({views})|({slugs})/gate\.(cohort|source|audience)",
        STORE: rf"({slugs})/[a-z]+(\.facts)?|{'|'.join(tables.SHARED)}",
        PROJECT: r"[a-z_]+(/[a-z_]+)*(\.(yaml|json|sql))?",
    }
    for event in events():
        for one in (*event["inputs"], *event["outputs"]):
            assert re.fullmatch(allowed[one["namespace"]], one["name"])
            if one["namespace"] == PROJECT:
                assert (HOME / one["name"]).exists()


def test_an_event_holds_no_digit_group_or_address_that_could_be_somebodys() -> None:
    for event in events():
        for one in (*event["inputs"], *event["outputs"]):
            text = str([one, one.get("facets", {})])
            assert "@" not in text
            assert not _UUID.search(text)


def test_a_name_stands_once_on_each_side() -> None:
    for event in events():
        for side in ("inputs", "outputs"):
            found = [(one["namespace"], one["name"]) for one in event[side]]
            assert len(set(found)) == len(found)


def test_what_lineage_names_is_an_input_and_a_column_of_it() -> None:
    for event in events():
        known = {(one["namespace"], one["name"]): _paths(one) for one in (*event["inputs"],)}
        for one in event["outputs"]:
            lineage = one["facets"].get("columnLineage", {"fields": {}, "dataset": []})
            assert set(lineage["fields"]) <= _paths(one)
            sources = [s for of in lineage["fields"].values() for s in of["inputFields"]]
            for source in (*sources, *lineage["dataset"]):
                assert source["field"] in known[source["namespace"], source["name"]]


def _paths(dataset: dict[str, Any]) -> set[str]:
    """Columns, and those within them, as lineage names them."""

    def below(fields: list[dict[str, Any]], prefix: str) -> set[str]:
        found = set()
        for one in fields:
            found.add(prefix + one["name"])
            found |= below(one.get("fields", []), f"{prefix}{one['name']}.")
        return found

    return below(dataset["facets"].get("schema", {}).get("fields", []), "")


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda one: one.slug)
def test_the_assets_of_the_dag_are_datasets_of_its_tasks(campaign: Campaign) -> None:
    dag = ast.parse((HOME / "dags" / "reengagement.py").read_text())
    parts = {
        "PATIENTS": "reengage://warehouse/contract",
        **{p: f"reengage://store/{campaign.slug}/{p}" for p in ("batch", "letters", "outbox")},
    }
    text = ast.unparse(dag)
    assert "Asset('reengage://warehouse/contract')" in text
    assert "Asset(f'reengage://store/{campaign.slug}/{part}')" in text
    seen = 0
    for call in ast.walk(dag):
        if not isinstance(call, ast.Call):
            continue
        given = {k.arg: k.value for k in call.keywords}
        if "task_id" not in given or not (given.keys() & {"inlets", "outlets"}):
            continue
        found = datasets_of(ast.literal_eval(given["task_id"]), campaign, CONTRACT)
        for side, datasets in (("inlets", found.inputs), ("outlets", found.outputs)):
            uris = {_asset(one) for one in datasets}
            for name in getattr(given.get(side), "elts", []):
                assert parts[name.id] in uris
                seen += 1
    assert seen >= 9


def _asset(dataset: dict[str, Any]) -> str:
    """The views of the contract are one asset, any other dataset is one itself."""
    return f"{dataset['namespace']}/{re.sub('^contract[.].*', 'contract', dataset['name'])}"


def test_every_column_of_a_patient_is_tagged() -> None:
    found = datasets_of("extract", ONE, CONTRACT)
    programme = called(found.inputs, "contract.programme")
    tags = programme["facets"]["tags"]["tags"]
    fields = names(programme)
    for key, value in (("phi", "true"), ("part2", "possible")):
        assert {t["field"] for t in tags if t["key"] == key and "field" in t} == fields
        assert {t["value"] for t in tags if t["key"] == key} == {value}
    load = called(found.inputs, "contract.load")
    assert {t["value"] for t in load["facets"]["tags"]["tags"]} == {"false"}


def test_the_warehouse_is_the_practices() -> None:
    visit = called(datasets_of("extract", ONE, CONTRACT).inputs, "contract.visit")
    assert visit["facets"]["ownership"]["owners"] == [
        {"name": "organization:prairie.example.org", "type": "OWNER"}
    ]


def test_a_broken_practice_owns_nothing_and_hinders_nothing(tmp_path: Any) -> None:
    for part in ("sql", "campaigns"):
        (tmp_path / part).symlink_to(HOME / part)
    found = datasets_of("extract", ONE, load_contract(HOME), tmp_path)
    assert "ownership" not in called(found.inputs, "contract.visit")["facets"]


def test_an_unknown_task_is_an_error_that_names_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match=r"'polish' reads and writes; add it to"):
        datasets_of("polish", ONE, CONTRACT)


# --- the gate's verdicts (OLN-07, OLN-08) ---


def test_verdicts_stand_at_the_input_they_are_of() -> None:
    found = with_assertions(datasets_of("gate", ONE, CONTRACT), VERDICTS)
    batch = assertions(called(found.inputs, "/batch"))
    assert [(one["success"], one["severity"], one.get("column")) for one in batch] == [
        (True, "error", "recipient"),
        (False, "error", None),
    ]
    [cohort] = assertions(called(found.inputs, "/gate.cohort"))
    assert cohort == {
        "assertion": "expect_column_values_to_be_in_set",
        "name": "cohort.expect_column_values_to_be_in_set",
        "success": False,
        "severity": "error",
        "column": "consented",
    }
    [source] = assertions(called(found.inputs, "/gate.source"))
    assert (source["severity"], source["column"]) == ("warn", "stale_days")
    [audience] = assertions(called(found.inputs, "/gate.audience"))
    assert (audience["severity"], audience["column"]) == ("info", "asked")


@pytest.mark.parametrize(("task", "suites"), [("gate", None), ("check_letters", ["letters"])])
def test_every_column_of_a_suite_is_in_the_schema_of_what_it_looks_at(
    task: str, suites: list[str] | None
) -> None:
    found = datasets_of(task, ONE, CONTRACT)
    for suite in suites or ["batch", "cohort", "source", "audience"]:
        looked_at = called(found.inputs, found.suites[suite])
        columns = {entry.kwargs.get("column") for entry in load_suite(HOME, suite).entries}
        assert columns - {None} <= names(looked_at)


def test_no_value_of_a_verdict_goes_over() -> None:
    canary = "canary.4711@example.org"
    verdict = {**VERDICTS[0], "actual": canary, "params": {"x": canary}, "content": canary,
               "column": canary, "observed_value": canary, "description": canary}  # fmt: skip
    found = with_assertions(datasets_of("gate", ONE, CONTRACT), [verdict])
    assert canary not in str(found)
    [said] = assertions(called(found.inputs, "/batch"))
    assert set(said) == {"assertion", "name", "success", "severity"}


def test_datasets_stay_as_they_were() -> None:
    found = datasets_of("gate", ONE, CONTRACT)
    before = str(found)
    with_rows(with_assertions(found, VERDICTS), {"batch": 3})
    assert str(found) == before


# --- rows ---


def test_rows_are_counted_on_their_side() -> None:
    found = with_rows(
        datasets_of("extract", ONE, CONTRACT), {"batch": 4, "decision": 9, "contract.patient": 12}
    )
    assert called(found.outputs, "/batch")["outputFacets"]["outputStatistics"]["rowCount"] == 4
    assert called(found.outputs, "/decision")["outputFacets"]["outputStatistics"]["rowCount"] == 9
    patient = called(found.inputs, "contract.patient")
    assert patient["inputFacets"]["inputStatistics"]["rowCount"] == 12


def test_rows_of_a_dataset_that_the_task_has_not_are_a_mistake() -> None:
    with pytest.raises(KeyError, match="letters"):
        with_rows(datasets_of("settle", ONE, CONTRACT), {"letters": 1})


# --- the tables ---


def test_columns_of_the_store_are_those_of_the_migrations() -> None:
    known = _columns_of_the_migrations()
    store = [tables.RUN, tables.DECISION, tables.OUTBOX, *tables.SHARED.values()]
    for one in store:
        assert one.table is not None
        for column in one.fields:
            assert known[one.table][column.name] == column.type, (one.table, column.name)
    for column in tables.LETTER:
        assert known["letter"][column.name] == column.type


def _columns_of_the_migrations() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for path in sorted((HOME / "sql" / "schema" / "versions").glob("*.sql")):
        for whole in parse_sql(path.read_text()):
            node: Any = whole.stmt
            if isinstance(node, sql.CreateStmt):
                found[node.relation.relname] = dict(_column(one) for one in _defined(node))
            elif isinstance(node, sql.RenameStmt) and node.newname and node.relation:
                if node.relation.relname in found and not node.subname:
                    found[node.newname] = found.pop(node.relation.relname)
            elif isinstance(node, sql.AlterTableStmt):
                added = [c.def_ for c in node.cmds if isinstance(c.def_, sql.ColumnDef)]
                found[node.relation.relname] |= dict(_column(one) for one in added)
    return found


def _defined(node: Any) -> list[Any]:
    return [one for one in node.tableElts or () if isinstance(one, sql.ColumnDef)]


def _column(node: Any) -> tuple[str, str]:
    kind = node.typeName.names[-1].sval
    short = {"int8": "bigint", "int4": "int", "bool": "boolean"}.get(kind, kind)
    return node.colname, short + ("[]" if node.typeName.arrayBounds else "")


def test_facts_of_finished_letters_are_those_that_the_check_works_out() -> None:
    room = ast.parse((HOME / "plugins/reengage/pipeline/check_letters.py").read_text())
    [function] = [n for n in room.body if isinstance(n, ast.FunctionDef) and n.name == "facts"]
    [given] = [n.value for n in ast.walk(function) if isinstance(n, ast.Return)]
    assert isinstance(given, ast.Dict)
    keys = [key.value for key in given.keys if isinstance(key, ast.Constant)]
    assert keys == [one.name for one in tables.LETTER_FACTS]


def test_a_disclosure_has_the_columns_of_its_record() -> None:
    from reengage.ledger.records import Disclosure

    fields = {one.name for one in tables.DISCLOSURES.fields}
    assert fields <= set(Disclosure.__dataclass_fields__)


def test_every_task_reads_and_writes_something() -> None:
    for task in TASKS:
        found = datasets_of(task, ONE, CONTRACT)
        assert found.inputs
        assert found.outputs
    assert Datasets() == Datasets((), (), {})


def test_every_dataset_is_described_and_says_whether_it_tells_of_patients() -> None:
    for event in events():
        for entity, _, key, facet in facets_of(event):
            if entity == "facets" and key == "documentation":
                assert len(facet["description"]) > 5
        for one in (*event["inputs"], *event["outputs"]):
            assert {"documentation", "datasetType", "tags"} <= set(one["facets"])
            assert one["facets"]["tags"]["tags"][0]["key"] == "phi"
