"""Alert: one thing that somebody on the staff should know now.

Made of names of DAGs, tasks, vendors and files, of counts, dates and texts of our own errors, which
are free of patient data by construction (errors.py). As a belt, what looks like an address is
withheld from the text all the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

Kind = Literal["failed", "late", "question", "agreement", "certificate"]
TITLES: dict[Kind, str] = {
    "failed": "failed",
    "late": "is late",
    "question": "waits for an answer",
    "agreement": "agreement ends soon",
    "certificate": "certificate ends soon",
}
_ADDRESS = re.compile(r"[^\s<>\"'|]+@[^\s<>\"'|]+")
_LONGEST = 1500
"""Characters of a reason: a note on a run has as many."""


@dataclass(frozen=True)
class Alert:
    """What is told once. Two with the same kind and key are the same alert."""

    kind: Kind
    key: str
    """What makes it one alert: the run and task, the agreement and how urgent it is."""
    about: str
    """The DAG or vendor, by name."""
    reason: str
    link: str | None = None
    """Where to look, an address of Airflow's; holds ids of DAG and run only."""

    @property
    def title(self) -> str:
        """One line."""
        return f"reengage: {' '.join(self.about.split())} {TITLES[self.kind]}"

    @property
    def text(self) -> str:
        """The whole of it, plain."""
        said = _ADDRESS.sub("<withheld>", self.reason.strip())[:_LONGEST]
        look = f"\n\nLook: {self.link}" if self.link else ""
        return f"{self.title}\n\n{said}{look}\n\nWhat to do: docs/runbook.md\n"


def failed(dag_id: str, run_id: str, task_id: str, reason: str | None, link: str | None) -> Alert:
    """A task failed for good; of a mapped one, the first of the run."""
    said = reason or "without a reason of ours: see the task's log"
    return Alert("failed", f"{dag_id}/{run_id}/{task_id}", dag_id, f"{task_id}: {said}", link)


def late(dag_id: str, run_id: str, limit: timedelta) -> Alert:
    """A run was not over in time."""
    hours = limit.total_seconds() / 3600
    said = f"its run {run_id} is not over {hours:g} hours after it was due to begin"
    return Alert("late", f"{dag_id}/{run_id}", dag_id, said)


def question(
    dag_id: str, run_id: str, task_id: str, subject: str, about: str, link: str | None
) -> Alert:
    """A run asks a person, and sends nothing before it has an answer.

    `about` tells two questions of a task apart whose subjects are the same: the next pause of a
    run, another change.
    """
    said = f"{subject} Answer under Required Actions in Airflow; no answer is a no."
    return Alert("question", f"{dag_id}/{run_id}/{task_id}/{about}", dag_id, said, link)
