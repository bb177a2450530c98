"""A run that paused itself asks in Airflow, and goes on in the same try with the answer.

Answered as the UI does it, through the REST API. What makes a run pause is shown without Airflow
(pipeline/test_breaker.py); here the pause is there as soon as the letters are checked.
"""

from __future__ import annotations

from collections import Counter
from email import message_from_bytes

import pytest

from whole_run.conftest import House

pytestmark = pytest.mark.long


SLUG = "paused"
DAG = f"reengage_{SLUG}"
WHY = "the relay lists bounces of last year"


def test_it_waits_for_a_person_and_then_sends_what_it_held_once(house: House) -> None:
    """SEC-15: who approved, and why, is in the ledger."""
    _pause_the_run(house)
    dag_run_id = house.trigger(SLUG)
    question = house.site.airflow.client.call("GET", house.question(SLUG, dag_run_id))
    assert house.delivered(SLUG) == []
    assert question["options"] == ["Approve", "Reject"]
    assert question["subject"].endswith("the run paused itself. Go on sending?")
    assert "| rcpt 550 5.1.1 | 9 |" in question["body"]
    tries = _tries(house, dag_run_id)

    assert house.answer(SLUG, dag_run_id, "Approve", reason=WHY) == "success"
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
    assert (record["action"], record["detail"]["reason"]) == ("approved", WHY)


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


def _tries(house: House, dag_run_id: str) -> list[int]:
    found = house.site.airflow.client.tasks(DAG, dag_run_id)
    return sorted(one["try_number"] for one in found if one["task_id"] == "send")
