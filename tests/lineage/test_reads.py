"""What events say that the SQL reads is what PostgreSQL's own parser finds in it (OLN-09)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from reengage.campaigns import Campaign, load_campaigns
from reengage.contract import Contract, load_contract
from reengage.lineage import columns, statements
from reengage.lineage.building import WAREHOUSE
from reengage.lineage.datasets import datasets_of
from reengage.lineage.reads import columns_read
from reengage.pipeline.extract import ENVELOPE, candidate_statement
from reengage.settings import HOME
from reengage.sql import load_sql
from sql_columns import trace

CONTRACT: Contract = load_contract(HOME)
CAMPAIGNS = load_campaigns(HOME)[0]
SQL_OF_TASKS = ("extract", "gate", "send")

each_campaign = pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda one: one.slug)


def said_to_be_read(task: str, campaign: Campaign) -> set[str]:
    """Contract columns in the schemas of the event's inputs."""
    return {
        f"{one['name'].removeprefix('contract.')}.{column['name']}"
        for one in datasets_of(task, campaign, CONTRACT).inputs
        if one["namespace"] == WAREHOUSE and one["name"].startswith("contract.")
        for column in one["facets"]["schema"]["fields"]
    }


def traced(task: str, campaign: Campaign) -> set[str]:
    """Contract columns that the task's statements name, and those of a line of Python."""
    found = {"load.loaded_at"} if task in ("extract", "gate") else set()
    if task == "extract":
        statements_of = [candidate_statement(campaign, CONTRACT, HOME)]
        statements_of += [load_sql(HOME, f"extract/{n}.sql") for n in ("population", "refusals")]
    else:
        statements_of = [load_sql(HOME, name) for name in statements.statements_of(task, campaign)]
    for sql in statements_of:
        found |= trace(sql, CONTRACT).columns
    return found


@each_campaign
@pytest.mark.parametrize("task", SQL_OF_TASKS)
def test_inputs_are_the_columns_that_the_sql_reads(task: str, campaign: Campaign) -> None:
    assert said_to_be_read(task, campaign) == traced(task, campaign)


def test_the_statements_of_a_task_are_those_that_its_room_loads() -> None:
    pipeline = HOME / "plugins" / "reengage" / "pipeline"
    rooms = {
        "extract": ("extract", "population", "remember"),
        "gate": ("gate",),
        "send": ("last_look",),
    }
    for task, files in rooms.items():
        loaded = {
            name
            for file in files
            for name in re.findall(r"[\"/](\w+)\.sql", (pipeline / f"{file}.py").read_text())
        }
        if task == "gate":  # whose names it makes of questions
            loaded = {"cohort", "source", "expected"}
        said = {Path(name).stem for name in statements.statements_of(task, CAMPAIGNS[0])}
        assert said - {Path(CAMPAIGNS[0].audience).stem} == loaded
    narrow = CAMPAIGNS[0].suites.model_copy(update={"audience": None})
    campaign = CAMPAIGNS[0].model_copy(update={"suites": narrow})
    assert "gate/expected.sql" not in statements.statements_of("gate", campaign)


@pytest.mark.parametrize("task", ["extract", "gate"])
def test_a_room_asks_the_load_in_a_line_of_its_own(task: str) -> None:
    room = (HOME / "plugins" / "reengage" / "pipeline" / f"{task}.py").read_text()
    assert room.count("SELECT max(loaded_at) FROM contract.load") == 1


@each_campaign
def test_each_staged_column_is_made_of_what_the_event_says(campaign: Campaign) -> None:
    given = trace(candidate_statement(campaign, CONTRACT, HOME), CONTRACT).given
    said = columns.staged(campaign, CONTRACT)
    assert set(said) == {*ENVELOPE, *campaign.sources()}
    assert {name: set(one.sources) for name, one in said.items()} == {n: given[n] for n in said}


@each_campaign
def test_a_decision_is_sealed_with_what_the_event_says(campaign: Campaign) -> None:
    given = trace(candidate_statement(campaign, CONTRACT, HOME), CONTRACT).given
    assert {*columns.EVIDENCE, *columns.about(campaign)} == given["evidence"] | {
        "patient.patient_key"
    }


@each_campaign
def test_consent_opt_out_restriction_and_inactivity_decide_on_the_batch(campaign: Campaign) -> None:
    [batch] = [
        one
        for one in datasets_of("extract", campaign, CONTRACT).outputs
        if one["name"] == f"{campaign.slug}/batch"
    ]
    said = {
        (one["name"].removeprefix("contract."), one["field"], one["transformations"][0]["type"])
        for one in batch["facets"]["columnLineage"]["dataset"]
    }
    for view, column in (
        ("authorization", "revoked_at"), ("authorization", "signed_at"), ("opt_out", "at"),
        ("restriction", "since"), ("visit", "start_at"), ("visit", "status"),
        ("patient", "death_date"), ("contact", "verified_at"), ("revocation", "revoked_at"),
    ):  # fmt: skip
        assert (view, column, "INDIRECT") in said


@each_campaign
def test_every_field_of_a_letter_leads_back_to_an_allowed_column(campaign: Campaign) -> None:
    [letters] = datasets_of("letter", campaign, CONTRACT).outputs
    [batch, *_] = datasets_of("extract", campaign, CONTRACT).outputs
    lineage, staged = (one["facets"]["columnLineage"]["fields"] for one in (letters, batch))
    for name, rule in campaign.fields.items():
        [source] = lineage[f"sealed.body.{name}"]["inputFields"]
        assert source["name"] == batch["name"]
        assert source["transformations"][0]["masking"] is True
        [origin] = staged[source["field"]]["inputFields"]
        assert (origin["namespace"], f"{origin['name']}.{origin['field']}") == (
            WAREHOUSE, f"contract.{rule.from_}",
        )  # fmt: skip
    bodies = {name for name in lineage if name.startswith("sealed.body.")}
    assert bodies == {f"sealed.body.{name}" for name in campaign.fields}


@pytest.mark.parametrize(
    ("sql", "read"),
    [
        ("SELECT p.zip FROM contract.patient AS p", {"patient.zip"}),
        ("SELECT p.zip FROM contract.patient p WHERE p.state = :x",
         {"patient.zip", "patient.state"}),
        ('SELECT "a".purpose FROM contract."authorization" AS "a"', {"authorization.purpose"}),
        ("SELECT max(data_until) FROM contract.load", {"load.data_until"}),
        ("SELECT load.source FROM contract.load", {"load.source"}),
        ("SELECT l.* FROM contract.load l WHERE l.source <> 'x'",
         {"load.source", "load.loaded_at", "load.data_until", "load.drawn"}),
        ("SELECT 1 FROM t JOIN contract.visit v USING (patient_key)", {"visit.patient_key"}),
        ("SELECT 1 FROM contract.visit v, day WHERE v.status = day.status", {"visit.status"}),
        ("SELECT zip, d FROM contract.patient p CROSS JOIN day", {"patient.zip"}),
        # Not a column: a literal, a parameter, an alias, a comment, a name of another relation.
        ("SELECT 'v.status', :status AS status -- v.status\n FROM contract.visit v", set()),
        ("SELECT o.at AT TIME ZONE 'x' FROM contract.opt_out o", {"opt_out.at"}),
        ("SELECT now() AT TIME ZONE 'x', o.campaign FROM contract.opt_out o", {"opt_out.campaign"}),
        ("SELECT v.status FROM other AS v", set()),
        ("SELECT v.nothing FROM contract.visit AS v", set()),
        # Aliases are of their query, and of those within it.
        ("WITH a AS (SELECT x.zip FROM contract.patient x),"
         " b AS (SELECT x.status FROM contract.visit x) SELECT 1 FROM a, b",
         {"patient.zip", "visit.status"}),
        ("SELECT 1 FROM contract.patient p WHERE EXISTS (SELECT 1 FROM contract.visit v"
         " WHERE v.patient_key = p.patient_key)", {"visit.patient_key", "patient.patient_key"}),
        ("SELECT x.zip FROM contract.patient x UNION ALL SELECT x.kind FROM contract.restriction x",
         {"patient.zip", "restriction.kind"}),
        ("SELECT (SELECT count(*) FROM contract.visit AS v WHERE v.end_at IS NULL), v.zip"
         " FROM contract.patient AS v", {"visit.end_at", "patient.zip"}),
        ("INSERT INTO source SELECT l.loaded_at FROM contract.load AS l", {"load.loaded_at"}),
    ],
)  # fmt: skip
def test_a_statement_reads_what_the_parser_says(sql: str, read: set[str]) -> None:
    assert columns_read(sql, CONTRACT) == read
    assert trace(sql, CONTRACT).columns == read


def test_another_column_in_the_sql_is_another_column_in_the_event(tmp_path: Any) -> None:
    campaign = CAMPAIGNS[0]
    (tmp_path / "sql").mkdir()
    for part in ("extract", "gate", "contract"):
        (tmp_path / "sql" / part).symlink_to(HOME / "sql" / part)
    before = statements.asked("extract", campaign, CONTRACT, tmp_path)
    assert "patient.zip" not in before
    (tmp_path / "sql" / "extract").unlink()
    extract = tmp_path / "sql" / "extract"
    extract.mkdir()
    for path in (HOME / "sql" / "extract").iterdir():
        (extract / path.name).symlink_to(path)
    audience = extract / campaign.audience
    text = audience.read_text()
    audience.unlink()
    audience.write_text(f"{text}\n-- and\nUNION SELECT p.zip FROM contract.patient AS p")
    load_sql.cache_clear()  # another process reads it anew
    assert statements.asked("extract", campaign, CONTRACT, tmp_path) == before | {"patient.zip"}
