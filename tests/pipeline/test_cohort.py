"""Cohort: an unusual number of letters waits for a person's yes, valid for it alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from approving import answered, records
from daily import Practice
from reengage.errors import GateError
from reengage.notes import WITHHELD, note_of
from reengage.pipeline.plan import plan
from reengage.pipeline.question import UnapprovedError
from reengage.pipeline.run import Run
from sqlalchemy import text
from world import NOW

CAMPAIGN = "health_education"


@pytest.fixture
def due(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Run]:
    """Opens a run of a day with so many letters due, its gate green."""

    def of(letters: int, *, days: int = 0, dry: bool = False) -> Run:
        monkeypatch.setattr("reengage.pipeline.plan._due", lambda *_: letters)
        run = practice.at(NOW + timedelta(days=days)).open(CAMPAIGN, dry=dry)
        with run.store.begin() as connection:
            connection.execute(
                text("UPDATE run SET gate = 'green' WHERE run_id = :r"), {"r": run.run_id}
            )
        return run

    return of


def planned(due: Callable[..., Run], *letters: int) -> None:
    for day, number in enumerate(letters):
        plan(due(number, days=day))


def test_a_cohort_far_from_the_recent_norm_asks_and_a_yes_is_for_this_number_only(
    due: Callable[..., Run], practice: Practice
) -> None:
    planned(due, 100, 110, 120)
    plan(due(240, days=3))  # twice the median and 20: the last that is usual
    run = due(260, days=4)
    with pytest.raises(UnapprovedError) as raised:
        plan(run)
    question = raised.value.question
    assert list(question.things) == [f"cohort/{CAMPAIGN}"]
    assert "260 letters are due; on its last 4 days the median was 115, and" in question.body
    assert practice.rows("SELECT cohort FROM run WHERE run_id = :r", r=run.run_id) == [
        {"cohort": None}
    ]  # nothing half done
    answered(practice, dict(question.things))
    plan(run)
    assert records(practice)[-1]["detail"]["sha256"] == question.things  # type: ignore[index]
    with pytest.raises(UnapprovedError):
        plan(due(261, days=4))
    with pytest.raises(UnapprovedError):
        plan(due(261, days=5))


def test_far_too_few_ask_as_well_and_a_quiet_day_does_not(due: Callable[..., Run]) -> None:
    planned(due, 400, 400, 400)
    plan(due(80, days=3))
    with pytest.raises(UnapprovedError):
        plan(due(79, days=4))


def test_with_fewer_than_three_days_any_number_is_usual(due: Callable[..., Run]) -> None:
    planned(due, 10, 10)
    plan(due(900, days=2))


def test_of_a_day_with_several_runs_the_largest_counts(due: Callable[..., Run]) -> None:
    planned(due, 100, 100, 100)
    for _ in range(5):
        plan(due(90, days=2))
    plan(due(220, days=3))


def test_above_the_cap_a_live_run_asks_and_a_dry_one_is_refused(due: Callable[..., Run]) -> None:
    with pytest.raises(UnapprovedError, match="cohort/health_education") as asks:
        plan(due(10**6))
    assert "nobody has approved cohort/health_education; answer" in note_of(asks.value)
    with pytest.raises(GateError, match="the campaign allows") as refused:
        plan(due(10**6, dry=True))
    assert not isinstance(refused.value, UnapprovedError)
    assert note_of(refused.value) == WITHHELD  # PRV-27


def test_accepted_counts_let_the_cohorts_norm_begin_anew(
    due: Callable[..., Run], practice: Practice
) -> None:
    planned(due, 100, 100, 100)
    practice.spoil(f"INSERT INTO norm_accepted (campaign, reason) VALUES ('{CAMPAIGN}', 'merged')")
    plan(due(900, days=3))
