"""A campaign's whole DAG at growing sizes: time and memory of each step, Airflow's own books.

A generated warehouse (warehouse.py) of 100,000 patients and then a million behind the contract's
views; `health_education`, which asks for everyone without a booking, in a real Airflow with
LocalExecutor of two slots, a store with its ledger, a sink over TLS. PostgreSQL for all of it is
the embedded one with the settings of a warehouse of that size. One run each. The baseline of a size
is the first one of the same benchmark. PATIENTS=20000 measures another size.

A step's time is from its first instance's start to its last one's end. Its memory is the greatest
peak of a task's process (VmHWM), shared pages of what the fork server has imported included, looked
at ten times a second. What a run leaves in Airflow's database is the database's size and its rows
after the run less those before, in all and by table where there are more.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import flow
from harness import Figure, at_most, publish
from reengage.embedded import airflow, postgres
from reengage.pipeline.plan import MAX_CHUNKS
from sqlalchemy import Connection, create_engine, text
from warehouse import DAY, SERVER_SETTINGS, drop, generate, server

PATIENTS = [int(one) for one in os.environ.get("PATIENTS", "100000,1000000").split(",")]
SLOTS = 2
RUN_SECONDS = 7200
STEPS = (
    "preflight",
    "extract",
    "gate",
    "plan",
    "letter",
    "check_letters",
    "send",
    "settle",
    "shred",
)
MOST_MEGABYTES = 500
MOST_INSTANCES = 6 + 3 * MAX_CHUNKS
"""One of each step that is not mapped, three of each chunk: however many patients there are."""
TITLE = b"airflow worker -- "
"""How a task's process calls itself; the instance's id follows."""


@dataclass(frozen=True)
class Measure:
    """What one run showed; `target` bounds it from above."""

    name: str
    value: float
    unit: str
    target: float | None = None


class Memory(Thread):
    """Looks at the tasks' processes until it is told to stop: instance -> peak, MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, float] = defaultdict(float)
        self._over = Event()

    def __enter__(self) -> Memory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        """Look."""
        while not self._over.wait(0.1):
            for process in Path("/proc").iterdir():
                if process.name.isdigit():
                    with suppress(OSError, IndexError, StopIteration):
                        self._look(process)

    def _look(self, process: Path) -> None:
        title = (process / "cmdline").read_bytes()
        if not title.startswith(TITLE):
            return
        instance = title[len(TITLE) :].split(b"\0")[0].strip().decode()
        lines = (process / "status").read_text(encoding="ascii", errors="replace").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        megabytes = int(peak.split()[1]) * 1024 / 1e6
        self.peaks[instance] = max(self.peaks[instance], megabytes)


def main() -> int:
    """Measure and publish."""
    if flow.DAY != DAY:
        sys.exit("the warehouse and the flow are of different days")
    figures: list[Figure] = []
    first: dict[str, float] = {}
    with flow.place() as found, server(found.layout.postgres) as running:
        for patients in PATIENTS:
            measures = _measured(found, running, patients)
            figures += [_figure(patients, one, first.get(one.name)) for one in measures]
            first = first or {one.name: one.value for one in measures}
    settings = ", ".join(f"{name} {value}" for name, value in SERVER_SETTINGS.items())
    note = (
        f"LocalExecutor, {SLOTS} slots; PostgreSQL for all of it: {settings}\n"
        f"baseline: the same of {PATIENTS[0]:,} patients"
    )
    return publish("dag", note, figures)


def _measured(found: flow.Place, running: postgres.Postgres, patients: int) -> list[Measure]:
    made = generate(running, patients)
    before = found.sink.letters()
    environment = flow.variables(found, running, made.url, SLOTS)
    with airflow.running(found.layout, environment) as site, Memory() as memory:
        site.client.wait_for_dag(flow.DAG)
        site.client.unpause(flow.DAG)
        books = create_engine(running.url("airflow"), isolation_level="AUTOCOMMIT")
        with books.connect() as connection:
            size, rows = _books(connection)
            run = flow.one_run(site.client, seconds=RUN_SECONDS)
            size_after, rows_after = _books(connection)
        books.dispose()
    letters = found.sink.letters() - before
    drop(running, made)
    print(f"{patients:,} patients: {letters:,} letters, {run.seconds:.0f} s", flush=True)
    return [
        Measure("letters", letters, ""),
        Measure("the run", run.seconds, "s"),
        Measure("the run, a letter", run.seconds / letters * 1e3, "ms"),
        *_steps(run, memory),
        Measure("task instances", len(run.tasks), "", MOST_INSTANCES),
        Measure("Airflow's database", (size_after - size) / 1e6, "MB"),
        Measure("Airflow's rows", rows_after.total() - rows.total(), ""),
        *(
            Measure(f"rows of {table}", more, "")
            for table, more in (rows_after - rows).most_common()
        ),
    ]


def _steps(run: flow.Run, memory: Memory) -> list[Measure]:
    measures = []
    for step in STEPS:
        measures.append(Measure(step, run.seconds_of(step), "s"))
        peak = max((memory.peaks[one["id"]] for one in run.of(step)), default=0.0)
        if not peak:
            sys.exit(f"no process of {step} was seen; its memory is not known")
        measures.append(Measure(f"{step}, memory", peak, "MB", MOST_MEGABYTES))
    return measures


def _figure(patients: int, one: Measure, baseline: float | None) -> Figure:
    name = f"{patients:,}: {one.name}"
    return at_most(name, one.value, one.unit, baseline=baseline, target=one.target)


def _books(connection: Connection) -> tuple[int, Counter[str]]:
    """Octets of the database that `connection` is to, and the rows of each table."""
    tables = connection.scalars(
        text("SELECT relid::regclass::text FROM pg_stat_user_tables ORDER BY 1")
    ).all()
    rows = Counter({
        one: connection.execute(text(f"SELECT count(*) FROM {one}")).scalar_one() for one in tables
    })  # fmt: skip
    size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return size, rows


if __name__ == "__main__":
    sys.exit(main())
