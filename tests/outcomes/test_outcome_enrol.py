"""Follow-ups begin for both arms alike, in the instant in which the arm is drawn."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count

import pytest
from daily import Practice
from following import enrolled
from reengage import staging
from reengage.keys import open_keyring
from reengage.pipeline.enrol import opened_keys
from reengage.pipeline.extract import extract
from reengage.pipeline.plan import in_holdout, plan
from reengage.pipeline.run import Run
from sqlalchemy import text
from world import NOW

LATER = datetime(2025, 7, 1, 17, 0, tzinfo=NOW.tzinfo)
"""The next quarter, 29 days on: within the days between two letters of the campaign."""
LATER_STILL = LATER + timedelta(days=2)


@pytest.fixture
def held(practice: Practice) -> str:
    """A patient who is held out of health_education, beside p0 and p1, who are not."""
    run = practice.open()
    key = next(f"p{n}" for n in count(15) if in_holdout(run, run.pseudonym(f"p{n}")))
    for one in ("p0", "p1", key):
        practice.world.patient(one, appointment=None)
    return key


def rows(practice: Practice, run: Run, *names: str) -> list[tuple[object, ...]]:
    found = practice.rows("SELECT * FROM follow_up ORDER BY campaign_date, arm, follow_up_id")
    return [tuple(row[name] for name in names) for row in found]


def test_both_arms_begin_when_they_are_drawn(practice: Practice, held: str) -> None:
    run = enrolled(practice, NOW)
    found = rows(practice, run, "patient", "arm", "begins_at", "counts", "variant", "described_on")
    assert sorted(found) == sorted(
        (run.pseudonym(key), arm, NOW, True, None, None)
        for key, arm in (("p0", "write"), ("p1", "write"), (held, "holdout"))
    )


def test_a_letter_belongs_to_the_follow_up_of_its_period(practice: Practice, held: str) -> None:
    run = practice.open()
    practice.hurry(run)
    [joined] = practice.rows(
        "SELECT count(*) AS n FROM letter JOIN follow_up USING (campaign, patient, period)"
        " WHERE arm = 'write'"
    )
    assert joined["n"] == 2


def test_a_rehearsal_begins_none(practice: Practice, held: str) -> None:
    practice.planned(practice.open(dry=True))
    assert practice.rows("SELECT * FROM follow_up") == []


def test_repeating_the_plan_begins_none_twice(practice: Practice, held: str) -> None:
    run = enrolled(practice, NOW)
    before = rows(practice, run, "follow_up_id", "begins_at")
    plan(run)
    enrolled(practice, NOW + timedelta(days=1))
    assert rows(practice, run, "follow_up_id", "begins_at") == before


def extract_anew(run: Run) -> None:
    extract(run)
    with run.store.begin() as connection:
        connection.execute(text("UPDATE run SET gate = 'green'"))
    plan(run)


def test_who_is_found_no_more_by_a_repeated_extraction_is_followed_no_more(
    practice: Practice, held: str
) -> None:
    run = enrolled(practice, NOW)
    for key in ("p1", held):
        practice.world.set("opt_out", patient_key=key, campaign=None, at=NOW - timedelta(days=9))
    extract_anew(run)
    assert rows(practice, run, "patient") == [(run.pseudonym("p0"),)]


def test_who_is_held_out_is_enrolled_as_seldom_as_they_would_be_written_to(
    practice: Practice, held: str
) -> None:
    run = enrolled(practice, NOW)
    enrolled(practice, LATER)  # another quarter, too soon for a second letter
    mine = rows(practice, run, "patient", "campaign_date")
    assert [day for patient, day in mine if patient == run.pseudonym(held)] == [NOW.date()]
    enrolled(practice, LATER_STILL)
    found = rows(practice, run, "patient", "campaign_date", "counts")
    assert [one[1:] for one in found if one[0] == run.pseudonym(held)] == [
        (NOW.date(), True), (LATER_STILL.date(), False),
    ]  # fmt: skip


def test_only_the_first_follow_up_of_a_patient_counts_in_a_campaign(
    practice: Practice, held: str
) -> None:
    """Who is followed again was selected by what the first letter did; counts are of patients."""
    run = enrolled(practice, NOW)
    for days in (170, 240, 500):
        enrolled(practice, NOW + timedelta(days=days))
    found = rows(practice, run, "patient", "counts")
    assert [counts for patient, counts in found if patient == run.pseudonym("p0")] == [
        True, False, False, False,
    ]  # fmt: skip
    [row] = practice.rows(
        "SELECT count(*) AS counted, count(DISTINCT patient) AS patients FROM follow_up"
        " WHERE counts"
    )
    assert row["counted"] == row["patients"]


def test_keys_are_sealed_apart_and_hold_those_of_the_run_only(
    practice: Practice, held: str
) -> None:
    run = enrolled(practice, NOW)
    [part] = practice.rows("SELECT run_id, part, sealed FROM follow_up_key")
    assert b"p0" not in bytes(part["sealed"])  # type: ignore[arg-type]
    key = open_keyring(practice.settings.keyring).month_key(NOW.date())
    found = opened_keys(key, run.run_id, 0, bytes(part["sealed"]))  # type: ignore[arg-type]
    assert {name: one[0] for name, one in found.items()} == {
        run.pseudonym(k): k for k in ("p0", "p1", held)
    }
    later = enrolled(practice, NOW + timedelta(days=1))  # begins no other
    assert practice.rows("SELECT * FROM follow_up_key WHERE run_id = :r", r=later.run_id) == []


@pytest.mark.parametrize(
    ("leaving", "joining"),
    [(0, []), (2, []), (0, ["p00"])],
    ids=["the first leaves", "the last leaves", "another joins"],
)
def test_keys_stay_with_their_follow_ups_when_a_repeated_extraction_cuts_other_parts(
    leaving: int,
    joining: list[str],
    practice: Practice,
    held: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    staying = ["p0", "p1", held]
    monkeypatch.setattr(staging, "PART_PATIENTS", 1)
    run = enrolled(practice, NOW)
    assert len(practice.rows("SELECT part FROM follow_up_key")) == 3
    gone = staying.pop(leaving)
    practice.world.set("opt_out", patient_key=gone, campaign=None, at=NOW - timedelta(days=9))
    for one in joining:  # before the others
        practice.world.patient(one, appointment=None)
    extract_anew(run)
    key = open_keyring(practice.settings.keyring).month_key(NOW.date())
    sealed = {
        row["part"]: opened_keys(key, run.run_id, row["part"], bytes(row["sealed"]))  # type: ignore[arg-type, call-overload]
        for row in practice.rows("SELECT part, sealed FROM follow_up_key")
    }
    found = {
        (row["patient"], sealed[row["part"]][row["patient"]][0])  # type: ignore[index]
        for row in practice.rows("SELECT patient, part FROM follow_up")
    }
    assert found == {(run.pseudonym(one), one) for one in (*joining, *staying)}
    assert sum(len(keys) for keys in sealed.values()) == len(found)  # and nobody else's
    assert all(sealed.values())
