"""Answers: what a relay said is kept, whatever breaks off what comes after it."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from daily import Practice
from ready import CHUNK, LETTERS, Ready, run_of, taken
from reengage.delivery import Rate
from reengage.embedded.processes import wait_until
from reengage.errors import StoreError
from reengage.pipeline import attempts
from reengage.pipeline.run import Run
from reengage.pipeline.send import send
from reengage.relay_envelope import Envelope, put_in_envelope
from reengage.relay_replies import Outcome
from simulators.smtp import HostileRelay

BREATH = ("SIZE 1000000", "8BITMIME", "DSN", "PIPELINING", "CHUNKING")
"""What a relay offers that takes a letter in one breath."""


@pytest.mark.parametrize("limit", ["the vendor's entry", "MAILMAX"])
def test_an_answer_is_kept_before_the_relay_hears_goodbye(
    limit: str,
    ready_practice: Practice,
    ready: Ready,
    relay: HostileRelay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """QUIT may take a slow relay half a minute, and who is killed meanwhile has heard."""
    told = ("LIMITS MAILMAX=2",) if limit == "MAILMAX" else ()
    relay.extensions = (*BREATH, *told)
    run = run_of(ready_practice, ready.live)
    if limit != "MAILMAX":
        vendor = run.vendor.model_copy(update={"rate": Rate(letters_per_connection=2)})
        monkeypatch.setattr(Run, "vendor", property(lambda _: vendor))
    seen: list[dict[str, int]] = []
    relay.at("quit", lambda: seen.append(ready_practice.states()))
    assert send(run, CHUNK) == {"sent": LETTERS}
    assert relay.connections == len(seen) == 3
    assert not any("attempted" in states for states in seen)


def test_a_letter_that_is_refused_on_this_side_hides_no_answer(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    relay.extensions = BREATH
    real, calls = put_in_envelope, count()

    def second_is_too_big(*arguments: Any, **options: Any) -> Envelope | Outcome:
        if next(calls) == 1:
            return Outcome("refused", "mail", None, "5.3.4")
        return real(*arguments, **options)

    monkeypatch.setattr("reengage.relay.put_in_envelope", second_is_too_big)
    run = run_of(ready_practice, ready.live)
    assert send(run, CHUNK) == {"refused": 1, "sent": LETTERS - 1}
    assert len(relay.letters) == LETTERS - 1


def test_a_time_limit_that_strikes_in_a_mark_settles_nothing_by_halves(
    ready_practice: Practice, ready: Ready, relay: HostileRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Airflow's is raised by a signal, at any line: here while the session commits by itself."""

    class TimeLimit(BaseException):
        pass

    run = run_of(ready_practice, ready.live)
    real, calls = attempts.load_sql, count()

    def struck(home: Path, name: str) -> str:
        if name == "outbox/mark.sql" and next(calls) == 3:
            raise TimeLimit
        return real(home, name)

    monkeypatch.setattr(attempts, "load_sql", struck)
    with pytest.raises(TimeLimit):
        send(run, CHUNK)
    assert "sent" not in ready_practice.states()
    monkeypatch.setattr(attempts, "load_sql", real)
    again = send_when_the_session_is_gone(run)
    assert again in ({"sent": LETTERS}, {"sent": LETTERS - 1, "unknown": 1})
    assert len(set(taken(relay))) == len(relay.letters)


def send_when_the_session_is_gone(run: Run) -> dict[str, int]:
    """The server takes a moment to notice."""
    found: list[dict[str, int]] = []

    def through() -> bool:
        with suppress(StoreError):
            found.append(send(run, CHUNK))
        return bool(found)

    wait_until(through, seconds=20, what="the end of a session", every=0.02)
    return found[0]
