"""What happens in a round, drawn from its seed alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Literal

from world import NOW

Action = Literal["kill", "stop", "cut", "freeze", "twin", "restart", "crash", "backend"]
"""SIGKILL; SIGTERM; the end of its session in the store; SIGSTOP, the end of its session, and
SIGCONT when a retry is through; a second task for the chunk; the database restarted, crashed, or
one process of it killed."""

OF_A_SENDER: tuple[Action, ...] = ("kill", "stop", "cut", "freeze", "twin")
OF_THE_STORE: tuple[Action, ...] = ("restart", "crash", "backend")
_STAGES = (
    "start", "connect", "ehlo", "mail", "rcpt", "data", "body", "dot", "reply", "replied", "quit",
)  # fmt: skip
_CLOCKS = (
    (70, timedelta()),
    (8, timedelta(hours=2)),
    (6, timedelta(hours=9)),  # the window is closed
    (6, timedelta(hours=-6)),  # it is not open yet
    (7, timedelta(days=1)),  # a replay by then
    (3, timedelta(days=5)),  # too late for every letter
)
_EXTENSIONS = ("8BITMIME", "DSN", "PIPELINING", "CHUNKING", "SMTPUTF8")
RATES: tuple[dict[str, float], ...] = (
    {},
    {"per_second": 60, "burst": 8},
    {"per_domain_per_minute": 3000},  # all letters go to one domain, eight at most at once
    {"letters_per_connection": 3},
    {"connections": 2},  # for four chunks
    {"per_second": 60, "burst": 8, "letters_per_connection": 5, "connections": 3},
)
"""What the vendor's entry may say that the relay takes."""
WILD_WAVES, CALM_WAVES = 3, 6
_CALM, _CALM_STEP = timedelta(hours=5), timedelta(minutes=30)
"""By then most letters that a relay put off may be tried again, and every window is open. One that
only a calm task settles has its pause from then on.
"""
END = NOW + _CALM + (CALM_WAVES - 1) * _CALM_STEP
"""The clock of the last tasks."""


@dataclass(frozen=True)
class Fate:
    """What is done to a task, and when: at the nth time it has reached a stage, and a while after.

    `holds`: the relay waits until it is done, so that it happens at that stage exactly.
    """

    action: Action
    stage: str
    nth: int
    after_seconds: float
    holds: bool

    def __str__(self) -> str:
        when = "there" if self.holds else f"{self.after_seconds * 1000:.0f} ms after"
        return f"{self.action} {when} {self.stage} {self.nth}"


@dataclass(frozen=True)
class Plan:
    """One round."""

    seed: int
    kind: Literal["tls", "portal"]
    extensions: tuple[str, ...]
    implicit: bool
    share: float
    mute_seconds: float
    rate: Mapping[str, float] = field(default_factory=dict)
    wary: bool = False
    """Whether the run pauses itself early (site.WARY), not as a campaign does by default."""

    @classmethod
    def of(cls, seed: int) -> Plan:
        lot = Random(f"round/{seed}")
        return cls(
            seed=seed,
            kind="portal" if lot.random() < 0.3 else "tls",
            extensions=(
                "SIZE 1000000", *(one for one in _EXTENSIONS if lot.random() < 0.6)
            ),
            implicit=lot.random() < 0.3,
            share=lot.choice((0.0, 0.05, 0.2, 0.4)),
            mute_seconds=lot.choice((0.0, 0.0, 0.0, 0.004)),
            rate=lot.choice(RATES),
            wary=lot.random() < 0.4,
        )  # fmt: skip

    def fate(self, wave: int, chunk: int) -> Fate | None:
        """What is done to the wave's task for the chunk, if anything."""
        lot = Random(f"fate/{self.seed}/{wave}/{chunk}")
        if wave >= WILD_WAVES or lot.random() < 0.25:
            return None
        # Of the store at most one thing a wave: all of its tasks hear of it.
        of_the_store = chunk == 0 and lot.random() < 0.25
        stage = lot.choice(_STAGES)
        return Fate(
            action=lot.choice(OF_THE_STORE if of_the_store else OF_A_SENDER),
            stage=stage,
            nth=lot.randint(1, 8) if stage in _STAGES[3:10] else 1,
            after_seconds=lot.uniform(0, 0.5 if stage == "start" else 0.03),
            holds=stage != "start" and lot.random() < 0.5,
        )

    def actions(self) -> set[str]:
        """All that is to be done to tasks, should they come that far."""
        fates = (self.fate(wave, chunk) for wave in range(WILD_WAVES) for chunk in range(4))
        return {fate.action for fate in fates if fate is not None}

    def clock(self, wave: int, chunk: int) -> timedelta:
        """How far the task's clock is from NOW."""
        lot = Random(f"clock/{self.seed}/{wave}/{chunk}")
        if wave >= WILD_WAVES:
            return _CALM + (wave - WILD_WAVES) * _CALM_STEP
        weights, jumps = zip(*_CLOCKS, strict=True)
        return lot.choices(jumps, weights)[0]

    def rooms(self, wave: int, chunk: int) -> tuple[str, ...]:
        """What the task does: one that is cleared together with those before it does more."""
        lot = Random(f"rooms/{self.seed}/{wave}/{chunk}")
        if wave < WILD_WAVES and lot.random() < 0.1:
            return ("letter", "check_letters", "send")
        return ("send",)


__all__ = ["CALM_WAVES", "END", "NOW", "WILD_WAVES", "Action", "Fate", "Plan"]
