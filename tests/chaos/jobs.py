"""Jobs: rounds in several processes, each with a PostgreSQL of its own, and the figures of all."""

from __future__ import annotations

import argparse
import shutil
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.figures import Figures
from chaos.judge import judge
from chaos.plan import Plan
from chaos.round import played
from chaos.site import Site, prepared

_SPAWN = get_context("spawn")


@dataclass
class Campaign:
    """Round after round, and what came of them."""

    tell: bool
    figures: Figures = field(default_factory=Figures)
    failed: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def play(self, site: Site, base: Path, seed: int) -> None:
        directory = base / f"round{seed}"
        directory.mkdir()
        with played(site, Plan.of(seed), directory) as found:
            wrong = judge(found)
            self.figures.add(found, wrong)
            if wrong or self.tell:
                print(f"\nround {seed}", found.story(), *wrong, sep="\n", flush=True)
        shutil.rmtree(directory)
        if wrong:
            self.failed.append(seed)
        if self.figures.rounds % 10 == 0:
            print(self.progress(), flush=True)

    def play_all(self, seeds: Iterable[int]) -> None:
        """All of them, or until Ctrl-C."""
        with (
            suppress(KeyboardInterrupt),
            TemporaryDirectory(prefix="chaos-") as base,
            prepared(Path(base)) as site,
        ):
            for seed in seeds:
                self.play(site, Path(base), seed)

    def progress(self) -> str:
        spent = time.monotonic() - self.began
        failed = sorted(self.failed) or "none"
        return f"{self.figures.rounds} rounds in {spent:.0f} s; rounds that failed: {failed}"


def _seeds(options: argparse.Namespace, job: int) -> Iterator[int]:
    only = options.only
    wanted = (s for s in count(options.first) if only is None or only in Plan.of(s).actions())
    return islice(wanted, job, options.rounds, options.jobs)


def _work(options: argparse.Namespace, job: int, tell: Connection) -> None:
    _hear_ctrl_c()
    campaign = Campaign(options.tell)
    campaign.play_all(_seeds(options, job))
    tell.send((campaign.figures, campaign.failed))


def _hear_ctrl_c() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored
        signal.signal(number, signal.default_int_handler)


def together(options: argparse.Namespace) -> tuple[Campaign, bool]:
    """All jobs, each in a process of its own; and whether every one of them told its figures."""
    campaign, whole = Campaign(options.tell), True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the jobs hear it, and tell what they have
    jobs = []
    for job in range(options.jobs):
        ours, theirs = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_work, args=(options, job, theirs))
        process.start()
        theirs.close()
        jobs.append((process, ours))
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process, _ in jobs])
    for process, ours in jobs:
        try:
            figures, failed = ours.recv()
            campaign.figures.merge(figures)
            campaign.failed += failed
        except EOFError:
            whole = False
        process.join()
    return campaign, whole
