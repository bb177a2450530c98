"""A ledger and an Airflow that know what a test lets each of them know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from databases import create_database
from openlineage.client.uuid import generate_static_uuid
from reengage import store
from reengage.audit.airflow_api import AirflowApi, Attempt
from reengage.audit.memory import Memory
from reengage.audit.reconcile import Reconciliation, reconcile
from reengage.embedded import postgres
from reengage.keys import Keyring, ensure_keyring
from reengage.ledger.append import append
from reengage.ledger.records import run_event
from reengage.lineage import events
from reengage.lineage.events import EventType, TaskRun
from reengage.settings import HOME, Settings
from simulators.airflow import FakeAirflow, answering
from sqlalchemy import Engine, text

T0 = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
"""When what a test plays begins; the ledger of a test begins an hour before."""


@dataclass
class Accounts:
    """The two accounts of what ran."""

    settings: Settings
    keyring: Keyring
    engine: Engine
    airflow: FakeAirflow
    memory: Memory
    dag: str = field(default_factory=lambda: f"reengage_{uuid4().hex[:12]}")
    """Of this test: a module's tests share a ledger."""
    runs: list[UUID] = field(default_factory=list)

    def tried(
        self,
        *said: EventType,
        state: str | None = "success",
        number: int = 1,
        history: str | None = None,
        task: str = "extract",
        dag: str | None = None,
        run: str | None = None,
        map_index: int = -1,
        logical: datetime | None = None,
        start: datetime | None = T0,
        end: datetime | None = T0 + timedelta(seconds=9),
        updated_at: datetime = T0,
        known: bool = True,
    ) -> UUID:
        """A try: what the ledger was told of it, and what Airflow knows; gives its run id.

        `history` is the state under which Airflow has it in its history, beside the instance.
        """
        dag = dag or self.dag
        run = run or f"scheduled__{uuid4()}+00:00"
        due = T0 + timedelta(microseconds=len(self.runs) * 1234)
        run_id = told_id(dag, task, number, logical or due, map_index)
        self.runs.append(run_id)
        self.tell(run_id, f"{dag}.{task}", number, map_index, logical or due, *said)
        row: dict[str, Any] = {
            "dag_id": dag, "dag_run_id": run, "task_id": task, "map_index": map_index,
            "try_number": number, "start_date": start and start.isoformat(),
            "end_date": end and end.isoformat(),
        }  # fmt: skip
        dates = {"logical_date": logical and logical.isoformat(), "run_after": due.isoformat()}
        if history:
            self.airflow.history.append({**row, "state": history})
        if known:
            self.airflow.add(updated_at=updated_at, **row, **dates, state=state)
        return run_id

    def tell(
        self, run_id: UUID, job: str, number: int, map_index: int, at: datetime, *said: EventType
    ) -> None:
        """Let the ledger have these events of a try."""
        dag, _, task = job.partition(".")
        try_ = TaskRun(
            run_id=run_id, job_namespace="reengage", job_name=job, parent_run_id=uuid4(),
            parent_job_name=dag, nominal_start=at, task=task, map_index=map_index,
            try_number=number, engine_version="3.3.2",
        )  # fmt: skip
        records = [run_event(events.run_event(kind, try_, T0)) for kind in said]
        with self.engine.begin() as connection:
            append(connection, self.keyring, records)

    def reconciled(self, **options: Any) -> Reconciliation:
        with AirflowApi(self.airflow.url) as api:
            return reconcile(
                self.settings, self.keyring, self.engine, api, run_id_of, self.memory, **options
            )

    def ledger(self, run_id: UUID) -> list[dict[str, Any]]:
        """Events that the ledger has of a run."""
        with self.engine.connect() as connection:
            found = connection.execute(
                text(
                    "SELECT convert_from(entry, 'UTF8')::jsonb -> 'body' FROM ledger_entry"
                    " WHERE subject = :run ORDER BY index"
                ),
                {"run": str(run_id)},
            )
            return list(found.scalars())

    def types(self, run_id: UUID) -> list[str]:
        return [event["eventType"] for event in self.ledger(run_id)]

    @property
    def size(self) -> int:
        with self.engine.connect() as connection:
            size: int = connection.execute(text("SELECT size FROM ledger_head")).scalar_one()
        return size


def run_id_of(one: Attempt) -> UUID:
    return told_id(one.dag_id, one.task_id, one.number, one.instant, one.map_index)


def told_id(dag: str, task: str, number: int, at: datetime, map_index: int) -> UUID:
    """As Airflow's OpenLineage provider makes it; a test of the operators compares them."""
    return generate_static_uuid(at, f"reengage.{dag}.{task}.{number}.{map_index}".encode())


@pytest.fixture(scope="module")
def engine(server: postgres.Postgres) -> Iterator[Engine]:
    """A store for the tests of a module; each looks at what was appended since it began."""
    engine = store.connect(create_database(server, "store"))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return ensure_keyring(tmp_path_factory.mktemp("keys") / "keyring")


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    with answering(FakeAirflow()) as fake:
        yield fake


@pytest.fixture
def accounts(engine: Engine, keyring: Keyring, airflow: FakeAirflow) -> Accounts:
    settings = Settings(
        home=HOME,
        warehouse_url="",
        store_url=engine.url.render_as_string(hide_password=False),
        keyring=keyring.directory,
        relays={},
        airflow_url=airflow.url,
    )
    made = Accounts(settings, keyring, engine, airflow, Memory(T0, 0, T0 - timedelta(hours=1)))
    made.memory = Memory(T0, made.size, T0 - timedelta(hours=1))
    return made
