"""DAG files: one DAG per sound campaign, a broken one told as an import error, cheap to parse.

The audit's are in `test_audit`.

Parsed (`parsing`) once for the project as it is, once with a campaign file spoiled.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from dags.parsing import parse
from reengage.embedded.home import copy_home
from reengage.settings import HOME

SEND_RETRY_SECONDS = 3
"""`make bench WHAT=send` waits twice that for the retry of a killed worker."""
CHAIN = [
    "preflight",
    "extract",
    "gate",
    "plan",
    "letter",
    "check_letters",
    "send",
    "settle",
    "shred",
]
MAPPED = ["letter", "check_letters", "send"]


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One campaign with two faults, one that is not even text; one is sound."""
    home = copy_home(HOME, tmp_path_factory.mktemp("spoiled") / "home")
    path = home / "campaigns" / "health_education.yaml"
    content = path.read_text(encoding="utf-8").replace("caps:", "cap:").replace("embedded", "acme")
    path.write_text(content, encoding="utf-8")
    (home / "campaigns" / "medication_reminder.yaml").write_bytes(b"slug: \xff\x00")
    return parse(home, tmp_path_factory.mktemp("airflow"))


@pytest.fixture(
    params=["appointment_reminder", "health_education", "medication_reminder"],
)
def dag(request: pytest.FixtureRequest, parsed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parsed["dags"][f"reengage_{request.param}"]
    return {**found, "slug": request.param}


# --- all of them ---


def test_there_is_one_dag_per_campaign_and_no_error(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    assert sorted(parsed["dags"]) == [
        "reengage_appointment_reminder", "reengage_audit", "reengage_health_education",
        "reengage_medication_reminder", "reengage_outcomes", "reengage_responses",
        "reengage_retention",
    ]  # fmt: skip


def test_parsing_reads_files_and_reaches_for_nothing_else(parsed: dict[str, Any]) -> None:
    assert parsed["reached"] == []
    assert parsed["heavy"] == []


def test_parsing_is_quick(parsed: dict[str, Any]) -> None:
    # Of the processor, whatever else the machine does; the dag-processor parses all the time.
    assert parsed["seconds"] < 2


# --- the shape of each ---


def test_the_tasks_are_those_of_the_design_in_one_chain(dag: dict[str, Any]) -> None:
    tasks = dag["tasks"]
    assert sorted(tasks) == sorted(CHAIN)
    for before, after in pairwise(CHAIN):
        assert after in tasks[before]["downstream"]
    assert tasks["preflight"]["upstream"] == []
    assert tasks["shred"]["downstream"] == []


def test_only_the_plan_leads_past_its_successor_to_hand_out_chunks(dag: dict[str, Any]) -> None:
    side_ways = {
        (before, after)
        for before, task in dag["tasks"].items()
        for after in task["downstream"]
        if CHAIN.index(after) != CHAIN.index(before) + 1
    }
    assert side_ways == {("plan", "check_letters"), ("plan", "send")}


def test_every_send_comes_after_the_gate_and_the_letters_check(dag: dict[str, Any]) -> None:
    tasks = dag["tasks"]
    above, waiting = set(), ["send"]
    while waiting:
        for task in tasks[waiting.pop()]["upstream"]:
            if task not in above:
                above.add(task)
                waiting.append(task)
    assert {"preflight", "gate", "check_letters"} <= above
    assert tasks["send"]["rule"] == tasks["letter"]["rule"] == "all_success"


def test_chunks_are_mapped_and_a_day_without_any_still_ends_in_order(dag: dict[str, Any]) -> None:
    tasks = dag["tasks"]
    assert [name for name in CHAIN if tasks[name]["mapped"]] == MAPPED
    assert {name for name in CHAIN if tasks[name]["rule"] != "all_success"} == {"settle", "shred"}
    assert tasks["settle"]["rule"] == tasks["shred"]["rule"] == "none_failed"


def test_a_dag_runs_daily_one_run_at_a_time_and_never_catches_up(dag: dict[str, Any]) -> None:
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    hour, rest = dag["cron"].split(" ", 2)[1], dag["cron"].split(" ", 2)[2]
    assert rest == "* * *"
    assert 8 <= int(hour) < 20  # within its send window
    assert dag["zone"] == "America/Chicago"
    assert dag["params"] == {"campaign_date": None, "dry": False}


def test_every_task_may_be_retried_has_an_owner_and_an_end(dag: dict[str, Any]) -> None:
    retried = {name: (task["retries"], task["delay"]) for name, task in dag["tasks"].items()}
    assert retried.pop("send") == (6, SEND_RETRY_SECONDS)
    assert set(retried.values()) == {(2, 30)}
    factors = {task["factor"] for task in dag["tasks"].values()}
    assert factors == {2.0}
    assert not any(factor is True for factor in factors)  # which Airflow takes for 1: no growth
    assert {task["owner"] for task in dag["tasks"].values()} == {"data-engineering"}
    assert all(0 < task["timeout"] <= 7200 for task in dag["tasks"].values())


def test_a_dag_tells_people_what_it_is(dag: dict[str, Any]) -> None:
    assert dag["doc"].startswith("One DAG per campaign file")
    assert "preflight → extract → gate → plan" in dag["doc"]
    assert dag["campaign"] == dag["slug"]
    assert dag["title"] == dag["slug"].replace("_", " ").capitalize()
    assert "reengage" in dag["tags"]
    assert len(dag["tags"]) == 2


def test_assets_draw_the_way_from_the_warehouse_to_the_outbox(dag: dict[str, Any]) -> None:
    own = f"reengage://store/{dag['slug']}/"
    patients = "reengage://warehouse/contract"
    drawn = {
        name: (task["inlets"], task["outlets"])
        for name, task in dag["tasks"].items()
        if task["inlets"] or task["outlets"]
    }
    assert drawn == {
        "extract": ([patients], [own + "batch"]),
        "gate": ([patients, own + "batch"], []),
        "plan": ([own + "batch"], []),
        "letter": ([own + "batch"], [own + "letters"]),
        "check_letters": ([own + "letters"], []),
        "send": ([own + "letters"], [own + "outbox"]),
        "settle": ([own + "outbox"], []),
    }


# --- who came back ---


def test_nothing_is_reported_unless_the_warehouse_was_asked(parsed: dict[str, Any]) -> None:
    tasks = parsed["dags"]["reengage_outcomes"]["tasks"]
    assert {name: task["downstream"] for name, task in tasks.items()} == {
        "observe": ["publish"], "publish": [],
    }  # fmt: skip
    assert {task["rule"] for task in tasks.values()} == {"all_success"}
    assert {task["retries"] for task in tasks.values()} == {2}


def test_outcomes_run_daily_and_nobody_has_to_switch_them_on(parsed: dict[str, Any]) -> None:
    outcomes = parsed["dags"]["reengage_outcomes"]
    assert outcomes["cron"].split(" ", 2)[2] == "* * *"
    assert (outcomes["catchup"], outcomes["max_active_runs"]) == (False, 1)
    assert (outcomes["paused"], outcomes["params"]) == (False, {"as_of": None})


# --- with broken campaigns ---


def test_a_broken_campaign_has_no_dag_and_the_sound_ones_load(spoiled: dict[str, Any]) -> None:
    assert sorted(spoiled["dags"]) == [
        "reengage_appointment_reminder", "reengage_audit", "reengage_outcomes",
        "reengage_responses", "reengage_retention",
    ]  # fmt: skip


def test_broken_campaigns_show_as_the_one_import_error_with_file_line_and_fix(
    spoiled: dict[str, Any],
) -> None:
    assert list(spoiled["errors"]) == ["campaign_errors.py"]
    told = spoiled["errors"]["campaign_errors.py"]
    assert "campaigns/health_education.yaml:18: unknown key 'cap', did you mean 'caps'?" in told
    assert "campaigns/health_education.yaml:4: key 'caps' is missing: limits" in told
    assert "campaigns/medication_reminder.yaml:1: not UTF-8; save the file as UTF-8" in told
    assert "appointment_reminder" not in told
