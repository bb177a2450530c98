"""The DAG of what comes back: its shape, and that nobody has to switch it on."""

from __future__ import annotations

from typing import Any

import pytest
from dags.test_dag_files import parse
from reengage.settings import HOME


@pytest.fixture(scope="module")
def dag(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found = parse(HOME, tmp_path_factory.mktemp("airflow"))
    assert (found["errors"], found["reached"], found["heavy"]) == ({}, [], [])
    shape: dict[str, Any] = found["dags"]["reengage_responses"]
    return shape


def test_it_reads_every_kind_of_place_every_hour_and_none_waits_for_another(
    dag: dict[str, Any],
) -> None:
    assert set(dag["tasks"]) == {"imap", "maildir", "spool"}
    assert {len(task["downstream"]) for task in dag["tasks"].values()} == {0}
    assert dag["cron"].endswith(" * * * *")
    assert (dag["catchup"], dag["max_active_runs"], dag["paused"]) == (False, 1, False)
    assert {task["retries"] for task in dag["tasks"].values()} == {2}
