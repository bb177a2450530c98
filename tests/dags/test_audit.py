"""The audit's DAG files: their shape, and that there is a mirror only where it is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from dags.parsing import parse
from reengage.audit.trail import WHAT
from reengage.settings import HOME


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """With a mirror."""
    found = parse(HOME, tmp_path_factory.mktemp("airflow"), MIRROR_URL="https://lineage.test")
    assert found["errors"] == {}
    return found


@pytest.fixture
def audit(mirrored: dict[str, Any]) -> dict[str, Any]:
    dag: dict[str, Any] = mirrored["dags"]["reengage_audit"]
    return dag


def test_parsing_reaches_for_nothing(mirrored: dict[str, Any]) -> None:
    assert (mirrored["reached"], mirrored["heavy"]) == ([], [])


def test_nothing_is_signed_or_archived_unless_it_was_verified(audit: dict[str, Any]) -> None:
    below = {name: task["downstream"] for name, task in audit["tasks"].items()}
    assert below == {
        "verify": ["checkpoint", "reconcile"],
        "checkpoint": ["archive"],
        "archive": [],
        "reconcile": [],
        "remind": [],
    }
    rules = {name: task["rule"] for name, task in audit["tasks"].items()}
    assert rules == dict.fromkeys(below, "all_success") | {"reconcile": "all_done"}


def test_the_ledger_can_say_what_each_task_does(audit: dict[str, Any]) -> None:
    assert set(audit["tasks"]) <= set(WHAT)


def test_it_runs_daily_and_nobody_has_to_switch_it_on(audit: dict[str, Any]) -> None:
    assert audit["cron"].split(" ", 2)[2] == "* * *"
    assert (audit["catchup"], audit["max_active_runs"], audit["paused"]) == (False, 1, False)
    assert audit["params"] == {"accept": False}
    assert {task["retries"] for task in audit["tasks"].values()} == {2}
    assert audit["doc"].startswith("The audit of the ledger, daily")


def test_whoever_has_a_role_sees_every_dag_and_hears_of_every_failure(
    mirrored: dict[str, Any],
) -> None:
    """SEC-05: permissions on a DAG that names none would be whatever somebody gave by hand."""
    dags = mirrored["dags"]
    assert len(dags) == 8
    assert {tuple(dag["access"]) for dag in dags.values()} == {("Analyst", "Compliance Officer")}
    silent = {
        name for name, dag in dags.items() if not all(one["tells"] for one in dag["tasks"].values())
    }
    assert silent == {"reengage_ledger_mirror"}  # whose next run is the retry


def test_the_mirror_runs_every_five_minutes_where_it_is_wanted(mirrored: dict[str, Any]) -> None:
    mirror = mirrored["dags"]["reengage_ledger_mirror"]
    assert mirror["cron"] == "*/5 * * * *"
    assert (mirror["max_active_runs"], mirror["paused"]) == (1, False)
    assert sorted(mirror["tasks"]) == ["mirror"]
