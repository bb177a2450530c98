"""The DAG of what comes back: its shape, and that nobody has to switch it on."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def dag(parsed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parsed["dags"]["reengage_responses"]
    return found


def test_it_reads_every_kind_of_place_every_hour_and_none_waits_for_another(
    dag: dict[str, Any],
) -> None:
    assert set(dag["tasks"]) == {"imap", "maildir", "spool"}
    assert {len(task["downstream"]) for task in dag["tasks"].values()} == {0}
    assert dag["cron"].endswith(" * * * *")
    assert (dag["catchup"], dag["max_active_runs"], dag["paused"]) == (False, 1, False)
    assert {task["retries"] for task in dag["tasks"].values()} == {2}
