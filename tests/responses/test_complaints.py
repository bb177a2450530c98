"""A campaign that too many patients call spam sends nothing more until a person has looked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from mailed import Mailed
from notices import complaint
from reengage.delivery import Complaints
from reengage.errors import GateError
from reengage.notes import WITHHELD, note_of
from reengage.pipeline import complaints
from reengage.pipeline.preflight import preflight
from reengage.pipeline.run import Run
from world import DAY

CAMPAIGN = "appointment_reminder"
LIMITS = Complaints(share=0.5, at_least=2, within_days=30)


@pytest.fixture
def run(mailed: Mailed) -> Run:
    """The next run of a campaign of which four letters left; p0 to p2 may complain."""
    run = mailed.practice.open(CAMPAIGN)
    return replace(run, campaign=run.campaign.model_copy(update={"complaints": LIMITS}))


def complain(mailed: Mailed, *keys: str) -> None:
    for key in keys:
        assert mailed.take(complaint(mailed.letters[key])).verdict == "complaint"


def go_on(run: Run, days: int = 0) -> None:
    with run.store.begin() as connection:
        complaints.go_on(
            connection, run.keyring, run.campaign, DAY + timedelta(days=days), by="olga",
            because="the list was checked",
        )  # fmt: skip


def test_it_stops_from_that_share_on_and_names_counts_only(mailed: Mailed, run: Run) -> None:
    complaints.require_few(run)
    complain(mailed, "p0")
    complaints.require_few(run)
    complain(mailed, "p1")
    with pytest.raises(GateError) as raised:
        complaints.require_few(run)
    assert str(raised.value).startswith(
        "2 of 4 letters of appointment_reminder in 30 days were called spam; expected fewer than"
        " 50.0%;"
    )
    assert "suppressions continue appointment_reminder" in str(raised.value)
    assert note_of(raised.value) == WITHHELD  # PRV-27


@pytest.mark.parametrize(
    ("share", "at_least", "stops"), [(0.5, 2, True), (0.51, 2, False), (0.5, 3, False)]
)
def test_both_limits_must_be_reached(
    mailed: Mailed, run: Run, share: float, at_least: int, stops: bool
) -> None:
    complain(mailed, "p0", "p1")
    limits = Complaints(share=share, at_least=at_least)
    with run.store.connect() as connection:
        found = complaints.seen(connection, run.settings.home, run.campaign.slug, run.day, limits)
    assert (found.letters, found.complaints, found.is_too_much(limits)) == (4, 2, stops)


def test_other_campaigns_rehearsals_and_older_letters_are_not_looked_at(
    mailed: Mailed, run: Run
) -> None:
    complain(mailed, "p0", "p1")
    other = replace(run, campaign=run.campaign.model_copy(update={"slug": "other"}))
    complaints.require_few(other)
    complaints.require_few(replace(run, mode="dry"))
    complaints.require_few(replace(run, day=DAY + timedelta(days=30)))
    never = replace(run, campaign=run.campaign.model_copy(update={"complaints": None}))
    complaints.require_few(never)
    with pytest.raises(GateError):
        complaints.require_few(replace(run, day=DAY + timedelta(days=29)))


def test_preflight_asks_before_a_run_is_opened(mailed: Mailed) -> None:
    complain(mailed, "p0", "p1", "p2")  # three of four: more than any campaign is given
    before = mailed.practice.rows("SELECT count(*) AS n FROM run")
    with pytest.raises(GateError, match="3 of 4 letters"):
        preflight(mailed.practice.settings, CAMPAIGN, uuid4(), "next", day=DAY)
    assert mailed.practice.rows("SELECT count(*) AS n FROM run") == before
    preflight(mailed.practice.settings, CAMPAIGN, uuid4(), "dry", day=DAY, dry=True)


def test_a_person_goes_on_and_what_comes_after_counts_anew(mailed: Mailed, run: Run) -> None:
    complain(mailed, "p0", "p1")
    go_on(run, days=-1)  # these letters are of the day after
    with pytest.raises(GateError):
        complaints.require_few(run)
    go_on(run)
    complaints.require_few(run)
    complain(mailed, "p2")
    complaints.require_few(run)
    last = mailed.records()[-2]
    assert (last["actor"], last["action"], last["of"]) == (
        "olga", "approved", f"complaints/{CAMPAIGN}",
    )  # fmt: skip


def test_the_tasks_may_not_go_on_by_themselves(mailed: Mailed) -> None:
    [allowed] = mailed.practice.rows(
        "SELECT has_table_privilege('reengage_tasks', 'complaints_seen', 'INSERT') AS add,"
        " has_table_privilege('reengage_tasks', 'complaints_seen', 'SELECT') AS read"
    )
    assert allowed == {"add": False, "read": True}
