"""`python -m reengage outcomes`, `report --campaign`, `experiment`: shown, and kept on record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest
from daily import Practice
from following import EDUCATION as SLUG
from following import Many, enrolled, two_variants
from reengage.campaigns import load_campaign
from reengage.cli.main import main
from reengage.ledger.entry import parse
from world import NOW

LAST = date(2026, 9, 15)


def records(practice: Practice) -> list[Mapping[str, object]]:
    found = practice.rows("SELECT entry FROM ledger_entry WHERE kind = 'access' ORDER BY index")
    return [parse(bytes(row["entry"])).body for row in found]  # type: ignore[call-overload]


def test_a_day_is_asked_about_and_reported_by_hand(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.world.patient("p0", appointment=None)
    desk.world.execute("UPDATE contract.load SET data_until = :u", u=NOW + timedelta(days=90))
    enrolled(desk, NOW)
    assert main(["outcomes", "--as-of", "2025-06-20"]) == 0
    shown = capsys.readouterr().out
    assert "health_education as of 2025-06-20: 1 followed, 0 new; 0 of 8 lines told" in shown
    assert main(["outcomes", "--as-of", "2025-06-20"]) == 0
    assert "health_education as of 2025-06-20: known before" in capsys.readouterr().out
    assert [one["of"] for one in records(desk)] == ["outcomes", "outcomes"]
    assert main(["outcomes", "--as-of", "2999-01-01"]) == 1
    assert "are not known yet" in capsys.readouterr().err


def test_the_report_is_printed_and_who_looked_is_on_record(
    desk: Practice, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--campaign", SLUG]) == 0
    assert "No report of health_education yet" in capsys.readouterr().out
    assert records(desk) == []
    Many.put(desk.settings.store_url, {"write": 900, "holdout": 500}).publish(LAST)
    assert main(["report", "--campaign", SLUG]) == 0
    assert "Who came back" in capsys.readouterr().out
    assert main(["report", "--campaign", SLUG, "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["campaign"], told["cohort"], told["as_of"]) == (SLUG, 2026, str(LAST))
    assert {one["slice"] for one in told["lines"]} >= {"all", "language", "age_band"}
    assert [one["of"] for one in records(desk)] == ["report/outcomes"] * 2
    assert main(["report", "--campaign", "nobodys"]) == 1


def test_an_experiment_is_shown_and_ended(
    desk: Practice, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two_variants(here)
    assert main(["experiment", "show", SLUG]) == 1
    many = Many.put(
        desk.settings.store_url,
        {"write": 1500},
        variants={"plain": 0.3, "warm": 0.6},
        days=150,
    )
    many.publish(LAST, load_campaign(here, SLUG))
    capsys.readouterr()
    assert main(["experiment", "show", SLUG]) == 0
    shown = capsys.readouterr().out
    assert "warm brings more patients back; `experiment stop` keeps it" in shown
    why = ["--because", "evidence above twenty since August"]
    assert main(["experiment", "stop", SLUG, "--keep", "warm", "--because", "a@b.test"]) == 1
    assert main(["experiment", "stop", SLUG, "--keep", "warm", *why]) == 0
    assert "on record with your name" in capsys.readouterr().out
    last = records(desk)[-1]
    assert (last["action"], last["of"]) == ("approved", f"experiment/{SLUG}/try")
    assert main(["experiment", "stop", SLUG, "--keep", "plain", *why]) == 1
