"""Trail: the run events that a task leaves in the ledger, START first and one end.

The corridor opens a trail before the room touches a patient's data, in a transaction of its own; a
room ends it as the last statement of its last transaction, so that the work and its record commit
together or not at all (LOG-12, OLN-02). Whatever stops a room is recorded by the corridor; a task
that died leaves its START, and the audit closes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from reengage import store
from reengage.campaigns import load_campaign
from reengage.contract import load_contract
from reengage.errors import ConfigurationError, LedgerError, ReengageError, StoreError
from reengage.keys import open_keyring
from reengage.ledger.append import append
from reengage.ledger.records import Record, run_event
from reengage.lineage import events
from reengage.lineage.datasets import Datasets, datasets_of, with_assertions, with_rows
from reengage.lineage.events import EventType, TaskRun
from reengage.pipeline.run import Run
from reengage.settings import Settings

ENDS = ("COMPLETE", "FAIL", "ABORT")


@dataclass
class Trail:
    """One try of a task, as the ledger knows it."""

    task: TaskRun
    ended: bool = field(default=False, init=False)
    """Whether an end was appended; it counts once its transaction commits."""


def start(settings: Settings, slug: str, task: TaskRun) -> Trail:
    """Record that the try begins, or goes on after it waited. Nothing may begin unrecorded.

    Raises LedgerError when it has ended already, StoreError when the store does not answer.
    """
    keyring = open_keyring(settings.keyring)
    found = _static(settings, slug, task)
    try:
        with store.connect(settings.store_url).begin() as connection:
            known = _known(connection, task)
            _require_open(known, task)
            kind: EventType = "RUNNING" if known else "START"
            append(connection, keyring, [_event(kind, task, *found)])
    except SQLAlchemyError as error:
        raise _unanswered(error) from None
    return Trail(task)


def complete(
    connection: Connection,
    run: Run,
    *,
    facets: Mapping[str, Any] | None = None,
    rows: Mapping[str, int] | None = None,
    verdicts: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Record in the caller's transaction that the task did its work: call it last.

    `facets` are run facets, `rows` counts by the dataset's last name, `verdicts` the gate's.
    A room that was not opened by the corridor has no trail, and leaves none.
    """
    if run.trail is not None:
        _end(connection, run, run.trail, "COMPLETE", facets or {}, rows or {}, verdicts)


@contextmanager
def ending(
    connection: Connection, run: Run, verdicts: Sequence[Mapping[str, Any]]
) -> Iterator[None]:
    """An error of ours that is raised here ends the try as failed, verdicts included, and commits
    what the caller's transaction holds: what was found is kept whatever it leads to.
    """
    try:
        yield
    except ReengageError as error:
        if run.trail is not None:
            said = {"errorMessage": events.error_message(words(error))}
            _end(connection, run, run.trail, "FAIL", said, {}, verdicts)
        connection.commit()
        raise


def words(error: ReengageError) -> str:
    """What is said of an error of ours: its kind and its text."""
    return f"{type(error).__name__}: {error}"


def failed(settings: Settings, slug: str, trail: Trail, message: str) -> None:
    """The same in a transaction of its own, unless the try's end is recorded already.

    Raises what the store raises; the audit then closes the try (ABORT).
    """
    keyring = open_keyring(settings.keyring)
    with store.connect(settings.store_url).begin() as connection:
        if _known(connection, trail.task) & set(ENDS):
            return
        found, jobs = _static(settings, slug, trail.task)
        facets = {"errorMessage": events.error_message(message)}
        append(connection, keyring, [_event("FAIL", trail.task, found, jobs, facets)])


def _end(
    connection: Connection,
    run: Run,
    trail: Trail,
    kind: EventType,
    facets: Mapping[str, Any],
    rows: Mapping[str, int],
    verdicts: Sequence[Mapping[str, Any]],
) -> None:
    found = datasets_of(trail.task.task, run.campaign, run.contract, run.settings.home)
    found = with_assertions(with_rows(found, rows), verdicts)
    jobs = events.job_facets_of(run.campaign)
    _require_open(_known(connection, trail.task), trail.task)
    append(connection, run.keyring, [_event(kind, trail.task, found, jobs, facets)])
    trail.ended = True


def _event(
    kind: EventType,
    task: TaskRun,
    found: Datasets,
    job_facets: Mapping[str, Any],
    run_facets: Mapping[str, Any] | None = None,
) -> Record:
    event = events.run_event(
        kind,
        task,
        datetime.now(UTC),
        inputs=found.inputs,
        outputs=found.outputs,
        run_facets=run_facets,
        job_facets=job_facets,
    )
    return run_event(event)


def _static(settings: Settings, slug: str, task: TaskRun) -> tuple[Datasets, Mapping[str, Any]]:
    """What the task reads and writes; nothing where the campaign's files do not load."""
    try:
        campaign = load_campaign(settings.home, slug)
        contract = load_contract(settings.home)
        found = datasets_of(task.task, campaign, contract, settings.home)
        return found, events.job_facets_of(campaign)
    except ConfigurationError:  # the room says so
        return Datasets(), {}


def _require_open(known: set[str], task: TaskRun) -> None:
    """One end: a try that Airflow gave up on and the audit closed may do no more (OLN-02)."""
    if known & set(ENDS):
        raise LedgerError(
            f"the ledger has this try of {task.job_name} as ended; clear the task, so that it"
            " begins as a new try"
        )


def _known(connection: Connection, task: TaskRun) -> set[str]:
    """Types of the events that the ledger has of this try; none is added until the caller ends."""
    connection.execute(text("SELECT FROM ledger_head FOR UPDATE"))
    found = connection.execute(
        text(
            "SELECT convert_from(entry, 'UTF8')::jsonb #>> '{body,eventType}' FROM ledger_entry"
            " WHERE kind = 'run_event' AND subject = :run_id"
        ),
        {"run_id": str(task.run_id)},
    )
    return set(found.scalars())


def _unanswered(error: SQLAlchemyError) -> StoreError:
    return StoreError(
        f"the ledger did not take the task's beginning ({type(error).__name__}), so that nothing"
        " was begun; see that the store runs and is migrated, then clear the task",
        countless=True,
    )
