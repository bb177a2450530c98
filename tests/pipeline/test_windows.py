"""The send window, by the clock where the patient lives, and the task that comes back for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from daily import Practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, reasons, run_of
from reengage.campaigns import load_campaign
from reengage.delivery import SendWindow
from reengage.pipeline import outbox
from reengage.pipeline.outbox import Queued
from reengage.pipeline.run import Run
from reengage.pipeline.send import Sent, send, send_what_is_open
from reengage.pipeline.settle import settle
from reengage.pipeline.window import is_open, opens_again
from reengage.settings import HOME, Settings
from simulators.smtp import HostileRelay
from sqlalchemy import text
from world import DAY, NOW

SECOND = timedelta(seconds=1)
NEVER = datetime(2099, 12, 31, tzinfo=UTC)
CHICAGO, NEW_YORK, HONOLULU = "America/Chicago", "America/New_York", "Pacific/Honolulu"


def utc(instant: str) -> datetime:
    return datetime.fromisoformat(instant).replace(tzinfo=UTC)


def a_run(opens: str = "08:00", closes: str = "20:00", day: date = DAY) -> Run:
    """A campaign of New York's at a practice of Chicago's, on the machine's clock."""
    window = SendWindow.model_validate({"opens": opens, "closes": closes})
    campaign = load_campaign(HOME, CAMPAIGN).model_copy(
        update={"send_window": window, "time_zone": NEW_YORK}
    )
    settings = Settings(home=HOME, warehouse_url="", store_url="", keyring=Path("none"), relays={})
    return Run(UUID(int=0), day, "live", campaign, settings)


BOUNDARIES = [
    # where the patient lives, the first second of the window, the first one after it
    (CHICAGO, "2025-06-02T13:00:00", "2025-06-03T01:00:00"),
    (NEW_YORK, "2025-06-02T12:00:00", "2025-06-03T00:00:00"),
    (HONOLULU, "2025-06-02T18:00:00", "2025-06-03T06:00:00"),
    ("Pacific/Guam", "2025-06-01T22:00:00", "2025-06-02T10:00:00"),
    ("America/St_Johns", "2025-06-02T10:30:00", "2025-06-02T22:30:00"),
    # Clocks went forward on 9 March and back on 2 November.
    (CHICAGO, "2025-03-08T14:00:00", "2025-03-09T02:00:00"),
    (CHICAGO, "2025-03-09T13:00:00", "2025-03-10T01:00:00"),
    (CHICAGO, "2025-11-01T13:00:00", "2025-11-02T01:00:00"),
    (CHICAGO, "2025-11-02T14:00:00", "2025-11-03T02:00:00"),
    ("America/Phoenix", "2025-03-09T15:00:00", "2025-03-10T03:00:00"),
    # The practice's, not the campaign's.
    ("Mars/Olympus_Mons", "2025-06-02T13:00:00", "2025-06-03T01:00:00"),
    ("", "2025-06-02T13:00:00", "2025-06-03T01:00:00"),
]


@pytest.mark.parametrize(("zone", "opens", "closes"), BOUNDARIES)
def test_the_window_opens_and_closes_by_the_patients_own_clock(
    zone: str, opens: str, closes: str
) -> None:
    run, first, after = a_run(), utc(opens), utc(closes)
    instants = (first - SECOND, first, after - SECOND, after)
    assert [is_open(run, zone, instant) for instant in instants] == [False, True, True, False]


OPENINGS = {
    # the day, where, the window, now, and when to come back
    "later today": (DAY, HONOLULU, "08:00-20:00", "2025-06-02T14:00:00", "2025-06-02T18:00:00"),
    "a second before": (DAY, HONOLULU, "08:00-20:00", "2025-06-02T17:59:59", "2025-06-02T18:00:00"),
    "their tomorrow is today here": (
        DAY, "Pacific/Guam", "08:00-20:00", "2025-06-02T14:00:00", "2025-06-02T22:00:00",
    ),
    "closed for today": (DAY, CHICAGO, "08:00-20:00", "2025-06-03T01:00:00", None),
    "a zone that does not exist": (
        DAY, "Mars/Olympus_Mons", "08:00-20:00", "2025-06-02T12:00:00", "2025-06-02T13:00:00",
    ),
    "clocks go forward": (
        date(2025, 3, 9), NEW_YORK, "08:00-20:00", "2025-03-09T05:00:00", "2025-03-09T12:00:00",
    ),
    "it opens in the hour that is not there": (
        date(2025, 3, 9), CHICAGO, "02:30-09:00", "2025-03-09T06:00:00", "2025-03-09T08:00:00",
    ),
    "it closes in that hour": (
        date(2025, 3, 9), CHICAGO, "02:10-02:50", "2025-03-09T06:00:00", None,
    ),
    "it opens in an hour that comes twice": (
        date(2025, 11, 2), CHICAGO, "01:30-01:45", "2025-11-02T06:50:00", "2025-11-02T07:30:00",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OPENINGS)
def test_letters_wait_for_the_first_minute_of_a_window_of_today(case: str) -> None:
    day, zone, hours, now, expected = OPENINGS[case]
    opens, closes = hours.split("-")
    found = opens_again(a_run(opens, closes, day), zone, utc(now), NEVER)
    assert found == (utc(expected) if expected else None)


def test_nobody_waits_for_a_window_that_opens_when_the_letter_is_too_late() -> None:
    opening = utc("2025-06-02T18:00:00")
    assert opens_again(a_run(), HONOLULU, NOW, opening) is None
    assert opens_again(a_run(), HONOLULU, NOW, opening + SECOND) == opening


# --- the task ---

ZONES = {
    "p0": CHICAGO,
    "p1": NEW_YORK,
    "p2": HONOLULU,
    "p3": "Pacific/Guam",
    "p4": "",  # sealed before the zone was kept
}


def letters_of(run: Run) -> list[Queued]:
    with run.store.connect() as connection:
        return outbox.open_letters(connection, run, 0)


def seal_zones(run: Run, zones: Mapping[str, str]) -> None:
    """As if these patients had lived there when their letters were composed."""
    with run.store.begin() as connection:
        for one in letters_of(run):
            letter = replace(one.letter, time_zone=zones[one.letter.patient_key])
            sealed = run.data_key.seal(letter.to_bytes(), bound_to=f"letter/{one.identity}")
            connection.execute(
                text("UPDATE letter SET sealed = :sealed WHERE letter_id = :id"),
                {"sealed": sealed, "id": one.letter_id},
            )


def test_at_midnight_a_run_is_over_also_where_the_window_is_still_open(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, practice = Clock(monkeypatch), unpinned(ready_practice)
    run = run_of(practice, ready.live)
    seal_zones(run, dict.fromkeys(ZONES, HONOLULU))
    clock.now = utc("2025-06-03T04:59:59")  # 23:59:59 in Chicago
    relay.at("dot", lambda: setattr(clock, "now", utc("2025-06-03T05:00:00")))
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": LETTERS - 1, "sent": 1}, None)
    assert sorted(set(reasons(practice, run).values())) == ["run_became_a_replay", "sent"]
    assert len(relay.letters) == 1


class Clock:
    """The machine's clock, as the test has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr(Settings, "now", lambda _: self.now)


def unpinned(practice: Practice) -> Practice:
    return replace(practice, settings=replace(practice.settings, pinned_now=None))


def test_the_task_comes_back_for_those_whose_window_opens_later_today(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, practice = Clock(monkeypatch), unpinned(ready_practice)
    run = run_of(practice, ready.live)
    seal_zones(run, ZONES)
    honolulu, guam = utc("2025-06-02T18:00:00"), utc("2025-06-02T22:00:00")
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 2, "sent": 3}, honolulu)
    assert reasons(practice, run) == {
        **dict.fromkeys(("p0", "p1", "p4"), "sent"),
        **dict.fromkeys(("p2", "p3"), "outside_send_window"),
    }
    clock.now = honolulu - SECOND  # a worker whose clock is slow
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 2, "sent": 3}, honolulu)
    clock.now = honolulu
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 1, "sent": 4}, guam)
    clock.now = guam
    assert send_what_is_open(run_of(practice, ready.live), CHUNK) == Sent({"sent": LETTERS}, None)
    assert len(relay.letters) == LETTERS
    settle(run)


def test_with_a_pinned_clock_they_stay_deferred_for_the_next_run(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    seal_zones(run, ZONES)
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 2, "sent": 3}, None)
    settle(run)


def test_when_all_windows_have_closed_nothing_is_asked_of_the_relay(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, run = Clock(monkeypatch), run_of(unpinned(ready_practice), ready.live)
    clock.now = utc("2025-06-03T01:00:00")
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": LETTERS}, None)
    assert relay.connections == 0


def test_a_window_that_closes_within_a_batch_holds_for_the_letters_that_are_left(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Settings, "now", lambda _: NOW + timedelta(hours=8 if relay.letters else 0))
    run = run_of(ready_practice, ready.live)
    assert send(run, CHUNK) == {"deferred": LETTERS - 1, "sent": 1}
    assert len(relay.letters) == 1


def test_a_letter_keeps_its_patients_zone_or_the_practices(practice: Practice) -> None:
    file = practice.settings.home / "practice.yaml"
    content = file.read_text(encoding="utf-8")
    file.write_text(content.replace(CHICAGO, NEW_YORK), encoding="utf-8")
    for key, zone in (("p0", HONOLULU), ("p1", "Mars/Olympus_Mons"), ("p2", None)):
        practice.world.patient(key, patient={"time_zone": zone})
    run = practice.open(CAMPAIGN)
    practice.hurry(run)
    assert {one.letter.patient_key: one.letter.time_zone for one in letters_of(run)} == {
        "p0": HONOLULU,
        "p1": NEW_YORK,
        "p2": NEW_YORK,
    }
