"""Desk: what the audit's tasks do, each recorded in the ledger that they look after.

Nothing here deletes or changes an entry: the ledger is kept longer than anybody must keep it
(LOG-11).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from reengage import store as stores
from reengage.audit import trail
from reengage.audit.airflow_api import SETTING, AirflowApi
from reengage.audit.memory import FACET, recall
from reengage.audit.reconcile import Reconciliation, RunIdOf, facet_of, reconcile
from reengage.campaigns import load_campaigns
from reengage.errors import ConfigurationError, LedgerError
from reengage.keys import Keyring, open_keyring
from reengage.ledger.archive import Archive, export
from reengage.ledger.checkpoints import Checkpoints, sign_checkpoint
from reengage.ledger.mirror import Backend, replay
from reengage.ledger.outbox import check_outbox
from reengage.ledger.records import Record, access
from reengage.ledger.signers import verifiers
from reengage.ledger.verify import verify
from reengage.ledger.witness import newest
from reengage.lineage.events import TaskRun
from reengage.pipeline.unknown import Unknown, list_unknown, overdue
from reengage.settings import Settings

AUDIT = "reengage_ledgerAudit"
NAMED = 3
"""Findings that a reason has room for."""


@dataclass
class Desk:
    """One try of one task of the audit."""

    settings: Settings
    keyring: Keyring
    store: Engine
    task: TaskRun
    refused: LedgerError | None = field(default=None, init=False)
    """Why the ledger did not take the beginning."""
    _facets: dict[str, Any] = field(default_factory=dict, init=False)
    _with_it: list[Record] = field(default_factory=list, init=False)
    _said: str | None = field(default=None, init=False)
    """What the ledger is told of a failure, where that is not what a person is told."""

    def begin(self, *, anyway: bool = False) -> None:
        """Record that the try begins. Raises LedgerError when the ledger takes no entry.

        `anyway` keeps that for later: what verifies a ledger does so the more.
        """
        try:
            trail.record("START", self.keyring, self.store, self.task)
        except LedgerError as error:
            self.refused = error
            if not anyway:
                raise

    def complete(self) -> None:
        """Record that the work is done, with what was found."""
        if self.refused is not None:
            raise self.refused
        trail.record(
            "COMPLETE", self.keyring, self.store, self.task, self._facets,
            with_it=self._with_it,
        )  # fmt: skip

    def fail(self, message: str) -> None:
        """Record why it is not, with what was found; nothing of a try that is not there."""
        if self.refused is None:
            facets = self._facets | trail.failure(self._said or message)
            trail.record("FAIL", self.keyring, self.store, self.task, facets)

    def note(self, record: Record) -> None:
        """Let this be recorded with the end of the work, in one transaction."""
        self._with_it.append(record)

    def verify(self) -> dict[str, Any]:
        """Derive the ledger again. Raises LedgerError naming what is wrong."""
        with self.store.connect() as connection:
            verdict = verify(
                connection,
                keys=verifiers(self.keyring.directory),
                checkpoints=Checkpoints(self.settings.checkpoints_location),
                keyring=self.keyring,
            )
            # Only where the bytes can be trusted does it say anything that the outbox disagrees.
            apart = check_outbox(connection, self.settings.home) if verdict.sound else []
        counts = {"entries": verdict.size, "root": verdict.root.hex()[:16]}
        faults = verdict.faults + len(apart)
        self._facets = trail.facet(AUDIT, **counts, findings=faults)
        if faults:
            named = "; ".join(map(str, [*verdict.findings, *apart][:NAMED]))
            more = f"; and {faults - NAMED} more" if faults > NAMED else ""
            what = "letters and ledger disagree" if apart else "the ledger is not what it was"
            raise LedgerError(f"{what}: {named}{more}")
        return counts

    def checkpoint(self) -> dict[str, Any]:
        """Sign what the ledger is, where its writers cannot change it."""
        with self.store.begin() as connection:
            signed = sign_checkpoint(
                connection, self.keyring, Checkpoints(self.settings.checkpoints_location)
            )
        if signed is None:
            return {"signed": 0}
        found = {"size": signed.size, "root": signed.root.hex()[:16]}
        self._facets = trail.facet(AUDIT, **found)
        return found

    def archive(self) -> dict[str, Any]:
        """Copy what the archive has not yet; nothing is removed, here or there."""
        if self.settings.archive is None:
            return {"archived": "no: REENGAGE_ARCHIVE names no place"}
        checkpoints = Checkpoints(self.settings.checkpoints_location)
        keys = self.keyring.directory / "ledger"
        with self.store.connect() as connection:
            signed = newest(connection, checkpoints, verifiers(self.keyring.directory))
            done = export(
                connection,
                Archive(self.settings.archive),
                checkpoints=checkpoints,
                keys=keys,
                covered=signed.size if signed else 0,
            )
        found = {"files": len(done.written), "archived": done.entries}
        self._facets = trail.facet(AUDIT, **found)
        return found

    def reconcile(self, run_id_of: RunIdOf, *, accepted_by: str | None = None) -> Reconciliation:
        """Compare the ledger with Airflow's account, and close the runs of what died."""
        if self.settings.airflow_url is None:
            raise ConfigurationError(
                f"setting {SETTING} is missing, so that nothing can be compared; write it like"
                " https://user:password@airflow.example.org with an account that may read DAG runs"
            )
        with self.store.connect() as connection:
            memory = recall(connection, self.settings.home)
        with AirflowApi(self.settings.airflow_url) as airflow:
            found = reconcile(
                self.settings, self.keyring, self.store, airflow, run_id_of, memory,
                accept=accepted_by is not None,
            )  # fmt: skip
        self._facets = trail.facet(FACET, **facet_of(found))
        self._said = found.said() if found.gaps else None
        if accepted_by is not None:
            detail = {"gaps": len(found.accepted)}
            self._with_it = [
                access(actor=accepted_by, action="accept_gaps", of=FACET, detail=detail)
            ]
        return found

    def overdue(self) -> list[Unknown]:
        """Letters that have been `unknown` for longer than their campaign allows."""
        sound, _ = load_campaigns(self.settings.home)
        with self.store.connect() as connection:
            letters = list_unknown(connection)
        return overdue(letters, {one.slug: one.unknown_alert_days for one in sound})


def open_desk(settings: Settings, task: TaskRun) -> Desk:
    """The desk of this try."""
    keyring = open_keyring(settings.keyring)
    return Desk(settings, keyring, stores.connect(settings.store_url), task)


def mirror(settings: Settings) -> dict[str, int]:
    """Tell the lineage backend what it was not told yet."""
    if settings.mirror_url is None:
        return {"told": 0}
    backend = Backend(settings.mirror_url, settings.mirror_token)
    return {"told": replay(stores.connect(settings.store_url), backend)}
