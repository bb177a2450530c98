"""A letter that a relay put off: tried again when the plan says, within its window, and once."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.delivery import Rate
from reengage.pipeline import outbox, pacing, turns
from reengage.pipeline.run import Run
from reengage.pipeline.send import Sent, send, send_what_is_open
from reengage.pipeline.settle import settle
from reengage.settings import Settings
from simulators.smtp import DROP, HostileRelay
from world import NOW

HALF_AN_HOUR = timedelta(minutes=30)
SECOND = timedelta(seconds=1)
LATER = "451 4.3.0 later"
YES = {"rcpt": "250 2.1.5 ok", "mail": "250 2.1.0 ok", "data": "354 go ahead", "dot": ""}


class Clock:
    """The machine's clock, as the test has it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOW
        monkeypatch.setattr(Settings, "now", lambda _: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def running(ready_practice: Practice) -> Practice:
    """The practice on the machine's clock."""
    return replace(ready_practice, settings=replace(ready_practice.settings, pinned_now=None))


@pytest.mark.parametrize(
    ("stage", "reply"),
    [("rcpt", LATER), ("dot", LATER), ("mail", "421 4.3.2 bye"), ("data", DROP)],
    ids=["4xx", "4xx to the dot", "421", "lost before the dot"],
)
def test_it_is_tried_again_after_half_an_hour_by_the_same_run_and_not_before(
    stage: str, reply: str, running: Practice, ready: Ready, relay: HostileRelay, clock: Clock
) -> None:
    """RFC 5321 section 4.5.4.1."""
    relay.script = {stage: [reply, YES[stage]]}
    run = run_of(running, ready.live)
    due = NOW + HALF_AN_HOUR
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 1, "sent": LETTERS - 1}, due)
    clock.now = due - SECOND
    connections = relay.connections
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 1, "sent": LETTERS - 1}, due)
    assert relay.connections == connections
    clock.now = due
    assert send_what_is_open(run, CHUNK) == Sent({"sent": LETTERS}, None)
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS
    settle(run)


def test_each_pause_is_twice_the_last_up_to_three_hours_and_within_the_day(
    running: Practice, ready: Ready, relay: HostileRelay, clock: Clock
) -> None:
    relay.script = {"rcpt": LATER}
    running.spoil(f"UPDATE letter SET expires_at = '{NOW + timedelta(days=3)}'")
    run = run_of(running, ready.live)
    run = replace(run, campaign=run.campaign.model_copy(update={"breaker": None}))
    clock.now = NOW - timedelta(hours=3, minutes=30)  # 08:30 in Chicago
    pauses = []
    while (again_at := send_what_is_open(run, CHUNK).again_at) is not None:
        pauses.append((again_at - clock.now) // timedelta(minutes=1))
        clock.now = again_at
    assert pauses == [30, 60, 120, 180, 180, 180]  # to 21:00, when the window is closed
    assert {reason for _, reason in states(running, run)} == {"rcpt 451 4.3.0"}
    assert relay.letters == []
    assert relay.connections == 6
    assert settle(run) == {"deferred": LETTERS}


def test_what_would_be_too_late_by_then_is_not_waited_for(
    running: Practice, ready: Ready, relay: HostileRelay, clock: Clock
) -> None:
    relay.script = {"rcpt": LATER}
    run = run_of(running, ready.live)
    running.spoil(f"UPDATE letter SET expires_at = '{NOW + HALF_AN_HOUR}'")
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": LETTERS}, None)
    clock.now = NOW + HALF_AN_HOUR
    assert send_what_is_open(run, CHUNK) == Sent({"withheld": LETTERS}, None)
    assert {reason for _, reason in states(running, run)} == {"too_late"}


def test_with_a_pinned_clock_nobody_waits_and_the_next_run_tries_it(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    relay.script = {"rcpt": [LATER, YES["rcpt"]]}
    run = run_of(ready_practice, ready.live)
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 1, "sent": LETTERS - 1}, None)
    assert send(run, CHUNK) == {"deferred": 1, "sent": LETTERS - 1}
    assert send(run_of(ready_practice.at(NOW + HALF_AN_HOUR), ready.live), CHUNK) == {
        "sent": LETTERS
    }


def test_one_that_was_held_for_its_domain_and_then_put_off_is_not_asked_for_without_end(
    running: Practice,
    ready: Ready,
    relay: HostileRelay,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = run_of(running, ready.live)
    vendor = run.vendor.model_copy(update={"rate": Rate(per_domain_per_minute=300)})
    monkeypatch.setattr(Run, "vendor", property(lambda _: vendor))
    with run.store.begin() as connection:
        pacing.take(connection, run, ["p0@example.org"])
    running.spoil("UPDATE pace SET tokens = 1, refilled_at = clock_timestamp()")
    relay.script = {"rcpt": ["250 ok", LATER, "250 ok"]}
    due = NOW + HALF_AN_HOUR
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 1, "sent": LETTERS - 1}, due)
    clock.now = NOW + timedelta(minutes=10)
    looks = count()
    opened = outbox.open_letters

    def counted(*arguments: Any) -> list[outbox.Queued]:
        assert next(looks) < 9
        return opened(*arguments)

    monkeypatch.setattr(outbox, "open_letters", counted)
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": 1, "sent": LETTERS - 1}, due)


def test_one_that_is_due_again_before_a_long_try_ends_is_tried_by_the_next(
    running: Practice,
    ready: Ready,
    relay: HostileRelay,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 1)
    relay.script = {"rcpt": [LATER, "250 ok"]}
    relay.at("dot", lambda: setattr(clock, "now", NOW + timedelta(minutes=31)))
    run = run_of(running, ready.live)
    found = send_what_is_open(run, CHUNK)
    assert found == Sent({"deferred": 1, "sent": LETTERS - 1}, NOW + HALF_AN_HOUR)
    assert send_what_is_open(run, CHUNK) == Sent({"sent": LETTERS}, None)


def test_a_relay_that_has_no_time_for_a_conversation_is_asked_again_in_half_an_hour(
    running: Practice, ready: Ready, relay: HostileRelay, clock: Clock
) -> None:
    relay.script = {"connect": ["421 4.3.2 too many connections", "220 ready"]}
    run = run_of(running, ready.live)
    due = NOW + HALF_AN_HOUR
    assert send_what_is_open(run, CHUNK) == Sent({"composed": LETTERS}, due)
    clock.now = due
    assert send_what_is_open(run, CHUNK) == Sent({"sent": LETTERS}, None)


def test_a_try_ends_before_airflow_ends_it_and_comes_back_at_once(
    running: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    monkeypatch.setattr(Settings, "now", lambda _: NOW)
    run = run_of(running, ready.live)
    relay.at("dot", lambda: monkeypatch.setattr(turns, "TRY_SECONDS", -1))
    found = send_what_is_open(run, CHUNK)
    assert (found.letters, found.again_at is None) == ({"composed": 3, "sent": 2}, False)
    monkeypatch.setattr(turns, "TRY_SECONDS", 1800)
    relay.at("dot", lambda: None)
    assert send_what_is_open(run, CHUNK) == Sent({"sent": LETTERS}, None)
