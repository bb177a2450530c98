"""A claim that has to wait for the ledger, a checkpoint being signed: what it had is no younger."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, run_of, states, taken
from reengage.delivery import Rate
from reengage.errors import StoreError
from reengage.pipeline import outbox, pacing
from reengage.pipeline import send as room
from reengage.pipeline.outbox import Queued
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from simulators.smtp import HostileRelay


class Ledger:
    """One that somebody else holds: the first claim waits so many seconds for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.claims = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self._late = 0.0
        really = outbox.claim

        def claim(*arguments: Any, **named: Any) -> list[Queued]:
            claimed = really(*arguments, **named)
            self.claims += 1
            if self.claims == 1:
                self._late = seconds
                self.meanwhile()
            return claimed

        monkeypatch.setattr(outbox, "claim", claim)
        monkeypatch.setattr(room, "monotonic", lambda: monotonic() + self._late)


def test_no_letter_goes_on_what_was_read_before_it(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRV-06: a revocation that came meanwhile is seen by the claim that follows."""
    ledger = Ledger(monkeypatch, room.STALE_SECONDS + 1)
    assert send(run_of(ready_practice, ready.live), CHUNK) == {"sent": LETTERS}
    assert ledger.claims == 2
    assert len(set(taken(relay))) == len(relay.letters) == LETTERS


def test_of_a_look_that_is_older_than_a_minute_one_letter_goes_and_the_rest_is_claimed_anew(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(monkeypatch, room.LOOK_SECONDS + 1)
    relay.at("dot", lambda: claims.append(ledger.claims))
    claims: list[int] = []
    assert send(run_of(ready_practice, ready.live), CHUNK) == {"sent": LETTERS}
    assert claims == [1] + [2] * (LETTERS - 1)


def test_the_relays_tokens_are_drawn_again(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(ready_practice, ready.live)
    vendor = run.vendor.model_copy(update={"rate": Rate(per_second=1000, burst=1000)})
    monkeypatch.setattr(Run, "vendor", property(lambda _: vendor))
    really, drawn = pacing.take, []

    def take(connection: Any, run: Run, recipients: list[str]) -> pacing.Granted:
        drawn.append(len(recipients))
        return really(connection, run, recipients)

    monkeypatch.setattr(pacing, "take", take)
    Ledger(monkeypatch, room.DRAWN_SECONDS + 1)
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert drawn == [LETTERS, LETTERS]


def test_what_gets_no_token_then_is_given_back(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(ready_practice, ready.live)
    granted = iter([(0, 1, 2, 3), (0,), (0, 1, 2, 3), (0, 1, 2, 3)])
    monkeypatch.setattr(
        pacing, "take", lambda *_: pacing.Granted(tuple(next(granted)), wait_seconds=0.0)
    )
    ledger = Ledger(monkeypatch, room.DRAWN_SECONDS + 1)
    claims: list[int] = []
    relay.at("dot", lambda: claims.append(ledger.claims))
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert claims == [1] + [2] * (LETTERS - 1)


def test_a_task_that_is_asked_to_stop_meanwhile_begins_no_letter(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(ready_practice, ready.live)
    ledger = Ledger(monkeypatch, 0)
    stopped: list[bool] = []
    ledger.meanwhile = lambda: stopped.append(True)
    polite = room.polite

    class Asked:
        def __enter__(self) -> Callable[[], bool]:
            self._really = polite()
            self._really.__enter__()
            return lambda: bool(stopped)

        def __exit__(self, *raised: Any) -> None:
            self._really.__exit__(*raised)

    monkeypatch.setattr(room, "polite", Asked)
    with pytest.raises(StoreError, match="asked to stop"):
        send(run, CHUNK)
    assert states(ready_practice, run) == [("composed", None)] * LETTERS
    assert relay.letters == []
    assert ledger.claims == 1
