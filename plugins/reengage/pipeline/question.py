"""Question: what a run asks a person, and the error that says that one has to be asked first.

Whoever can ask (operators) catches the error and asks in Airflow; whoever cannot, fails with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from reengage.errors import GateError
from reengage.keys import digest
from reengage.ledger.canonical import canonical
from reengage.pipeline.run import Run

NOBODY = "nobody (not answered in time)"
"""Who said no where nobody answered."""
_NAMES = 5


@dataclass(frozen=True)
class Question:
    """What a person is asked, and about exactly what."""

    subject: str
    body: str
    """Markdown; counts, names of files and digests only."""
    patience: timedelta
    """How long an answer is waited for; without one, it is a no."""
    things: Mapping[str, str]
    """Name -> SHA-256, in hex: what an approval is valid for, and nothing else."""

    @property
    def about(self) -> str:
        """What tells it from any other question of the task."""
        return digest(canonical(dict(self.things)))[:16]


class UnapprovedError(GateError):
    """A person has to say yes first."""

    def __init__(self, question: Question) -> None:
        super().__init__(
            f"nobody has approved {listed(question.things)}; answer under Required Actions in"
            " Airflow, or `python -m reengage approve`, then clear the task (docs/approvals.md)",
            countless=True,
        )
        self.question = question


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    found = list(names)
    more = f" and {len(found) - _NAMES} more" if len(found) > _NAMES else ""
    return ", ".join(found[:_NAMES]) + more


def end_of_day(run: Run) -> datetime:
    """When the run's day is over, in the campaign's time zone."""
    following = run.day + timedelta(days=1)
    return datetime.combine(following, time(), ZoneInfo(run.campaign.time_zone))


def patience(run: Run) -> timedelta:
    """From now to the end of the run's day: what is approved later is too late for it."""
    return max(end_of_day(run) - run.settings.now(), timedelta(seconds=1))
