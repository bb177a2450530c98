"""A whole DAG in a real Airflow, for benchmarks: a place for it, its settings, one run of it.

The embedded default's Airflow and PostgreSQL, stores and keys of each measurement's own, and a sink
over TLS that keeps nothing. What the campaign works by is approved beforehand, as an installation
begins; its cap of letters a run is lifted, which would ask a person.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from reengage import store
from reengage.embedded import airflow, installation, postgres
from reengage.embedded.certificates import Certificates, ensure_certificates
from reengage.embedded.client import AirflowClient
from reengage.embedded.home import copy_home
from reengage.embedded.layout import Layout
from reengage.embedded.processes import free_port, wait_until
from reengage.keys import ensure_keyring, open_keyring
from reengage.settings import HOME
from sink import Sink
from sqlalchemy import create_engine, text

DAY = date(2026, 6, 1)
DAG = "reengage_health_education"
LETTERS_PER_RUN = 1_000_000


@dataclass(frozen=True)
class Place:
    """A copy of the project, and the sink for its letters."""

    layout: Layout
    certificates: Certificates
    sink: Sink


@dataclass(frozen=True)
class Run:
    """One DAG run that ended well, by Airflow's own books."""

    seconds: float
    tasks: list[dict[str, Any]]

    def of(self, task_id: str) -> list[dict[str, Any]]:
        """The task's instances that ran."""
        return [one for one in self.tasks if one["task_id"] == task_id and one["start_date"]]

    def seconds_of(self, task_id: str) -> float:
        """From the first instance's start to the last one's end; 0 where none ran."""
        found = self.of(task_id)
        if not found:
            return 0.0
        begun, ended = ([datetime.fromisoformat(one[key]) for one in found]
                        for key in ("start_date", "end_date"))  # fmt: skip
        return (max(ended) - min(begun)).total_seconds()


@contextmanager
def place() -> Iterator[Place]:
    """A place of its own, gone at the end with everything in it."""
    with tempfile.TemporaryDirectory(prefix="reengage-bench-") as scratch:
        base = Path(scratch)
        os.environ["XDG_STATE_HOME"] = str(base / "state")  # its keys go with it
        layout = Layout(copy_home(HOME, base / "home"))
        campaign = layout.home / "campaigns" / "health_education.yaml"
        lifted = campaign.read_text(encoding="utf-8").replace(
            "letters_per_run: 5000", f"letters_per_run: {LETTERS_PER_RUN}"
        )
        campaign.write_text(lifted, encoding="utf-8")
        layout.make_private()
        certificates = ensure_certificates(base / "certificates")
        with Sink(certificates) as sink:
            yield Place(layout, certificates, sink)


def variables(
    found: Place, server: postgres.Postgres, warehouse_url: str, slots: int
) -> dict[str, str]:
    """The environment of an Airflow with so many slots; makes a new store and keys for it."""
    layout, database = found.layout, f"store_{uuid4().hex[:8]}"
    engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {database}"))
    engine.dispose()
    owner = store.connect(server.url(database))
    store.migrate(owner, layout.home)
    postgres.ensure_member(server, "tasks", "reengage_tasks")
    keyring = layout.keyring.with_name(database)
    ensure_keyring(keyring)
    installation.approve(owner, layout.home, open_keyring(keyring))
    owner.dispose()
    noon = datetime.combine(DAY, time(12), ZoneInfo("America/Chicago")).astimezone(UTC)
    port = free_port()
    ours = {
        "HOME": layout.home,
        "WAREHOUSE_URL": warehouse_url,
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


def one_run(client: AirflowClient, *, seconds: float) -> Run:
    """Run the campaign once. Ends the benchmark with the run's words where it fails."""
    dag_run_id = f"bench__{uuid4()}"
    client.trigger(DAG, dag_run_id, {})
    wait_until(
        lambda: client.run_state(DAG, dag_run_id) not in ("queued", "running"),
        seconds=seconds, what=f"the end of {DAG}", every=1,
    )  # fmt: skip
    run = client.call("GET", f"/api/v2/dags/{DAG}/dagRuns/{dag_run_id}")
    if run["state"] != "success":
        sys.exit(f"{DAG} ended {run['state']}: {run['note']}")
    begun, ended = (datetime.fromisoformat(run[key]) for key in ("start_date", "end_date"))
    return Run((ended - begun).total_seconds(), client.tasks(DAG, dag_run_id))
