"""`python -m reengage suppressions`: who is left alone and why, and the way back, on record."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from daily import Practice
from reengage import suppressions
from reengage.cli.main import main
from reengage.ledger.entry import parse
from reengage.suppressions import Suppression
from sqlalchemy import create_engine, text
from world import NOW


@pytest.fixture
def held(desk: Practice) -> Suppression:
    """An address that is suppressed."""
    one = Suppression(uuid4(), "hard_bounce", NOW, recipient="0" * 32, evidence="e", status="5.1.1")
    engine = create_engine(desk.settings.store_url)
    with engine.begin() as connection:
        suppressions.record(connection, desk.settings.suppressions_path, [one])
        connection.execute(text("DELETE FROM ledger_owed"))  # what these tests do not look at
    engine.dispose()
    return one


def actions(practice: Practice) -> list[tuple[object, object]]:
    found = practice.rows("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
    bodies = [parse(bytes(row["entry"])).body for row in found]  # type: ignore[call-overload]
    return [(body["action"], body["of"]) for body in bodies]


def test_the_list_shows_reasons_and_is_on_record(
    held: Suppression, desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suppressions", "list"]) == 0
    shown = capsys.readouterr().out
    assert str(held.suppression_id) in shown
    assert "hard_bounce" in shown
    assert main(["suppressions", "list", "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["reason"], told["status"], told["recipient"]) == ("hard_bounce", "5.1.1", "0" * 32)
    assert actions(desk) == [("opened", "suppressions")] * 2


def test_nobody_is_said_and_leaves_no_record(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suppressions", "list"]) == 0
    assert capsys.readouterr().out == "nobody is suppressed\n"
    assert actions(desk) == []


def test_lifting_ends_it_once_in_the_name_of_who_does(
    held: Suppression,
    desk: Practice,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REENGAGE_ACTOR", "olga")
    lift = ["suppressions", "lift", str(held.suppression_id), "--because", "asked the patient"]
    assert main(lift) == 0
    [row] = desk.rows("SELECT lifted_by, lifted_at IS NOT NULL AS lifted FROM suppression")
    assert row == {"lifted_by": "olga", "lifted": True}
    assert actions(desk) == [("lifted", "suppression")]
    capsys.readouterr()
    assert main(lift) == 1
    assert "no suppression" in capsys.readouterr().err


def test_a_ground_that_may_name_somebody_is_refused(held: Suppression, desk: Practice) -> None:
    lift = ["suppressions", "lift", str(held.suppression_id), "--because", "p0@example.org called"]
    assert main(lift) == 1
    assert desk.rows("SELECT lifted_at FROM suppression") == [{"lifted_at": None}]


def test_who_goes_on_with_a_campaign_is_on_record(
    desk: Practice, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REENGAGE_ACTOR", "olga")
    go_on = ["suppressions", "continue", "health_education", "--because", "the list was checked"]
    assert main(go_on) == 0
    assert "health_education goes on with its next run" in capsys.readouterr().out
    [row] = desk.rows("SELECT campaign, seen_by, because FROM complaints_seen")
    assert row == {
        "campaign": "health_education", "seen_by": "olga", "because": "the list was checked",
    }  # fmt: skip
    assert actions(desk) == [("approved", "complaints/health_education")]
    assert main(["suppressions", "continue", "nobodys", "--because", "why not"]) == 1
