"""The audit in a real Airflow: all that the other tests ran is in the ledger, with its end.

Last of the whole runs, so that it looks at their killed, cleared, retried, refused and red tries as
well; by itself it has a run of its own.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from reengage.audit.memory import FACET
from reengage.embedded import main_job

from whole_run.conftest import House

pytestmark = pytest.mark.long


AUDITED = "audited"


@pytest.fixture(scope="module")
def refused(house: House) -> str:
    """A run that succeeds, and one that preflight refuses; gives the latter's DAG run id."""
    assert house.run(AUDITED)[0] == "success"
    state, dag_run_id = house.run(AUDITED, campaign_date="2999-01-01")
    assert state == "failed"
    return dag_run_id


def test_every_try_has_its_start_and_its_end_and_the_ledger_is_sound(
    house: House, refused: str
) -> None:
    assert main_job.run_audit(house.site, house.console) is None
    line = house.output.getvalue().rstrip().splitlines()[-1]
    assert line.startswith("ledger    ")
    assert " entries, verified, checkpoint " in line
    assert line.endswith(" tries reconciled, gaps 0")
    assert [path.suffix for path in (house.site.layout.keyring / "checkpoints").iterdir()]
    events = _events(house)
    open_runs = {one["run"]["runId"] for one in events} - {
        one["run"]["runId"] for one in events if one["eventType"] in ("COMPLETE", "FAIL", "ABORT")
    }
    assert open_runs == set()
    ends = {one["job"]["name"] for one in events if one["eventType"] == "COMPLETE"}
    assert {f"reengage_audit.{task}" for task in ("verify", "checkpoint", "archive")} <= ends


def test_the_tasks_are_a_role_that_owns_nothing(house: House, refused: str) -> None:
    assert "//tasks@/" in house.site.variables["REENGAGE_STORE_URL"]
    assert house.rows("SELECT count(*) FROM pg_class WHERE relowner = 'tasks'::regrole") == [(0,)]


def test_a_success_that_the_ledger_did_not_see_is_told_and_can_be_accepted(
    house: House, refused: str
) -> None:
    client, dag_id = house.site.airflow.client, f"reengage_{AUDITED}"
    path = f"/api/v2/dags/{dag_id}/dagRuns/{refused}/taskInstances/preflight"
    client.call("PATCH", path, {"new_state": "success"})
    told = main_job.run_audit(house.site, house.console)
    assert told is not None
    assert told.startswith(
        "reengage_audit: reconcile: LedgerError: ledger and Airflow differ on 1 tries:"
        f" {dag_id}.preflight try 1 of {refused}: Airflow calls it success, the ledger has it"
        " as failed"
    )
    state, _ = house.run("audit", accept=True)
    assert state == "success"
    facets = [
        one["run"]["facets"][FACET] for one in _events(house) if FACET in one["run"]["facets"]
    ]
    assert [len(facet["gaps"]) for facet in facets][-3:] == [0, 1, 0]
    accepted = (
        "SELECT subject FROM ledger_entry WHERE kind = 'access'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,action}' = 'accept_gaps'"
    )
    assert house.rows(accepted) == [("admin",)]


def _events(house: House) -> list[dict[str, Any]]:
    rows = house.rows("SELECT entry FROM ledger_entry WHERE kind = 'run_event' ORDER BY index")
    return [json.loads(bytes(entry))["body"] for (entry,) in rows]
