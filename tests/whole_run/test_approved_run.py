"""The first run of a changed template waits in Airflow for a person, and for that digest only."""

from __future__ import annotations

from urllib.error import HTTPError

import pytest
from reengage.embedded.client import AirflowClient
from reengage.notes import REASON_KEY, WITHHELD

from whole_run.conftest import House

pytestmark = pytest.mark.long

SLUG = "approved"
DAG = f"reengage_{SLUG}"
REASON = "read both languages"
NO = "of these 3 letters one is wrong"


def noted(house: House, dag_run_id: str) -> list[tuple[str]]:
    """How its preflight ended, as the pages know it."""
    return house.rows("SELECT ended FROM beginning WHERE dag_run_id = :name", name=dag_run_id)


def test_it_asks_before_a_patient_is_read_and_goes_on_with_a_yes(house: House) -> None:
    """PRV-09, SEC-15: name, reason and digest are in the ledger; a no ends the run."""
    template = house.site.layout.home / "campaigns" / f"{SLUG}.yaml"
    template.write_text(template.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")

    refused = house.trigger(SLUG)
    assert house.answer(SLUG, refused, "Reject", reason=NO) == "failed"
    [reason] = house.site.airflow.client.reasons(DAG, refused)
    assert reason.startswith(f"preflight: RefusedError: campaign/{SLUG} was not approved; ")
    assert f"admin said no: {NO}" in reason
    assert house.letters(SLUG) == {}
    assert noted(house, refused) == [("rejected",)]
    _an_analyst_reads_the_note_only(house, refused)

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


def _an_analyst_reads_the_note_only(house: House, dag_run_id: str) -> None:
    """PRV-27: what staff type, and whatever else may hold a count, is not in it, nor beside it."""
    flow = house.site.airflow
    analyst = AirflowClient(flow.address, "analyst", flow.log_ins["analyst"].password)
    run = f"/api/v2/dags/{DAG}/dagRuns/{dag_run_id}"
    assert analyst.note(DAG, dag_run_id) == f"preflight: {WITHHELD}"
    [tried] = [one for one in analyst.tasks(DAG, dag_run_id) if one["task_id"] == "preflight"]
    assert (tried["note"], tried["rendered_fields"], tried["trigger"]) == (None, {}, None)
    assert analyst.call("GET", run)["conf"] == {}
    task = f"{run}/taskInstances/preflight"
    closed = (
        f"{task}/xcomEntries/{REASON_KEY}",
        f"{task}/logs/1",
        f"{task}/-1/hitlDetails",
        f"{run}/hitlDetails",
        f"{run}/upstreamAssetEvents",
        f"{run}/wait?interval=1&result=preflight",
        "/api/v2/dags/~/dagRuns/~/hitlDetails",
        "/api/v2/assets/events",
        "/api/v2/eventLogs",
        "/api/v2/importErrors",
        f"/api/v2/dagSources/{DAG}",
        "/ui/dags",  # has the words of questions, too
    )
    assert {path: _status(analyst, path) for path in closed} == dict.fromkeys(closed, 403)


def _status(client: AirflowClient, path: str) -> int:
    try:
        client.call("GET", path)
    except HTTPError as error:
        return error.code
    return 200
