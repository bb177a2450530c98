"""Letters per second of a whole DAG run: LocalExecutor beside 1, 2 and 4 Celery workers.

Everything is real: Airflow's api-server, scheduler and dag-processor, Redis on a socket, `airflow
celery worker` processes of concurrency 1, PostgreSQL with the ledger, a sink over TLS. Each
configuration has a store, keys and a Redis of its own and writes to the same PATIENTS generated
patients (50,000; warehouse.py), a fifth of whom get a letter. *sending* is from the first `send`
task's start to the last one's end, *run* from the DAG run's start to its end, by Airflow's own
books; *per core* divides by the cores that the processes of the configuration could use.
LocalExecutor has as many slots as the workers beside it. The same machine runs all of it, so more
workers than cores show the cost of sharing, not what a second machine brings. The baseline of
Celery is LocalExecutor with as many slots, that of LocalExecutor itself with the fewest.
WORKERS=1,2 measures less. Needs redis-server (Debian: redis-server).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import flow
from harness import Figure, beside, publish
from reengage.embedded import airflow, postgres
from reengage.embedded.layout import Layout
from reengage.embedded.processes import Process, wait_until
from warehouse import Warehouse, generate, server

PATIENTS = int(os.environ.get("PATIENTS", "50000"))
WORKERS = [int(one) for one in os.environ.get("WORKERS", "1,2,4").split(",")]
RUN_SECONDS = 1800
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Rates:
    """Letters per second of one run."""

    sending: float
    per_core: float
    run: float


def main() -> int:
    """Measure and publish."""
    if not shutil.which("redis-server"):
        sys.exit("redis-server is missing; on Debian: apt-get install redis-server")
    figures: list[Figure] = []
    fewest: Rates | None = None
    with flow.place() as found, server(found.layout.postgres) as running:
        made = generate(running, PATIENTS)
        for slots in WORKERS:
            local = _measured(found, running, made, f"LocalExecutor, {slots}", 0, slots)
            celery = _measured(found, running, made, f"Celery, {slots}", slots, slots)
            figures += _told(f"LocalExecutor, {slots}", local, fewest)
            figures += _told(f"Celery, {slots}", celery, local)
            fewest = fewest or local
    note = (
        f"{PATIENTS:,} generated patients, {CORES} cores, one machine for everything\n"
        "baseline of Celery: LocalExecutor with as many slots; of LocalExecutor: the fewest slots"
    )
    return publish("scale", note, figures)


def _measured(
    found: flow.Place,
    running: postgres.Postgres,
    made: Warehouse,
    name: str,
    workers: int,
    slots: int,
) -> Rates:
    """One run of the campaign with the executor; `workers` 0 = LocalExecutor of so many slots."""
    before = found.sink.letters()
    with ExitStack() as stack:
        settings = flow.variables(found, running, made.url, slots)
        if workers:
            settings |= stack.enter_context(_redis(found.layout))
        site = stack.enter_context(airflow.running(found.layout, settings))
        env = {**os.environ, **settings}
        executable = str(Path(sys.executable).with_name("airflow"))
        for number in range(workers):
            command = [executable, "celery", "worker", "--skip-serve-logs", "--concurrency", "1",
                       "--celery-hostname", f"bench{number}@localhost"]  # fmt: skip
            process = Process(f"celery-{number}", found.layout)
            stack.enter_context(process.running(command, env))
        site.client.wait_for_dag(flow.DAG)
        site.client.unpause(flow.DAG)
        run = flow.one_run(site.client, seconds=RUN_SECONDS)
    letters, sending = found.sink.letters() - before, run.seconds_of("send")
    print(
        f"{name}: {letters} letters, sending {sending:.1f} s, run {run.seconds:.1f} s", flush=True
    )
    sent = letters / sending
    return Rates(sent, sent / min(slots, CORES), letters / run.seconds)


def _told(name: str, rates: Rates, baseline: Rates | None) -> list[Figure]:
    return [
        beside(f"{name}: sending", rates.sending, baseline and baseline.sending),
        beside(f"{name}: sending per core", rates.per_core, baseline and baseline.per_core),
        beside(f"{name}: run", rates.run, baseline and baseline.run),
    ]


@contextmanager
def _redis(layout: Layout) -> Iterator[dict[str, str]]:
    """A Redis of the configuration's own, on a socket; gives what leads Airflow to it."""
    path = Path(tempfile.mkdtemp(prefix="reengage-redis-")) / "socket"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "",
               "--appendonly", "no", "--dir", str(path.parent)]  # fmt: skip
    with Process("redis", layout).running(command, dict(os.environ)):
        wait_until(path.exists, seconds=30, what="Redis's start")
        yield {
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CELERY__BROKER_URL": f"redis+socket://{path}?virtual_host=0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"redis+socket://{path}?virtual_host=1",
            "AIRFLOW__CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
            "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": (
                '{"imports": ["great_expectations", "reengage.preload"]}'
            ),
        }
    shutil.rmtree(path.parent, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
