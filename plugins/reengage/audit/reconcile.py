"""Reconcile: everything that Airflow ran is in the ledger, everything in the ledger was run.

Airflow and the ledger are two accounts of the same tries, kept by different hands under the same
run ids. Airflow is asked first: what it calls over left its end in the ledger before. A gap is told
every day until a person accepts it (`accept`), which the ledger records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Engine, text

from reengage.audit.airflow_api import AirflowApi, Attempt
from reengage.audit.ledger_runs import Run, close, read_runs
from reengage.audit.memory import Memory
from reengage.errors import LedgerError
from reengage.keys import Keyring
from reengage.settings import Settings

What = Literal["no_start", "no_complete", "unknown"]
MEANS: dict[What, str] = {
    "no_start": "Airflow has it as {state}, the ledger never saw it begin",
    "no_complete": "Airflow calls it success, the ledger has it as {end}",
    "unknown": "the ledger saw it begin, Airflow knows no such try",
}
LAST = 2**63 - 1
"""Beyond every index."""
OVERLAP = timedelta(hours=1)
"""How far back of the last time Airflow is asked again: its clock may not be ours."""
NAMED = 3
"""Gaps that a reason has room for."""
LISTED = 200
"""Gaps that the ledger keeps one by one; their number it keeps in any case."""
MIRROR_DAG = "reengage_ledger_mirror"
"""The one DAG of ours that leaves no trail: its own events would give it work for ever."""

RunIdOf = Callable[[Attempt], UUID]


@dataclass(frozen=True)
class Gap:
    """One try on which the two accounts differ."""

    run_id: UUID
    what: What
    job: str
    name: str
    """As a person finds it in Airflow; for logs and alerts, not for the ledger."""
    state: str | None = None
    end: str | None = None

    def __str__(self) -> str:
        told = {
            "state": self.state,
            "end": {None: "open", "FAIL": "failed"}.get(self.end, "aborted"),
        }
        return f"{self.name}: {MEANS[self.what].format(**told)}"


@dataclass
class Reconciliation:
    """What was compared, and what did not fit."""

    since: datetime
    until: datetime
    next_index: int = 0
    """The first entry that the next reconciliation has to read."""
    tries: int = 0
    """Tries of Airflow's that were taken up by a worker and are over."""
    runs: int = 0
    """Runs of the ledger's that were looked at."""
    aborted: int = 0
    gaps: list[Gap] = field(default_factory=list)
    accepted: list[Gap] = field(default_factory=list)
    """Gaps that a person has accepted, now or before."""

    def counts(self) -> dict[str, int]:
        """What Airflow may show."""
        return {
            "tries": self.tries, "runs": self.runs, "aborted": self.aborted,
            "accepted": len(self.accepted), "gaps": len(self.gaps),
        }  # fmt: skip

    def require_none(self) -> None:
        """Raises LedgerError naming the first gaps, where there are any."""
        if self.gaps:
            named = "; ".join(map(str, self.gaps[:NAMED]))
            more = f"; and {len(self.gaps) - NAMED} more" if len(self.gaps) > NAMED else ""
            raise LedgerError(
                f"{self.said()}: {named}{more}; this task's log lists all; once you know why,"
                " trigger the audit with `accept`"
            )

    def said(self) -> str:
        """The same in a word, without what a person called a DAG run."""
        return f"ledger and Airflow differ on {len(self.gaps)} tries"

    def table(self) -> list[tuple[str, int]]:
        """The counts, one a line, each kind of gap beside them."""
        kinds = Counter(gap.what for gap in self.gaps)
        return [*self.counts().items(), *((f"  {what}", kinds[what]) for what in MEANS)]


def reconcile(
    settings: Settings,
    keyring: Keyring,
    store: Engine,
    airflow: AirflowApi,
    run_id_of: RunIdOf,
    memory: Memory,
    *,
    accept: bool = False,
) -> Reconciliation:
    """Compare the two accounts since the last time, and close what died.

    Nothing is raised for a gap: the caller tells it. With `accept`, what is found now is accepted.
    """
    now = datetime.now(UTC)
    attempts = _attempts(airflow, run_id_of, memory.since)
    with store.connect() as connection:
        size = connection.execute(text("SELECT size FROM ledger_head")).scalar_one()
        first = memory.next_index
        runs = read_runs(connection, settings.home, first=first, size=size, of=attempts)
    others = [run for run in runs.values() if run.run_id not in attempts]
    attempts |= _asked_after(airflow, run_id_of, others)
    with store.connect() as connection:  # their ends may have come while Airflow was asked
        of = [run.run_id for run in others]
        runs |= read_runs(connection, settings.home, first=LAST, size=LAST, of=of)
    found = Reconciliation(memory.since, now - OVERLAP, runs=len(runs))
    found.tries = sum(1 for one in attempts.values() if one.over and one.began_at)
    gaps = sorted(_gaps(runs, attempts, memory.began), key=lambda gap: (gap.job, gap.name))
    for run in _died(runs, attempts):
        why = _evidence(attempts.get(run.run_id))
        with store.begin() as connection:
            found.aborted += close(connection, keyring, run, at=datetime.now(UTC), why=why)
    known = memory.accepted
    found.accepted = [gap for gap in gaps if accept or (gap.run_id, gap.what) in known]
    found.gaps = [gap for gap in gaps if gap not in found.accepted]
    going_on = [r.first for r in runs.values() if r.end is None and not _is_over(r, attempts)]
    found.next_index = min([size, *going_on])
    return found


def _attempts(airflow: AirflowApi, run_id_of: RunIdOf, since: datetime) -> dict[UUID, Attempt]:
    found = airflow.attempts_since(since)
    return {run_id_of(one): one for one in found if one.dag_id != MIRROR_DAG}


def _asked_after(airflow: AirflowApi, run_id_of: RunIdOf, runs: list[Run]) -> dict[UUID, Attempt]:
    """Airflow's account of runs that its latest changes do not name: begun before, or since."""
    wanted = {run.run_id for run in runs}
    asked = dict.fromkeys((*run.job.partition(".")[::2], run.at) for run in runs)
    found = (one for question in asked for one in airflow.attempts_at(*question))
    return {run_id: one for one in found if (run_id := run_id_of(one)) in wanted}


def _gaps(
    runs: dict[UUID, Run], attempts: dict[UUID, Attempt], began: datetime | None
) -> Iterator[Gap]:
    """What began before the ledger did is no concern of it."""
    for run_id, one in attempts.items():
        run, job = runs.get(run_id), f"{one.dag_id}.{one.task_id}"
        if not one.over or one.began_at is None:
            continue
        if run is None and began is not None and one.began_at >= began:
            yield Gap(run_id, "no_start", job, one.name, state=one.state)
        elif run is not None and one.state == "success" and run.end != "COMPLETE":
            yield Gap(run_id, "no_complete", job, one.name, state=one.state, end=run.end)
    for run in runs.values():
        if run.run_id not in attempts:
            yield Gap(run.run_id, "unknown", run.job, f"{run.job}, run {run.run_id}")


def _died(runs: dict[UUID, Run], attempts: dict[UUID, Attempt]) -> Iterator[Run]:
    return (run for run in runs.values() if run.end is None and _is_over(run, attempts))


def _is_over(run: Run, attempts: dict[UUID, Attempt]) -> bool:
    """A try that Airflow does not know will not go on either."""
    one = attempts.get(run.run_id)
    return one is None or one.over


def _evidence(one: Attempt | None) -> str:
    if one is None:
        return "left no end, and Airflow knows no such try: its DAG run may have been deleted"
    return (
        f"left no end, and Airflow has try {one.number} as {one.state}: the task was killed, lost"
        " or ended by hand"
    )


def facet_of(found: Reconciliation) -> dict[str, Any]:
    """What the ledger keeps of it: counts, run ids, names of jobs."""
    return {
        "since": found.since.astimezone(UTC).isoformat(),
        "until": found.until.astimezone(UTC).isoformat(),
        "nextIndex": found.next_index,
        "tries": found.tries,
        "runs": found.runs,
        "aborted": found.aborted,
        "gapCount": len(found.gaps),
        "gaps": [_told(gap) for gap in found.gaps[:LISTED]],
        "accepted": [_told(gap) for gap in found.accepted],
    }


def _told(gap: Gap) -> dict[str, str]:
    return {"run": str(gap.run_id), "job": gap.job, "what": gap.what}
