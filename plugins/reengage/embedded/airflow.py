"""The embedded Airflow: api-server, scheduler and dag-processor of this checkout, on loopback.

The same Airflow as anywhere, with LocalExecutor and PostgreSQL. Each component is a process group
of its own, written down in `var/processes`, so that whatever ends the run ends all of it, and
`make down` finds what a killed run left. The heavy imports (pandas, Great Expectations) are made
once in the executor's fork server, not in every task.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from reengage.embedded.client import AirflowClient
from reengage.embedded.layout import Layout
from reengage.embedded.processes import Process, run_once

USER = "admin"
COMPONENTS = ("api-server", "scheduler", "dag-processor")
_PRELOAD = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "great_expectations",
    "reengage.preload",
)
_EMISSION_POLICY = [
    {
        "scope": {},
        "controls": {
            "emit": True,
            "include_source_code": False,
            "include_full_task_info": False,
            "hook_lineage": False,
        },
        "locked": True,
    }
]
"""Lineage without source code or task details, for names of jobs and datasets only (OLN-15)."""


@dataclass(frozen=True)
class Airflow:
    """A running Airflow: its API, its address and its log-in."""

    client: AirflowClient
    address: str
    password: str


def environment(layout: Layout, database_url: str, port: int) -> dict[str, str]:
    """Airflow's settings as environment variables, without those of the product."""
    address = f"http://127.0.0.1:{port}"
    options = {
        "CORE__DAGS_FOLDER": layout.home / "dags",
        "CORE__PLUGINS_FOLDER": layout.home / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 4,
        "CORE__MAX_MAP_LENGTH": 64,
        "CORE__MP_START_METHOD": "forkserver",
        "CORE__MP_FORKSERVER_PRELOAD": ",".join(_PRELOAD),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__TEST_CONNECTION": "Disabled",
        "DATABASE__SQL_ALCHEMY_CONN": database_url,
        "DATABASE__SQL_ALCHEMY_CONN_ASYNC": database_url,
        "API__HOST": "127.0.0.1",
        "API__PORT": port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secrets.token_hex(32),
        "API__EXPOSE_CONFIG": False,
        "API__EXPOSE_STACKTRACE": False,
        "API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "LOGGING__WORKER_LOG_SERVER_PORT": free_port(),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
        # It plays the day it is told to: no run of the wall clock's schedule beside it.
        "SCHEDULER__USE_JOB_SCHEDULE": False,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 10,
        "OPENLINEAGE__NAMESPACE": "reengage",
        "OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(layout.lineage), "append": True}
        ),
        "OPENLINEAGE__EXECUTE_IN_THREAD": True,
        "OPENLINEAGE__EMISSION_POLICY": json.dumps(_EMISSION_POLICY),
    }
    return {
        "AIRFLOW_HOME": str(layout.airflow),
        "GX_ANALYTICS_ENABLED": "false",
        **{f"AIRFLOW__{name}": str(value) for name, value in options.items()},
    }


@contextmanager
def running(layout: Layout, variables: Mapping[str, str]) -> Iterator[Airflow]:
    """Airflow with these variables, healthy; every process of it is gone at the end."""
    layout.make_private()
    password = ensure_password(layout)
    env = {**os.environ, **variables}
    executable = str(Path(sys.executable).with_name("airflow"))
    _migrate(layout, executable, env)
    with ExitStack() as stack:
        for component in COMPONENTS:
            process = Process(f"airflow-{component}", layout)
            stack.enter_context(process.running([executable, component], env))
        address = variables["AIRFLOW__API__BASE_URL"]
        client = AirflowClient(address, USER, password)
        client.wait_until_healthy()
        yield Airflow(client, address, password)


def _migrate(layout: Layout, executable: str, env: Mapping[str, str]) -> None:
    """Bring Airflow's database to this version's schema; once, as asking takes five seconds."""
    done = layout.postgres / f"airflow-{version('apache-airflow-core')}.migrated"
    if not done.exists():
        run_once([executable, "db", "migrate"], env, layout.logs / "airflow-db-migrate.log")
        done.touch()


def free_port(preferred: int = 0) -> int:
    """A free loopback port: the preferred one if it is free, else any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def ensure_password(layout: Layout) -> str:
    """The log-in, made on first use where the simple auth manager would write its own.

    It keeps one that it finds. Made before it starts: readable by the owner only from the first
    byte on, never met half-written, and not printed to its log.
    """
    path = layout.airflow / "simple_auth_manager_passwords.json.generated"
    try:
        password = json.loads(path.read_text(encoding="utf-8"))[USER]
        if isinstance(password, str) and password:
            path.chmod(0o600)
            return password
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        pass  # none yet, or one that a killed start broke
    password = secrets.token_urlsafe(12)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps({USER: password}) + "\n")
    temporary.replace(path)
    return password
