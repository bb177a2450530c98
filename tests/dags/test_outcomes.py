"""The outcomes' DAG: its shape, and that it runs without anybody switching it on."""

from __future__ import annotations

from typing import Any

import pytest
from dags.test_dag_files import parse
from reengage.settings import HOME


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = parse(HOME, tmp_path_factory.mktemp("airflow"))
    assert found["errors"] == {}
    assert (found["reached"], found["heavy"]) == ([], [])
    dag: dict[str, Any] = found["dags"]["reengage_outcomes"]
    return dag


def test_nothing_is_reported_unless_the_warehouse_was_asked(outcomes: dict[str, Any]) -> None:
    below = {name: task["downstream"] for name, task in outcomes["tasks"].items()}
    assert below == {"observe": ["publish"], "publish": []}
    assert {task["rule"] for task in outcomes["tasks"].values()} == {"all_success"}


def test_it_runs_daily_and_nobody_has_to_switch_it_on(outcomes: dict[str, Any]) -> None:
    assert outcomes["cron"].split(" ", 2)[2] == "* * *"
    assert (outcomes["catchup"], outcomes["max_active_runs"], outcomes["paused"]) == (
        False, 1, False,
    )  # fmt: skip
    assert outcomes["params"] == {"as_of": None}
    assert {task["retries"] for task in outcomes["tasks"].values()} == {2}
