"""A run that paused itself asks in Airflow, and goes on in the same try with the answer.

Answered as the UI does it, through the REST API. What makes a run pause is shown without Airflow
(pipeline/test_breaker.py); here the pause is there as soon as the letters are checked.
"""

from __future__ import annotations

from collections import Counter
from email import message_from_bytes
from typing import Any

import pytest
from reengage.embedded.processes import wait_until

from whole_run.conftest import House

pytestmark = pytest.mark.long


SLUG = "paused"
DAG = f"reengage_{SLUG}"


def test_it_waits_for_a_person_and_then_sends_what_it_held_once(house: House) -> None:
    """SEC-15: who approved is in the ledger."""
    _pause_the_run(house)
    dag_run_id = house.trigger(SLUG)
    wait_until(
        lambda: "awaiting_input" in house.task_states(SLUG, dag_run_id).get("send", set()),
        seconds=120,
        what="the question",
    )
    assert house.delivered(SLUG) == []
    question = _question(house, dag_run_id)
    assert question["options"] == ["Approve", "Reject"]
    assert question["subject"].endswith("the run paused itself. Go on sending?")
    assert "| rcpt 550 5.1.1 | 9 |" in question["body"]
    tries = _tries(house, dag_run_id)

    _answer(house, dag_run_id, "Approve")
    assert house.ended(SLUG, dag_run_id) == "success"
    letters = house.letters(SLUG)
    assert set(letters) == {"sent"}
    times = Counter(str(message_from_bytes(one)["Message-ID"]) for one in house.delivered(SLUG))
    assert (len(times), set(times.values())) == (letters["sent"], {1})
    assert _tries(house, dag_run_id) == tries
    [(decision, by)] = house.rows("SELECT decision, decided_by FROM pause")
    assert (decision, by) == ("approved", "admin")
    [(record,)] = house.rows(
        "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' FROM ledger_entry"
        " WHERE kind = 'access' AND subject = 'admin'"
        " AND convert_from(entry, 'UTF8')::jsonb #>> '{body,of}' = 'breaker/paused'"
    )
    assert record["action"] == "approved"


def _pause_the_run(house: House) -> None:
    house.rows(
        "CREATE FUNCTION pause_it() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
        " INSERT INTO pause (run_id, number, chunk, until, letters, refused, errors, reasons)"
        " VALUES (NEW.sender_run_id, 1, NEW.chunk, '2025-03-05T06:00:00Z', 20, 9, 0,"
        " '{\"rcpt 550 5.1.1\": 9}') ON CONFLICT DO NOTHING; RETURN NEW; END $$;"
        " CREATE TRIGGER pause_it BEFORE UPDATE ON letter FOR EACH ROW WHEN (NEW.campaign ="
        " 'paused' AND NEW.checked_at IS NOT NULL AND NEW.state = 'composed')"
        " EXECUTE FUNCTION pause_it()"
    )


def _path(house: House, dag_run_id: str) -> str:
    [task] = house.asking(SLUG, dag_run_id)
    run = f"/api/v2/dags/{DAG}/dagRuns/{dag_run_id}"
    return f"{run}/taskInstances/send/{task['map_index']}/hitlDetails"


def _question(house: House, dag_run_id: str) -> dict[str, Any]:
    found: dict[str, Any] = house.site.airflow.client.call("GET", _path(house, dag_run_id))
    return found


def _answer(house: House, dag_run_id: str, option: str) -> None:
    house.hear_of_the_asker(SLUG, dag_run_id)
    body = {"chosen_options": [option], "params_input": {}}
    house.site.airflow.client.call("PATCH", _path(house, dag_run_id), body)


def _tries(house: House, dag_run_id: str) -> list[int]:
    found = house.site.airflow.client.tasks(DAG, dag_run_id)
    return sorted(one["try_number"] for one in found if one["task_id"] == "send")
