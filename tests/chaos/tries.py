"""Tries: tasks at work in a round, and what is done to them while they are."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from multiprocessing.connection import wait
from typing import Any
from uuid import UUID

from daily import Practice
from reengage.pipeline.plan import Chunk
from rooms import environment
from simulators.chaos_relay import ChaosRelay

from chaos.plan import NOW, OF_THE_STORE, Fate
from chaos.site import Site
from chaos.worker import CONTEXT, work

SECONDS = 90
GRACE_SECONDS = 5
"""Airflow kills a task that lives for longer after it was told to end."""


@dataclass
class Try:
    """One task at work, and what befell it."""

    tag: int
    wave: int
    chunk: int
    rooms: tuple[str, ...]
    fate: Fate | None
    clock: timedelta
    process: Any = field(repr=False)
    said: Any = field(repr=False)
    befell: list[str] = field(default_factory=list)
    """What came about while it lived: kill, stop, cut, restart, crash, backend, hang."""
    ended: tuple[str, str] = ("", "")
    reached: Counter[str] = field(default_factory=Counter)
    thawed: threading.Event = field(default_factory=threading.Event, repr=False)
    """Set when it goes on after a freeze. Until then it does not hang: its retry takes its time."""

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    @property
    def alive(self) -> bool:
        return bool(self.process.pid and self.process.is_alive())

    def __str__(self) -> str:
        fate = f", {self.fate}" if self.fate else ""
        ended = " ".join(self.ended).strip()
        return (
            f"wave {self.wave}, chunk {self.chunk}, try {self.tag} at {self.clock}"
            f" ({'+'.join(self.rooms)}{fate}): {', '.join(self.befell) or 'undisturbed'}: {ended}"
        )


@dataclass
class Tries:
    """Starts the tasks of a round."""

    site: Site
    relay: ChaosRelay
    practice: Practice
    campaign: str
    run_id: UUID
    chunks: list[Chunk]
    all: list[Try] = field(default_factory=list)
    _workers: list[threading.Thread] = field(default_factory=list)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.relay.at = self._reached

    def start(
        self,
        wave: int,
        chunk: int,
        rooms: tuple[str, ...] = ("send",),
        fate: Fate | None = None,
        clock: timedelta = timedelta(),
    ) -> Try:
        with self._lock:
            tag = len(self.all)
            relays = {"embedded": self.relay.listen(tag)}
            settings = replace(self.practice.settings, relays=relays, pinned_now=NOW + clock)
            said, end = CONTEXT.Pipe(duplex=False)
            process = CONTEXT.Process(
                target=work,
                args=(
                    environment(settings), rooms, self.campaign, self.run_id, self.chunks[chunk],
                    end,
                ),
                daemon=True,
            )  # fmt: skip
            made = Try(tag, wave, chunk, rooms, fate, clock, process, said)
            self.all.append(made)
            process.start()
            end.close()
        if fate is not None and fate.stage == "start":
            self._later(fate.after_seconds, lambda: self._act(made, fate))
        return made

    def join(self) -> None:
        """Until every task has ended, and everything that was to be done to them is done."""
        for one in self.all:  # grows while a twin is started
            self._join(one)
        while self._workers:
            self._workers.pop().join(SECONDS)
        for one in self.all:
            self._join(one)
        with self.site.lock:  # the relay's own threads disturb the server, too, and may be at it
            pass

    def _join(self, one: Try) -> None:
        if one.ended[0]:
            return
        one.process.join(GRACE_SECONDS if "stop" in one.befell else SECONDS)
        if "freeze" in one.befell and one.alive:
            one.thawed.wait(SECONDS)
            one.process.join(SECONDS)
        if one.process.exitcode is None:
            one.befell.append("hang" if "stop" not in one.befell else "kill")
            one.process.kill()
            one.process.join(SECONDS)
        with self._lock:  # a twin is waited for in two places
            if one.ended[0]:
                return
            with suppress(EOFError, OSError):
                if one.said.poll():
                    one.ended = one.said.recv()
            if not one.ended[0]:
                one.ended = ("died", str(one.process.exitcode))
            one.said.close()

    def _reached(self, tag: int, stage: str) -> None:
        one = self.all[tag]
        one.reached[stage] += 1
        fate = one.fate
        if fate is None or (fate.stage, fate.nth) != (stage, one.reached[stage]):
            return
        if fate.holds:
            self._act(one, fate)
        else:
            self._later(fate.after_seconds, lambda: self._act(one, fate))

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        thread = threading.Timer(seconds, work)
        self._workers.append(thread)
        thread.start()

    def _act(self, one: Try, fate: Fate) -> None:
        try:
            self._do(one, fate)
        except Exception as error:  # in a thread, where nobody else would see it
            one.befell.append(f"the test itself failed: {error!r}")

    def _do(self, one: Try, fate: Fate) -> None:
        if not one.alive:
            return
        if fate.action in OF_THE_STORE:
            dead = {other.tag for other in self.all if other.process.exitcode is not None}
            self.site.disturb(fate.action, one.pid)
            for other in self.all:  # the rest were at work, or about to begin
                later = other.tag in dead  # what it held may have waited for its retry
                other.befell.append(f"{fate.action} later" if later else fate.action)
        elif fate.action == "kill":
            os.kill(one.pid, signal.SIGKILL)
            assert wait([one.process.sentinel], SECONDS)
            one.befell.append("kill")
        elif fate.action == "stop":
            one.befell.append("stop")
            os.kill(one.pid, signal.SIGTERM)
        elif fate.action == "cut":
            if self.site.cut(one.pid):
                one.befell.append("cut")
        elif fate.action == "twin":
            one.befell.append("twin")
            twin = self.start(one.wave, one.chunk)
            if fate.holds:  # from beginning to end while the other is in the middle of a letter
                self._join(twin)
        else:
            self._freeze(one, fate)

    def _freeze(self, one: Try, fate: Fate) -> None:
        os.kill(one.pid, signal.SIGSTOP)
        one.befell.append("freeze")
        if self.site.cut(one.pid):  # as the server does with a client that it hears no more of
            one.befell.append("cut")

        def retry() -> None:
            self._join(self.start(one.wave, one.chunk))
            with suppress(ProcessLookupError):  # it had ended just before
                os.kill(one.pid, signal.SIGCONT)
            one.thawed.set()

        if fate.holds:
            retry()
        else:
            self._later(0, retry)
