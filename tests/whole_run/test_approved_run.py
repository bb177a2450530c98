"""The first run of a changed template waits in Airflow for a person, and for that digest only."""

from __future__ import annotations

import pytest

from whole_run.conftest import House

pytestmark = pytest.mark.long

SLUG = "approved"
DAG = f"reengage_{SLUG}"
REASON = "read both languages"


def noted(house: House, dag_run_id: str) -> list[tuple[str]]:
    """How its preflight ended, as the pages know it."""
    return house.rows("SELECT ended FROM beginning WHERE dag_run_id = :name", name=dag_run_id)


def test_it_asks_before_a_patient_is_read_and_goes_on_with_a_yes(house: House) -> None:
    """PRV-09, SEC-15: name, reason and digest are in the ledger; a no ends the run."""
    template = house.site.layout.home / "campaigns" / f"{SLUG}.yaml"
    template.write_text(template.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    refused = house.trigger(SLUG)
    assert house.answer(SLUG, refused, "Reject", reason=REASON) == "failed"
    note = house.site.airflow.client.note(DAG, refused)
    assert note
    assert f"admin said no: {REASON}" in note
    assert house.letters(SLUG) == {}
    assert noted(house, refused) == [("rejected",)]

    dag_run_id = house.trigger(SLUG)
    question = house.site.airflow.client.call("GET", house.question(SLUG, dag_run_id))
    assert (
        house.rows("SELECT FROM decision d JOIN run USING (run_id) WHERE campaign = 'approved'")
        == []
    )
    assert noted(house, dag_run_id) == [("asked",)]
    assert question["subject"].endswith("1 changed. Send by it?")
    assert f"| campaign/{SLUG} | changed |" in question["body"]
    assert house.answer(SLUG, dag_run_id, "Approve", reason=REASON) == "success"
    assert set(house.letters(SLUG)) == {"sent"}
    assert noted(house, dag_run_id) == [("passed",)]
    [(record,)] = house.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' FROM ledger_entry"
        " WHERE kind = 'access' AND subject = 'admin'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,of}' = 'approvals'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,action}' = 'approved'"
    )
    assert record["detail"]["reason"] == REASON
    assert list(record["detail"]["sha256"]) == [f"campaign/{SLUG}"]
    assert house.run(SLUG)[0] == "success"  # the second run by it asks nobody
