"""One task of a run in a process of its own, as Airflow would start it; a line of JSON is its end.

    python bench/task.py extract|gate CAMPAIGN RUN_ID

Settings come from the environment, as a worker has them. What Airflow's fork server has imported
before a task begins is imported here, too: its memory counts, its time does not.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
from dataclasses import asdict
from time import perf_counter
from typing import Any
from uuid import UUID

IMPORTED = ("airflow.sdk.execution_time.task_runner", "great_expectations", "reengage.preload")


def main(task: str, campaign: str, run_id: str) -> None:
    """Run the task and tell how long it took, how much memory it had, and what it counted."""
    for name in IMPORTED:
        importlib.import_module(name)
    before = _peak_megabytes()
    from reengage.pipeline.extract import extract
    from reengage.pipeline.gate import gate
    from reengage.pipeline.run import resume
    from reengage.settings import read_settings

    begun = perf_counter()
    run = resume(read_settings(), campaign, UUID(run_id))
    counts: dict[str, Any] = asdict(extract(run)) if task == "extract" else {"held": gate(run)}
    told = {
        "seconds": perf_counter() - begun,
        "imported_megabytes": before,
        "megabytes": _peak_megabytes(),
        "counts": counts,
    }
    print(json.dumps(told))


def _peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
