"""Why, at the desk: the answer as a table and as JSON; and how long it is kept."""

from __future__ import annotations

import io
import json
import sys
from datetime import timedelta

import pytest
from daily import Practice
from keyrings import set_key
from reengage.cli.main import main
from reengage.pipeline.extract import extract
from sqlalchemy import create_engine, text
from world import DAY, NOW

ON = ["--date", DAY.isoformat()]


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_the_table_names_what_stands_against_a_patient_and_the_row(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1", appointment=None, contact={"verified_at": None})
    assert main(["opt-out", "--patient", "p1", "--campaign", "medication_reminder"]) == 0
    extract(desk.open(dry=True))
    assert main(["why", "--patient", "p1", "--campaign", "health_education", *ON]) == 0
    said = capsys.readouterr().out
    assert "opt-out of medication_reminder, " in said
    assert "health_education, 2025-06-02: excluded: address_unverified" in said
    [row] = [
        line for line in said.splitlines() if "address_unverified" in line and "PRV-23" in line
    ]
    assert "against" in row
    assert any("authorization-p1" in line for line in said.splitlines())
    assert "@" not in said


def test_every_campaign_answers_as_json_for_the_key_on_standard_input(
    desk: Practice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.world.patient("p1", visit={"start_at": NOW - timedelta(days=2)})
    monkeypatch.setattr(sys, "stdin", io.StringIO("p1\n"))
    assert main(["why", "--patient", "-", "--json", *ON]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["campaign"] for one in found] == [
        "appointment_reminder", "health_education", "medication_reminder",
    ]  # fmt: skip
    assert {one["today"]["known"] for one in found} == {True}
    assert [one["kept"] for one in found] == [[], [], []]
    assert found[0]["today"]["last_visit_at"].startswith("2025-05-31")


def test_who_was_no_candidate_is_told_why_not(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p1", visit={"start_at": NOW - timedelta(days=2)})
    assert main(["why", "--patient", "p1", "--campaign", "health_education", *ON]) == 0
    assert "no candidate (last visit 2025-05-31, booked appointment 2025-06-09" in (
        capsys.readouterr().out
    )


def test_a_patient_whom_nobody_knows_is_an_error(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["why", "--patient", "canary", *ON]) == 1
    assert "the warehouse has no patient with this key" in capsys.readouterr().out
    assert main(["why", "--patient", "canary", "--campaign", "nosuch", *ON]) == 1
    assert "there is no sound campaign 'nosuch'" in capsys.readouterr().err


def test_another_keyring_than_the_stores_is_refused(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.open(dry=True)
    set_key(desk.settings.keyring, b"\x02" * 32)
    assert main(["why", "--patient", "p1", *ON]) == 1
    assert "the store was written with another keyring" in capsys.readouterr().err


def test_purge_drops_what_is_over_and_says_so(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = create_engine(desk.settings.store_url)
    with engine.begin() as connection:
        connection.execute(text("SELECT ensure_decision_month(DATE '2010-05-01')"))
    assert main(["purge"]) == 0
    assert capsys.readouterr().out.split() == ["decisions", "1"]
    assert main(["purge"]) == 0
    assert capsys.readouterr().out == "nothing is old enough to go\n"
    engine.dispose()


def test_accepted_counts_are_recorded_with_their_reason(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["accept-counts", "--reason", "we merged"]) == 0
    assert "accepted" in capsys.readouterr().out
    rows = desk.rows("SELECT campaign, reason FROM norm_accepted ORDER BY campaign")
    assert [row["campaign"] for row in rows] == [
        "appointment_reminder", "health_education", "medication_reminder",
    ]  # fmt: skip
    assert {row["reason"] for row in rows} == {"we merged"}
