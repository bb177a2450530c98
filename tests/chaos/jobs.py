"""Jobs: rounds in several processes, each with a PostgreSQL of its own, and the figures of all."""

from __future__ import annotations

import argparse
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.figures import Figures
from chaos.judge import judge
from chaos.plan import Plan
from chaos.round import played
from chaos.site import Site, prepared

_SPAWN = get_context("spawn")


@dataclass(frozen=True)
class Round:
    """What came of one round."""

    seed: int
    failed: bool
    figures: Figures


@dataclass
class Campaign:
    """Round after round, and what came of them."""

    figures: Figures = field(default_factory=Figures)
    failed: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def hear(self, one: Round) -> None:
        self.figures.merge(one.figures)
        if one.failed:
            self.failed.append(one.seed)
        if self.figures.rounds % 10 == 0:
            print(self.progress(), flush=True)

    def progress(self) -> str:
        spent = time.monotonic() - self.began
        failed = sorted(self.failed) or "none"
        return f"{self.figures.rounds} rounds in {spent:.0f} s; rounds that failed: {failed}"


def together(options: argparse.Namespace) -> tuple[Campaign, bool]:
    """All jobs, each in a process of its own; and whether every one of them came to its end.

    Each round is told when it is over: a job that is killed takes only its own with it.
    """
    campaign = Campaign()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the jobs hear it, and end
    jobs = {}
    for job in range(options.jobs):
        ours, theirs = _SPAWN.Pipe(duplex=False)
        process = _SPAWN.Process(target=_work, args=(options, job, theirs))
        process.start()
        theirs.close()
        jobs[ours] = process
    processes = list(jobs.values())
    signal.signal(signal.SIGTERM, lambda *_: [process.terminate() for process in processes])
    while jobs:
        for told in wait(list(jobs)):
            try:
                campaign.hear(told.recv())
            except EOFError:
                jobs.pop(told).join()
    return campaign, all(process.exitcode == 0 for process in processes)


def _work(options: argparse.Namespace, job: int, tell: Connection) -> None:
    """Its share of the rounds, or until Ctrl-C."""
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had them ignored
        signal.signal(number, signal.default_int_handler)
    with (
        suppress(KeyboardInterrupt),
        TemporaryDirectory(prefix="chaos-") as base,
        prepared(Path(base)) as site,
    ):
        for seed in _seeds(options, job):
            tell.send(_play(site, Path(base), seed, tell=options.tell))


def _play(site: Site, base: Path, seed: int, *, tell: bool) -> Round:
    directory = base / f"round{seed}"
    directory.mkdir()
    figures = Figures()
    with played(site, Plan.of(seed), directory) as found:
        wrong = judge(found)
        figures.add(found, wrong)
        if wrong or tell:
            print(f"\nround {seed}", found.story(), *wrong, sep="\n", flush=True)
    shutil.rmtree(directory)
    return Round(seed, bool(wrong), figures)


def _seeds(options: argparse.Namespace, job: int) -> Iterator[int]:
    only = options.only
    wanted = (s for s in count(options.first) if only is None or only in Plan.of(s).actions())
    return islice(wanted, job, options.rounds, options.jobs)
