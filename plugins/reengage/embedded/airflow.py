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
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from reengage.embedded.client import AirflowClient
from reengage.embedded.layout import Layout
from reengage.embedded.processes import Process, free_port, run_once

USER = "admin"
AUDITOR = "auditor"
"""The service account of the audit: it may look at everything in the UI and change nothing."""
ROLES = {USER: "admin", AUDITOR: "viewer"}
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
_SCRUBBER = "reengage.lineage.scrubber.Scrubber"
"""What stands before every transport of the provider's (OLN-12)."""


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
        "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{u}:{role}" for u, role in ROLES.items()),
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
        **_lineage(layout),
    }
    return {
        "AIRFLOW_HOME": str(layout.airflow),
        "GX_ANALYTICS_ENABLED": "false",
        **{f"AIRFLOW__{name}": str(value) for name, value in options.items()},
    }


def _lineage(layout: Layout) -> dict[str, object]:
    """Settings of the OpenLineage provider: on, and without a way round what it may send.

    All of them are stated, so that none comes from the environment that a run is started in.
    """
    sink = {"type": "file", "log_file_path": str(layout.lineage), "append": True}
    scrubbed = {"type": "transform", "transport": sink, "transformer_class": _SCRUBBER}
    settings = {
        "DISABLED": False,
        "NAMESPACE": "reengage",
        "CONFIG_CONN_ID": "",
        "CONFIG_PATH": "",
        "TRANSPORT": json.dumps(scrubbed),
        "EXECUTE_IN_THREAD": True,
        "EMISSION_POLICY": json.dumps(_EMISSION_POLICY),
        "INCLUDE_FULL_TASK_INFO": False,
        "DEBUG_MODE": False,
        "SELECTIVE_ENABLE": False,
        "DISABLED_FOR_OPERATORS": "",
        "CUSTOM_RUN_FACETS": "",
        "EXTRACTORS": "",
    }
    return {f"OPENLINEAGE__{name}": value for name, value in settings.items()}


@contextmanager
def running(layout: Layout, variables: Mapping[str, str]) -> Iterator[Airflow]:
    """Airflow with these variables, healthy; every process of it is gone at the end."""
    layout.make_private()
    password = ensure_passwords(layout)[USER]
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


def account_url(layout: Layout, port: int) -> str:
    """The API's address with the account that the audit asks it with."""
    layout.make_private()
    return f"http://{AUDITOR}:{quote(ensure_passwords(layout)[AUDITOR], safe='')}@127.0.0.1:{port}"


def ensure_passwords(layout: Layout) -> dict[str, str]:
    """The log-ins, made on first use where the simple auth manager would write its own.

    It keeps those that it finds. Made before it starts: readable by the owner only from the first
    byte on, never met half-written, and not printed to its log.
    """
    path = layout.airflow / "simple_auth_manager_passwords.json.generated"
    found = _passwords(path)
    if found.keys() >= ROLES.keys():
        path.chmod(0o600)
        return found
    found = {user: found.get(user) or secrets.token_urlsafe(12) for user in ROLES}
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(json.dumps(found) + "\n")
    temporary.replace(path)
    return found


def _passwords(path: Path) -> dict[str, str]:
    """Those that are there already, of our users; none of a file that a killed start broke."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {user: one for user in ROLES if isinstance(one := found.get(user), str) and one}
