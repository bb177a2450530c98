"""What comes back, in a real Airflow: a letter returns, and its address is left alone.

After all other whole runs: it takes away a patient.
"""

from __future__ import annotations

import json
from email import message_from_bytes

import pytest
from reengage.keys import open_keyring

from whole_run.conftest import House

pytestmark = pytest.mark.long


SLUG = "returned"
NOTICE = """From: MAILER-DAEMON@mx.test (Mail Delivery System)
Return-Path: <>
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="=_r"

--=_r
Content-Type: text/plain

Your message could not be delivered.
--=_r
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 <{recipient}>: User unknown

--=_r
Content-Type: text/rfc822-headers

Message-ID: {message_id}

--=_r--
"""


@pytest.fixture(scope="module")
def returned(house: House) -> str:
    """Address of a patient whose letter came back; the DAG has read that."""
    assert house.run(SLUG)[0] == "success"
    message = message_from_bytes(house.delivered(SLUG)[0])
    content = NOTICE.format(recipient=message["To"], message_id=message["Message-ID"])
    (house.site.layout.returns / "new" / "1").write_text(content, encoding="utf-8")
    state, dag_run_id = house.run("responses")
    assert state == "success"
    path = f"/api/v2/dags/reengage_responses/dagRuns/{dag_run_id}/taskInstances/maildir"
    told = house.site.airflow.client.call("GET", f"{path}/xcomEntries/return_value")
    assert told["value"] in ({"bounce hard": 1}, json.dumps({"bounce hard": 1}))
    return str(message["To"])


def test_the_address_is_suppressed_and_the_next_run_leaves_it_alone(
    house: House, returned: str
) -> None:
    keyring = open_keyring(house.site.layout.keyring)
    recipient = keyring.pseudonym("recipient", returned.casefold())
    assert house.rows("SELECT recipient, reason FROM suppression") == [(recipient, "hard_bounce")]
    assert not any((house.site.layout.returns / "new").iterdir())
    assert house.run("left_alone")[0] == "success"
    found = house.rows(
        "SELECT count(*) FROM decision d JOIN run r USING (run_id) WHERE r.campaign = 'left_alone'"
        " AND d.reasons = '{address_suppressed}'"
    )
    assert found == [(1,)]


def test_the_three_tasks_have_their_start_and_end_and_say_nothing_of_anybody(
    house: House, returned: str
) -> None:
    entries = house.rows("SELECT convert_from(entry, 'UTF8') FROM ledger_entry")
    events = [json.loads(one)["body"] for (one,) in entries if '"run_event"' in one]
    ours = [one for one in events if one["job"]["name"].startswith("reengage_responses.")]
    assert sorted((one["job"]["name"].partition(".")[2], one["eventType"]) for one in ours) == [
        (task, kind) for task in ("imap", "maildir", "spool") for kind in ("COMPLETE", "START")
    ]
    assert not any(returned in one for (one,) in entries)
