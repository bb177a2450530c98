"""Settle and shred: every letter and every patient is accounted for, and what no open letter needs
becomes unreadable."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from daily import Practice
from reengage import staging
from reengage.errors import KeyringError, RelayError, StoreError
from reengage.notes import WITHHELD, note_of
from reengage.pipeline.extract import extract
from reengage.pipeline.letter import write_letters
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.pipeline.settle import settle, shred
from reengage.report import Funnel, read_funnels
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import NOW

CAMPAIGN = "appointment_reminder"


def funnel(run: Run) -> Funnel:
    [found] = [
        one
        for one in read_funnels(run.store, run.settings.home)
        if one.campaign == run.campaign.slug
    ]
    assert found.adds_up
    return found


def sent_to(practice: Practice, *keys: str, campaign: str = CAMPAIGN) -> Run:
    for key in keys:
        practice.world.patient(key)
    run = practice.open(campaign)
    for chunk in practice.hurry(run):
        send(run, chunk)
    return run


def played(practice: Practice, campaign: str = CAMPAIGN, **options: Any) -> Run:
    """A whole run, from preflight to shred, but for the suites."""
    run = practice.open(campaign, **options)
    for chunk in practice.hurry(run):
        send(run, chunk)
    settle(run)
    shred(run)
    return run


def keys(practice: Practice) -> set[UUID]:
    """Runs that still have their data key."""
    return {UUID(file.stem) for file in (practice.settings.keyring / "runs").glob("*.key")}


def day_later(practice: Practice, days: int) -> Practice:
    return practice.at(NOW + timedelta(days=days))


# --- settle ---


@pytest.mark.parametrize("state", ["composed", "claimed", "attempted"])
def test_a_stray_letter_is_refused_and_the_run_stays_open(state: str, practice: Practice) -> None:
    run = sent_to(practice, "p1", "p2")
    with run.store.begin() as store:
        store.execute(
            text("UPDATE letter SET state = :state WHERE patient = :p"),
            {"state": state, "p": run.pseudonym("p2")},
        )
    with pytest.raises(StoreError) as refused:
        settle(run)
    assert str(refused.value) == (
        f"letters unaccounted for: {{'{state}': 1}}; clear the `send` tasks of this DAG run"
    )
    assert note_of(refused.value) == WITHHELD  # PRV-27
    assert practice.rows("SELECT finished_at FROM run") == [{"finished_at": None}]


def test_a_patient_without_the_letter_that_was_due_is_refused(practice: Practice) -> None:
    for key in ("p1", "p2"):
        practice.world.patient(key)
    run = practice.open(CAMPAIGN)
    [chunk] = practice.hurry(run)
    send(run, chunk)
    with run.store.begin() as store:
        store.execute(text("DELETE FROM letter WHERE patient = :p"), {"p": run.pseudonym("p2")})
    with pytest.raises(
        StoreError, match=r"^1 patients were to get a letter and have none; clear the `le"
    ) as refused:
        settle(run)
    assert note_of(refused.value) == WITHHELD  # PRV-27
    assert keys(practice) == {run.run_id}
    write_letters(run, chunk)
    with run.store.begin() as store:
        store.execute(text("UPDATE letter SET checked_at = now()"))
    send(run, chunk)
    assert settle(run) == {"sent": 2}


def test_settling_twice_gives_the_same(practice: Practice) -> None:
    run = sent_to(practice, "p1")
    assert settle(run) == settle(run) == {"sent": 1}
    [row] = practice.rows("SELECT finished_at IS NOT NULL AS finished FROM run")
    assert row == {"finished": True}


def test_a_run_with_nobody_to_write_to_settles_and_is_shredded(practice: Practice) -> None:
    run = practice.open(CAMPAIGN)
    practice.world.patient("p1", visit={"start_at": NOW})
    assert practice.hurry(run) == []
    assert settle(run) == {}
    assert shred(run) == 1
    assert funnel(run).candidates == 0


# --- the day's numbers ---


def test_the_numbers_add_up_whatever_became_of_the_letters(
    practice: Practice, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": ["250 2.1.5 ok", "550 5.1.1 no", "451 4.3.0 later", "250 2.1.5 ok"]}
    practice.world.patient("excluded", authorization=None)
    run = sent_to(practice, *[f"p{number}" for number in range(6)])
    assert settle(run) == {"deferred": 1, "refused": 1, "sent": 4}
    found = funnel(run)
    assert (found.candidates, found.eligible, found.pending) == (7, 6, 0)
    assert found.excluded == {"no_authorization": 1}
    assert found.outcomes == {"withheld": 0, "sent": 4, "refused": 1, "deferred": 1, "unknown": 0}


def test_the_numbers_of_a_second_run_add_up_although_the_warehouse_changed(
    practice: Practice,
) -> None:
    run = sent_to(practice, "back", "revoked", "stayed")
    settle(run)
    practice.world.change("visit", "back", start_at=NOW)
    practice.world.change("authorization", "revoked", revoked_at=NOW)
    practice.world.patient("new")
    second = played(practice, CAMPAIGN)
    found = funnel(second)
    assert (found.candidates, found.eligible, found.outcomes["sent"]) == (4, 4, 4)


@pytest.mark.parametrize("options", [{"dry": True}, {"day": (NOW - timedelta(days=1)).date()}])
def test_the_numbers_of_a_rehearsal_are_its_own(
    options: dict[str, object], practice: Practice
) -> None:
    settle(sent_to(practice, "p1", "p2"))
    run = played(practice, CAMPAIGN, **options)
    found = funnel(run)
    assert found.outcomes["sent"] == 0
    assert found.rehearsed == found.eligible


# --- shred ---


def test_after_shred_neither_batch_nor_letters_open_and_the_run_can_be_run_again(
    practice: Practice,
) -> None:
    """SEC-10, SEC-14."""
    run = sent_to(practice, "p1")
    [letter] = practice.rows("SELECT sealed FROM letter")
    key = run.data_key
    settle(run)
    assert shred(run) == 1
    assert keys(practice) == set()
    with pytest.raises(KeyringError, match="it was destroyed when the run ended; clear the whole"):
        _ = run.data_key
    with pytest.raises(KeyringError):
        extract(run)
    practice.world.patient("p2")
    again = practice.open(CAMPAIGN, run_id=run.run_id)
    with run.store.connect() as store, pytest.raises(KeyringError, match="does not open"):
        list(staging.read_parts(store, again.data_key, [0]))
    sealed = letter["sealed"]
    assert isinstance(sealed, bytes)
    with pytest.raises(KeyringError, match="does not open"):
        again.data_key.open(sealed, bound_to="letter/x")
    assert key.run_id == again.run_id
    assert [row["shredded_at"] for row in practice.rows("SELECT shredded_at FROM run")] == [None]
    for chunk in practice.hurry(again):
        send(again, chunk)
    assert settle(again) == {"sent": 2}
    assert shred(again) == 1


def test_shredding_twice_is_harmless(practice: Practice) -> None:
    run = sent_to(practice, "p1")
    settle(run)
    assert [shred(run), shred(run)] == [1, 0]


def test_a_deferred_letter_keeps_its_key_until_it_is_too_late(
    practice: Practice, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "451 4.3.0 later"}
    first = sent_to(practice, "p1", campaign="medication_reminder")
    assert settle(first) == {"deferred": 1}
    assert shred(first) == 0
    # The next runs try it again; nobody but the first run can open it.
    for days in (1, 2):
        run = played(day_later(practice, days), "medication_reminder")
        assert practice.states() == {"deferred": 1}
        assert keys(practice) == {first.run_id}, run
    # On the third day it is too late, and the run of that day comes outside the send window.
    last = practice.at(NOW + timedelta(days=3, hours=10))
    run = played(last, "medication_reminder")
    assert practice.rows("SELECT state, reason FROM letter") == [
        {"state": "withheld", "reason": "too_late"}
    ]
    assert keys(practice) == set()
    played(day_later(practice, 4), "medication_reminder")  # and no later run stumbles over it
    assert run.mode == "live"


def test_a_rehearsal_leaves_real_letters_and_their_key_alone(
    practice: Practice, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": "451 4.3.0 later"}
    first = sent_to(practice, "p1")
    settle(first)
    before = practice.rows("SELECT * FROM letter")
    late = practice.at(NOW + timedelta(days=30))
    dry = late.open(CAMPAIGN, dry=True)
    late.hurry(dry)
    settle(dry)
    shred(dry)
    assert practice.rows("SELECT * FROM letter WHERE rehearsal IS NULL") == before
    assert first.run_id in keys(practice)


def test_a_letter_of_an_earlier_run_that_goes_out_today_frees_both_keys(
    practice: Practice, hostile: HostileRelay
) -> None:
    hostile.script = {"rcpt": ["451 4.3.0 later", "250 2.1.5 ok"]}
    first = sent_to(practice, "p1")
    settle(first)
    assert shred(first) == 0
    second = played(day_later(practice, 1), CAMPAIGN)
    assert practice.states() == {"sent": 1}
    assert keys(practice) == set()
    assert second.run_id != first.run_id


def test_a_failed_run_keeps_its_key_until_a_retry_would_come_too_late(
    practice: Practice,
) -> None:
    practice.world.patient("p1")
    up = practice.settings
    failed = practice.open(CAMPAIGN)
    [chunk] = practice.hurry(failed)
    down = replace(up, relays={"embedded": "smtp://localhost:1"})
    with pytest.raises(RelayError):
        send(replace(failed, settings=down), chunk)
    for days, kept in ((1, True), (2, True), (3, False)):
        other = played(day_later(practice, days), CAMPAIGN)
        assert (failed.run_id in keys(practice)) == kept
        assert other.run_id not in keys(practice)
    assert practice.states() == {"sent": 1}  # the next day's run took its letter over


def test_a_rehearsal_that_failed_is_closed_once_its_letters_are_too_late(
    practice: Practice,
) -> None:
    practice.world.patient("p1")
    failed = practice.open("medication_reminder", dry=True)
    practice.hurry(failed)
    played(day_later(practice, 2), "medication_reminder")
    assert keys(practice) == {failed.run_id}
    played(day_later(practice, 3), "medication_reminder")
    assert keys(practice) == set()
    assert practice.states() == {"sent": 1, "withheld": 1}


def test_only_runs_of_this_campaign_are_closed(practice: Practice) -> None:
    other = sent_to(practice, "p1", campaign="medication_reminder")
    settle(other)
    run = practice.open(CAMPAIGN)
    for chunk in practice.hurry(run):
        send(run, chunk)
    settle(run)
    assert shred(run) == 1
    assert keys(practice) == {other.run_id}
    assert shred(other) == 1


def test_an_open_run_is_not_closed_by_another(practice: Practice) -> None:
    practice.world.patient("p1")
    extracted = practice.open(CAMPAIGN)
    extract(extracted)
    other = played(practice, CAMPAIGN)
    assert keys(practice) == {extracted.run_id}
    assert other.run_id != extracted.run_id


@pytest.mark.parametrize("state", ["claimed", "attempted"])
def test_a_letter_in_the_making_keeps_its_key_however_late(state: str, practice: Practice) -> None:
    run = sent_to(practice, "p1")
    with run.store.begin() as store:
        store.execute(
            text("UPDATE letter SET state = :s, expires_at = :e"),
            {"s": state, "e": NOW - timedelta(days=1)},
        )
    assert shred(run) == 0
    assert keys(practice) == {run.run_id}
