"""`make chaos N=1000`; `make chaos SEED=17` plays one round again; Ctrl-C ends with the figures.

JOBS processes, as many as there are cores, play every so many-th round, each with a PostgreSQL of
its own; the figures are those of all together.
"""

from __future__ import annotations

import argparse
import os
import sys

from chaos.jobs import together


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="seed of the first round")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--tell", action="store_true", help="tell what happened in each round")
    parser.add_argument("--only", help="rounds of this action only: kill, crash, freeze, ...")
    options = parser.parse_args()
    options.jobs = max(1, min(options.jobs, options.rounds))
    campaign, whole = together(options)
    print(campaign.figures.table())
    print(campaign.progress())
    if not whole:
        print("a process ended without telling its figures: what is above is not all")
    return 1 if campaign.failed or not whole else 0


if __name__ == "__main__":
    sys.exit(main())
