"""The first run of a changed template waits in Airflow for a person, and for that digest only."""

from __future__ import annotations

import pytest
from reengage.embedded.processes import wait_until

from whole_run.conftest import House

pytestmark = pytest.mark.long

SLUG = "approved"
DAG = f"reengage_{SLUG}"
REASON = "read both languages"


def test_it_asks_before_a_patient_is_read_and_goes_on_with_a_yes(house: House) -> None:
    """PRV-09, SEC-15: name, reason and digest are in the ledger; a no ends the run."""
    template = house.site.layout.home / "campaigns" / f"{SLUG}.yaml"
    template.write_text(template.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    refused = _asked(house)
    assert _answered(house, refused, "Reject") == "failed"
    note = house.site.airflow.client.note(DAG, refused)
    assert note
    assert f"admin said no: {REASON}" in note
    assert house.letters(SLUG) == {}

    dag_run_id = _asked(house)
    assert (
        house.rows("SELECT FROM decision d JOIN run USING (run_id) WHERE campaign = 'approved'")
        == []
    )
    question = house.site.airflow.client.call("GET", _path(dag_run_id))
    assert question["subject"].endswith("1 changed. Send by it?")
    assert f"| campaign/{SLUG} | changed |" in question["body"]
    assert _answered(house, dag_run_id, "Approve") == "success"
    assert set(house.letters(SLUG)) == {"sent"}
    [(record,)] = house.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' FROM ledger_entry"
        " WHERE kind = 'access' AND subject = 'admin'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,of}' = 'approvals'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,action}' = 'approved'"
    )
    assert record["detail"]["reason"] == REASON
    assert list(record["detail"]["sha256"]) == [f"campaign/{SLUG}"]
    assert house.run(SLUG)[0] == "success"  # the second run by it asks nobody


def _asked(house: House) -> str:
    dag_run_id = house.trigger(SLUG)
    wait_until(
        lambda: house.site.airflow.client.is_asked(DAG, dag_run_id), seconds=120, what="a question"
    )
    return dag_run_id


def _path(dag_run_id: str) -> str:
    return f"/api/v2/dags/{DAG}/dagRuns/{dag_run_id}/taskInstances/preflight/-1/hitlDetails"


def _answered(house: House, dag_run_id: str, option: str) -> str:
    """The state that the run ends in when somebody answers."""
    house.hear_of_the_asker(SLUG, dag_run_id)
    body = {"chosen_options": [option], "params_input": {"reason": REASON}}
    house.site.airflow.client.call("PATCH", _path(dag_run_id), body)
    return house.ended(SLUG, dag_run_id)
