"""What is on record and what a page claims of it: nothing typed, nothing that is not so."""

from __future__ import annotations

from threading import Lock
from typing import Any

import pytest
from reengage.ledger.verify import Verdict, verify
from reengage.reports import compliance
from sqlalchemy import Connection

from reports.conftest import Reports, make_unknown


def test_an_address_does_not_say_that_a_letter_was_resolved(reports: Reports) -> None:
    letter = make_unknown(reports)
    page = "/compliance/unknown?resolved="
    for one in (letter, "00000000-0000-4000-8000-000000000000"):
        assert "is resolved" not in reports.get(f"{page}{one}").text
    form = {"verdict": "sent", "ground": "the relay's log of the day"}
    answer = reports.post(f"/compliance/unknown/{letter}", form)
    assert f"Letter {letter} is resolved" in reports.get(answer.headers["location"]).text


def test_two_verifications_at_once_are_told_apart(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Lock()
    busy.acquire()
    monkeypatch.setattr(compliance, "_verifying", busy)
    answer = reports.post("/compliance/verify", {})
    assert answer.status_code == 409
    assert "under way already" in answer.text


@pytest.mark.parametrize(
    "path",
    ["/dags/reengage_Jane%20Roe%20555-1234", "/compliance/access?actor=jane.roe",
     "/compliance/access?actor=airflow:jane.roe@example.org"],
)  # fmt: skip
def test_nothing_that_was_typed_joins_the_ledger(path: str, reports: Reports) -> None:
    """LOG-09: an entry stays for good."""
    before = len(reports.accesses())
    assert reports.get(path).status_code == 200
    [record] = reports.accesses()[before:]
    assert "oe" not in str(record["detail"]).replace("of nobody", "")


def test_a_known_actor_that_is_asked_about_is_on_record(reports: Reports) -> None:
    reports.get("/")
    reports.get("/compliance/access?actor=airflow:officer")
    assert reports.accesses()[-1]["detail"] == {"actor": "airflow:officer"}


def test_who_is_refused_is_in_the_servers_log(
    reports: Reports, caplog: pytest.LogCaptureFixture
) -> None:
    """SEC-06."""
    assert reports.get("/compliance/disclosures", "analyst").status_code == 403
    assert "analyst was refused route disclosures" in caplog.text


def test_a_verification_can_change_nothing_and_has_an_end(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def watched(connection: Connection, **asked: Any) -> Verdict:
        for name in ("transaction_read_only", "statement_timeout"):
            seen[name] = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
        return verify(connection, **asked)

    monkeypatch.setattr(compliance, "verify", watched)
    assert "Sound:" in reports.post("/compliance/verify", {}).text
    assert seen == {"transaction_read_only": "on", "statement_timeout": "15min"}
