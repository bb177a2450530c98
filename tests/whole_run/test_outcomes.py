"""Who came back, in a real Airflow: a day is asked about, reported, and in the ledger."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from whole_run.conftest import AS_OF, House

pytestmark = pytest.mark.long


YESTERDAY = AS_OF - timedelta(days=1)


def test_a_day_is_asked_about_and_reported(house: House) -> None:
    state, dag_run_id = house.run("outcomes", as_of=str(YESTERDAY))
    assert state == "success"
    days = house.rows("SELECT campaign FROM outcome_day WHERE day = :day", day=YESTERDAY)
    assert ("health_education",) in days
    client = house.site.airflow.client
    seen: dict[str, Any] = client.result("reengage_outcomes", dag_run_id, "observe")
    assert set(seen["health_education"]) == {"asked", "changed"}
    ends = house.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb #>> '{body,job,name}' FROM ledger_entry"
        " WHERE convert_from(entry, 'UTF8')::jsonb #>> '{body,eventType}' = 'COMPLETE'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,job,name}' LIKE 'reengage_outcomes.%'"
        " ORDER BY 1"
    )
    assert ends == [("reengage_outcomes.observe",), ("reengage_outcomes.publish",)]


def test_a_day_that_is_not_over_is_refused(house: House) -> None:
    state, dag_run_id = house.run("outcomes", as_of=str(AS_OF))
    assert state == "failed"
    note = house.site.airflow.client.note("reengage_outcomes", dag_run_id)
    assert f"the outcomes of {AS_OF} are not known yet" in str(note)
