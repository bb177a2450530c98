"""Too late to send: whatever state a letter is found in, also in a store restored from a backup.

The ready practice is a copy of a store as it was before anything was sent: a backup, brought back
at the instant that a test plays.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from daily import Practice
from ready import CAMPAIGN, CHUNK, LETTERS, Ready, run_of, states
from reengage.delivery import Rate
from reengage.pipeline import breaker
from reengage.pipeline.run import Run
from reengage.pipeline.send import Sent, send, send_what_is_open
from reengage.pipeline.settle import settle
from reengage.settings import Settings
from simulators.smtp import HostileRelay
from world import NOW

LONG_AFTER = NOW + timedelta(days=60)
FOUND = {
    "composed": "state = 'composed'",
    "put off": f"state = 'deferred', settled_at = now(), tries = 1, next_try_at = '{NOW}'",
    "put off for longer": f"state = 'deferred', settled_at = now(), next_try_at = '{LONG_AFTER}'",
    "held for its domain": "held_until = clock_timestamp() + INTERVAL '1 hour'",
    "left by a breaker": f"state = 'deferred', settled_at = now(), reason = '{breaker.REJECTED}'",
}


@pytest.mark.parametrize("state", FOUND)
def test_a_backup_that_comes_back_after_the_appointment_sends_nothing(
    state: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    ready_practice.spoil(f"UPDATE letter SET {FOUND[state]} WHERE rehearsal IS NULL")
    run = run_of(ready_practice.at(LONG_AFTER), ready.live)
    assert send_what_is_open(run, CHUNK) == Sent({"withheld": LETTERS}, None)
    assert {reason for _, reason in states(ready_practice, run)} == {"too_late"}
    assert relay.connections == 0
    settle(run)


@pytest.mark.parametrize("state", FOUND)
def test_the_next_run_closes_what_is_too_late_before_it_writes_anew(
    state: str, ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    ready_practice.spoil(f"UPDATE letter SET {FOUND[state]} WHERE rehearsal IS NULL")
    later = ready_practice.at(LONG_AFTER)
    following = later.open(CAMPAIGN)
    for chunk in later.planned(following):
        send(following, chunk)
    settle(following)
    found = ready_practice.rows("SELECT DISTINCT state, reason FROM letter WHERE rehearsal IS NULL")
    assert found == [{"state": "withheld", "reason": "too_late"}]
    assert relay.letters == []


def test_a_backup_that_comes_back_at_night_waits_for_the_window(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    ready_practice.spoil(f"UPDATE letter SET expires_at = '{LONG_AFTER}'")
    run = run_of(ready_practice.at(NOW + timedelta(hours=9)), ready.live)  # 21:00 in Chicago
    assert send_what_is_open(run, CHUNK) == Sent({"deferred": LETTERS}, None)
    assert {reason for _, reason in states(ready_practice, run)} == {"outside_send_window"}
    assert relay.connections == 0


def test_what_becomes_too_late_while_the_relay_is_called_is_not_claimed(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claim itself looks, in the statement that claims."""
    ready_practice.spoil(f"UPDATE letter SET expires_at = '{NOW + timedelta(minutes=1)}'")
    run = run_of(ready_practice, ready.live)

    def now(_: Settings) -> datetime:
        return NOW + timedelta(minutes=2 if relay.connections else 0)

    monkeypatch.setattr(Settings, "now", now)
    assert send(run, CHUNK) == {"withheld": LETTERS}
    assert relay.connections == 1
    assert relay.letters == []


def test_what_a_paused_run_held_for_too_long_is_not_sent_by_an_approval(
    ready_practice: Practice, ready: Ready, relay: HostileRelay
) -> None:
    run = run_of(ready_practice, ready.live)
    with run.store.begin() as connection:
        breaker.note(connection, run, 0, [("refused", "rcpt 550 5.1.1")] * 20)
    assert send(run, CHUNK) == {"composed": LETTERS}
    ready_practice.spoil(f"UPDATE letter SET expires_at = '{NOW + timedelta(minutes=1)}'")
    late = run_of(ready_practice.at(NOW + timedelta(hours=1)), ready.live)
    breaker.answer(late, 1, "approved", "olga", "looked at the codes")
    assert send(late, CHUNK) == {"withheld": LETTERS}
    assert relay.connections == 0


def test_what_waits_for_a_token_until_it_is_too_late_is_withheld(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(ready_practice, ready.live)
    slow = run.vendor.model_copy(update={"rate": Rate(per_second=0.01, burst=1)})
    monkeypatch.setattr(Run, "vendor", property(lambda _: slow))
    found = send_what_is_open(run, CHUNK)
    assert (found.letters, found.again_at is None) == ({"composed": LETTERS - 1, "sent": 1}, False)
    late = run_of(ready_practice.at(LONG_AFTER), ready.live)
    assert send(late, CHUNK) == {"sent": 1, "withheld": LETTERS - 1}
    assert len(relay.letters) == 1
