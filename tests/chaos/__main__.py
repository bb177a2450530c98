"""`make chaos N=1000`; `make chaos SEED=17` plays one round again; Ctrl-C ends with the figures."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from chaos.figures import Figures
from chaos.judge import judge
from chaos.plan import Plan
from chaos.round import played
from chaos.site import Site, prepared


@dataclass
class Campaign:
    """Round after round, and what came of them."""

    site: Site
    base: Path
    tell: bool
    figures: Figures = field(default_factory=Figures)
    failed: list[int] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def play(self, seed: int) -> None:
        directory = self.base / f"round{seed}"
        directory.mkdir()
        with played(self.site, Plan.of(seed), directory) as found:
            wrong = judge(found)
            self.figures.add(found, wrong)
            if wrong or self.tell:
                print(f"\nround {seed}", found.story(), *wrong, sep="\n", flush=True)
        shutil.rmtree(directory)
        if wrong:
            self.failed.append(seed)
        if self.figures.rounds % 10 == 0:
            print(self.progress(), flush=True)

    def progress(self) -> str:
        spent = time.monotonic() - self.began
        failed = self.failed or "none"
        return f"{self.figures.rounds} rounds in {spent:.0f} s; rounds that failed: {failed}"


def _seeds(first: int, rounds: int, only: str | None) -> Iterator[int]:
    wanted = (seed for seed in count(first) if only is None or only in Plan.of(seed).actions())
    return islice(wanted, rounds)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="seed of the first round")
    parser.add_argument("--tell", action="store_true", help="tell what happened in each round")
    parser.add_argument("--only", help="rounds of this action only: kill, crash, freeze, ...")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell had it ignored
        signal.signal(number, signal.default_int_handler)
    with TemporaryDirectory(prefix="chaos-") as base, prepared(Path(base)) as site:
        campaign = Campaign(site, Path(base), options.tell)
        with suppress(KeyboardInterrupt):
            for seed in _seeds(options.first, options.rounds, options.only):
                campaign.play(seed)
        print(campaign.figures.table())
        print(campaign.progress())
        return 1 if campaign.failed else 0


if __name__ == "__main__":
    sys.exit(main())
