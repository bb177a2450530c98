"""Letters per second of a whole DAG run: LocalExecutor beside 1, 2 and 4 Celery workers.

Everything is real: Airflow's api-server, scheduler and dag-processor, Redis and `airflow celery
worker` processes of concurrency 1 as in docker-compose.yaml, PostgreSQL with the ledger, a sink
over TLS. Each configuration has a store, keys and a Redis of its own and writes to the same
PATIENTS patients (20,000). *sending* is from the first `send` task's start to the last one's end,
*run* from the DAG run's start to its end, by Airflow's own books; *per core* divides by the cores
that the processes of the configuration could use. LocalExecutor has as many slots as the workers
beside it. The same machine runs all of it, so more workers than cores show the cost of sharing, not
what a second machine brings. WORKERS=1,2 measures less. Needs redis-server (Debian: redis-server).
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from uuid import uuid4
from zoneinfo import ZoneInfo

from harness import Figure, at_least, publish
from reengage import store
from reengage.embedded import airflow, postgres
from reengage.embedded.certificates import Certificates, ensure_certificates
from reengage.embedded.client import AirflowClient
from reengage.embedded.home import copy_home
from reengage.embedded.layout import Layout
from reengage.embedded.processes import Process, free_port, wait_until
from reengage.keys import ensure_keyring
from reengage.settings import HOME
from reengage.sources import loading, sample
from reengage.sources.detect import source_of
from sink import Sink
from sqlalchemy import create_engine, text

PATIENTS = int(os.environ.get("PATIENTS", "20000"))
WORKERS = [int(one) for one in os.environ.get("WORKERS", "1,2,4").split(",")]
DAY = date(2026, 6, 1)
DAG = "reengage_health_education"
RUN_SECONDS = 1800
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Place:
    """What all configurations share: a server with the warehouse loaded, a sink for letters."""

    layout: Layout
    server: postgres.Postgres
    certificates: Certificates
    sink: Sink


def main() -> int:
    """Measure and publish."""
    if not shutil.which("redis-server"):
        sys.exit("redis-server is missing; on Debian: apt-get install redis-server")
    figures: list[Figure] = []
    with place() as found:
        for slots in WORKERS:
            for kind, workers in (("LocalExecutor", 0), ("Celery", slots)):
                figures += measured(found, f"{kind}, {slots}", workers, slots)
    note = f"{PATIENTS} patients of the sample, {CORES} cores, one machine for everything"
    return publish("scale", note, figures)


@contextmanager
def place() -> Iterator[Place]:
    """The warehouse, loaded, and the sink."""
    with tempfile.TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        os.environ["XDG_STATE_HOME"] = str(base / "state")
        layout = Layout(copy_home(HOME, base / "home"))
        _unlimited(layout.home / "campaigns" / "health_education.yaml")
        layout.make_private()
        certificates = ensure_certificates(base / "certificates")
        with Sink(certificates) as sink, postgres.running(layout.postgres) as server:
            sample.write_sample(layout.sample, patients=PATIENTS, seed=7, as_of=DAY)
            engine = create_engine(server.url("warehouse"))
            loading.load(engine, source_of(layout.sample), layout.sample, layout.home)
            engine.dispose()
            yield Place(layout, server, certificates, sink)


def _unlimited(campaign: Path) -> None:
    found = campaign.read_text(encoding="utf-8")
    campaign.write_text(found.replace("letters_per_run: 5000", "letters_per_run: 1000000"), "utf-8")


def measured(found: Place, name: str, workers: int, slots: int) -> list[Figure]:
    """One run of the campaign with the executor; `workers` 0 = LocalExecutor of so many slots."""
    database = f"store_{uuid4().hex[:8]}"
    before = found.sink.letters()
    with ExitStack() as stack:
        variables = _variables(found, database, slots)
        if workers:
            variables |= stack.enter_context(_redis(found.layout))
        flow = stack.enter_context(airflow.running(found.layout, variables))
        env = {**os.environ, **variables}
        executable = str(Path(sys.executable).with_name("airflow"))
        for number in range(workers):
            command = [executable, "celery", "worker", "--skip-serve-logs", "--concurrency", "1",
                       "--celery-hostname", f"bench{number}@localhost"]  # fmt: skip
            process = Process(f"celery-{number}", found.layout)
            stack.enter_context(process.running(command, env))
        run, sending = _one_run(flow.client)
    letters = found.sink.letters() - before
    print(f"{name}: {letters} letters, sending {sending:.1f} s, run {run:.1f} s", flush=True)
    cores = min(slots, CORES)
    return [
        at_least(f"{name}: sending", letters / sending, "letters/s", target=None),
        at_least(f"{name}: sending per core", letters / sending / cores, "letters/s", target=None),
        at_least(f"{name}: run", letters / run, "letters/s", target=None),
    ]


def _variables(found: Place, database: str, slots: int) -> dict[str, str]:
    layout, server = found.layout, found.server
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
    engine.dispose()
    store.migrate(store.connect(server.url(database)), layout.home)
    postgres.ensure_member(server, "tasks", "reengage_tasks")
    keyring = layout.keyring.with_name(database)
    ensure_keyring(keyring)
    noon = datetime.combine(DAY, time(12), ZoneInfo("America/Chicago")).astimezone(UTC)
    port = free_port()
    ours = {
        "HOME": layout.home,
        "WAREHOUSE_URL": server.url("warehouse", "extractor"),
        "STORE_URL": server.url(database, "tasks"),
        "AIRFLOW_URL": airflow.account_url(layout, port),
        "KEYRING": keyring,
        "RELAY_URL_EMBEDDED": f"smtps://localhost:{found.sink.port}",
        "RELAY_TRUST": found.certificates.ca,
        "REHEARSAL_MAILDIR": layout.rehearsal,
        "PINNED_NOW": noon.isoformat(),
    }
    return {
        **airflow.environment(layout, server.url("airflow"), port),
        "AIRFLOW__CORE__PARALLELISM": str(slots),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "64",
        **{f"REENGAGE_{name}": str(value) for name, value in ours.items()},
    }


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


def _one_run(client: AirflowClient) -> tuple[float, float]:
    """Seconds of the run, and of its sending. Ends the benchmark with the run's words."""
    dag_run_id = f"bench__{uuid4()}"
    client.wait_for_dag(DAG)
    client.unpause(DAG)
    client.trigger(DAG, dag_run_id, {})
    wait_until(
        lambda: client.run_state(DAG, dag_run_id) not in ("queued", "running"),
        seconds=RUN_SECONDS,
        what=f"the end of {DAG}",
    )
    run = client.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{dag_run_id}")
    if run["state"] != "success":
        sys.exit(f"{DAG} ended {run['state']}: {run['note']}")
    sends = [one for one in client.tasks(DAG, dag_run_id) if one["task_id"] == "send"]
    begun, ended = ([datetime.fromisoformat(one[key]) for one in sends]
                    for key in ("start_date", "end_date"))  # fmt: skip
    return _between(run["start_date"], run["end_date"]), (max(ended) - min(begun)).total_seconds()


def _between(begun: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()


if __name__ == "__main__":
    sys.exit(main())
