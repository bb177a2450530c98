"""Plan: chunks that cover the batch once, a holdout fixed per patient, a cap, open letters."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from daily import Practice
from reengage.errors import GateError
from reengage.pipeline import plan as planning
from reengage.pipeline.extract import extract
from reengage.pipeline.plan import MAX_CHUNKS, Chunk, in_holdout, plan
from reengage.pipeline.run import Run
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import NOW

SIZES = (0, 1, 2, 31, 32, 33, 63, 64, 65, 1000, 1024, 1025)


def passed(run: Run) -> Run:
    """The run, as if its gate were green."""
    with run.store.begin() as store:
        store.execute(text("UPDATE run SET gate = 'green' WHERE run_id = :r"), {"r": run.run_id})
    return run


def test_chunks_cover_all_parts_once_and_are_not_too_many(practice: Practice) -> None:
    run = passed(practice.open(dry=True))
    for size in SIZES:
        with run.store.begin() as store:
            store.execute(text("DELETE FROM batch_part"))
            store.execute(
                text("INSERT INTO batch_part SELECT :r, n, 1, '' FROM generate_series(0, :n) AS n"),
                {"r": run.run_id, "n": size - 1},
            )
        chunks = plan(run)
        covered = [part for one in chunks for part in range(one["first"], one["last"] + 1)]
        assert covered == list(range(size))
        assert [one["number"] for one in chunks] == list(range(len(chunks)))
        assert len(chunks) <= MAX_CHUNKS
        assert all(one["first"] <= one["last"] for one in chunks)
        assert plan(run) == chunks


def test_the_holdout_is_near_its_share_and_the_same_for_a_patient_every_day(
    practice: Practice,
) -> None:
    today = practice.open(dry=True)
    tomorrow = practice.at(NOW + timedelta(days=1)).open(dry=True)
    other = practice.open("medication_reminder", dry=True)
    half = today.campaign.model_copy(update={"holdout_share": 0.5})
    patients = [today.pseudonym(f"patient{number}") for number in range(2000)]
    held = {patient for patient in patients if in_holdout(today, patient)}
    assert held == {patient for patient in patients if in_holdout(tomorrow, patient)}
    # 10 % of 2000, within four standard deviations (13.4).
    assert 200 - 54 < len(held) < 200 + 54
    assert not any(in_holdout(other, patient) for patient in patients)  # a share of 0
    wider = Run(today.run_id, today.day, "dry", half, today.settings)
    assert held < {patient for patient in patients if in_holdout(wider, patient)}


def test_campaigns_hold_out_different_patients(practice: Practice) -> None:
    run = practice.open(dry=True)
    other = run.campaign.model_copy(update={"slug": "another_campaign"})
    patients = [run.pseudonym(f"patient{number}") for number in range(500)]
    elsewhere = Run(run.run_id, run.day, "dry", other, run.settings)
    assert [in_holdout(run, one) for one in patients] != [
        in_holdout(elsewhere, one) for one in patients
    ]


def test_the_drawn_arm_is_recorded_and_of_the_excluded_there_is_none(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "_DRAWN_AT_ONCE", 7)
    for number in range(40):
        practice.world.patient(f"p{number}", appointment=None)
    practice.world.patient("excluded", appointment=None, authorization=None)
    run = practice.open(dry=True)
    extract(run)
    plan(passed(run))
    rows = practice.rows("SELECT patient, arm FROM decision WHERE run_id = :r", r=run.run_id)
    arms = {row["patient"]: row["arm"] for row in rows}
    assert arms.pop(run.pseudonym("excluded")) is None
    assert arms == {
        patient: "holdout" if in_holdout(run, str(patient)) else "write" for patient in arms
    }


def test_a_cohort_above_the_cap_is_refused_in_words(practice: Practice) -> None:
    file = practice.settings.home / "campaigns" / "appointment_reminder.yaml"
    file.write_text(re.sub(r"letters_per_run: \d+", "letters_per_run: 2", file.read_text()))
    for key in ("p1", "p2"):
        practice.world.patient(key)
    run = practice.open("appointment_reminder", dry=True)
    extract(run)
    assert len(plan(passed(run))) == 1  # the cap itself is allowed
    practice.world.patient("p3")
    extract(run)
    with pytest.raises(GateError) as refused:
        plan(passed(run))
    assert str(refused.value) == (
        "3 letters are due; the campaign allows 2 a run (`caps.letters_per_run`)"
    )
    # Nothing half done: no arm was drawn by the refused plan.
    assert practice.rows("SELECT DISTINCT arm FROM decision") == [{"arm": "write"}]


@pytest.mark.parametrize("gate", [None, "red"])
def test_without_a_green_gate_there_is_no_plan(gate: str | None, practice: Practice) -> None:
    run = practice.open(dry=True)
    with run.store.begin() as store:
        store.execute(text("UPDATE run SET gate = :gate"), {"gate": gate})
    with pytest.raises(GateError, match="has not passed this batch; clear `gate`"):
        plan(run)


def test_open_letters_of_yesterday_are_this_runs_to_send(
    practice: Practice, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": ["451 4.3.0 later", "250 2.1.5 ok"]}
    practice.world.patient("p1")
    yesterday = practice.play("appointment_reminder")
    assert practice.states() == {"deferred": 1}
    practice.settings = practice.at(NOW + timedelta(days=1)).settings

    dry = practice.open("appointment_reminder", dry=True)
    assert practice.compose(dry) == []  # already written to, and a rehearsal takes nothing over
    today = practice.open("appointment_reminder")
    assert practice.compose(today) == [Chunk(number=0, first=0, last=-1)]
    [row] = practice.rows("SELECT run_id, sender_run_id, chunk FROM letter")
    assert row == {"run_id": yesterday.run_id, "sender_run_id": today.run_id, "chunk": 0}

    practice.play("appointment_reminder", run_id=today.run_id)
    assert practice.states() == {"sent": 1}
    assert len(hostile.letters) == 1
