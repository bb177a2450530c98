"""The embedded Airflow: api-server, scheduler and dag-processor of this checkout, on loopback.

The same Airflow as anywhere, with LocalExecutor and PostgreSQL. Each component is a process group
of its own, written down in `var/processes`, so that whatever ends the run ends all of it, and
`make down` finds what a killed run left. The heavy imports (pandas, Great Expectations) are made
once in the executor's fork server, not in every task.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from reengage.embedded.certificates import write_private
from reengage.embedded.client import AirflowClient
from reengage.embedded.layout import Layout
from reengage.embedded.processes import Process, free_port, run_once
from reengage.roles import (
    ADMIN,
    ANALYST,
    AUDIT_SERVICE,
    COMPLIANCE_OFFICER,
    DAG_ACCESS,
    DATA_ENGINEER,
    ROLES,
)

USER = "admin"
AUDITOR = "auditor"
"""The service account of the audit: it may look at runs and tasks and change nothing."""
ACCOUNTS = {
    USER: ADMIN,
    "engineer": DATA_ENGINEER,
    "analyst": ANALYST,
    "compliance": COMPLIANCE_OFFICER,
    AUDITOR: AUDIT_SERVICE,
}
_FAB = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
_IDLE_MINUTES, _LONGEST_MINUTES = 15, 60
"""When a session ends that nobody uses, and one that is used. An open tab counts as use."""
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
class LogIn:
    """An account of the embedded default."""

    user: str
    role: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Airflow:
    """A running Airflow: its API, its address and its log-ins."""

    client: AirflowClient
    address: str
    log_ins: Mapping[str, LogIn]

    @property
    def people(self) -> list[LogIn]:
        """One for each role that a person may have."""
        return [one for one in self.log_ins.values() if one.role != AUDIT_SERVICE]


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
        "CORE__AUTH_MANAGER": _FAB,
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
        **_sessions(layout),
        "LOGGING__WORKER_LOG_SERVER_PORT": free_port(),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.2,
        # It plays the day it is told to: no run of the wall clock's schedule beside it.
        "SCHEDULER__USE_JOB_SCHEDULE": False,
        "DAG_PROCESSOR__REFRESH_INTERVAL": 30,
        **_lineage(layout),
    }
    return {
        "AIRFLOW_HOME": str(layout.airflow),
        "GX_ANALYTICS_ENABLED": "false",
        **{f"AIRFLOW__{name}": str(value) for name, value in options.items()},
    }


def _sessions(layout: Layout) -> dict[str, object]:
    """Log-in: short sessions (SEC-13), few guesses, and no closed account stays open (SEC-05)."""
    return {
        "API_AUTH__JWT_EXPIRATION_TIME": _IDLE_MINUTES * 60,
        "FAB__SESSION_LIFETIME_MINUTES": _IDLE_MINUTES,
        "FAB__SESSION_MAX_LIFETIME_MINUTES": _LONGEST_MINUTES,
        "FAB__SESSION_BACKEND": "database",
        "FAB__AUTH_RATE_LIMITED": True,
        "FAB__AUTH_RATE_LIMIT": "5 per 40 second",
        "FAB__AUTH_ROLE_PUBLIC": "",
        "FAB__CACHE_TTL": 0,
        "FAB__UPDATE_FAB_PERMS": False,  # `roles sync` did it; asking at each start takes seconds
        "FAB__CONFIG_FILE": layout.airflow / "webserver_config.py",
        # Loopback speaks plain HTTP here; elsewhere this is true (docs/people.md).
        "FAB__COOKIE_SECURE": False,
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
    log_ins = ensure_log_ins(layout)
    env = {**os.environ, **variables}
    executable = str(Path(sys.executable).with_name("airflow"))
    _prepare(layout, executable, env)
    with ExitStack() as stack:
        for component in COMPONENTS:
            process = Process(f"airflow-{component}", layout)
            stack.enter_context(process.running([executable, component], env))
        address = variables["AIRFLOW__API__BASE_URL"]
        client = AirflowClient(address, USER, log_ins[USER].password)
        client.wait_until_healthy()
        yield Airflow(client, address, log_ins)


def _prepare(layout: Layout, executable: str, env: Mapping[str, str]) -> None:
    """Bring Airflow's database to this version's schema, its roles and accounts to ours.

    Once for each state of them, as only asking takes five seconds.
    """
    versions = [version(f"apache-airflow-{part}") for part in ("core", "providers-fab")]
    migrated = layout.postgres / f"airflow-{'-'.join(versions)}.migrated"
    if not migrated.exists():
        run_once([executable, "db", "migrate"], env, layout.logs / "airflow-db-migrate.log")
        migrated.touch()
    accounts = layout.log_ins
    wanted = hashlib.sha256(repr((versions, _table())).encode() + accounts.read_bytes()).hexdigest()
    synced = layout.postgres / "roles.synced"
    if not synced.exists() or synced.read_text(encoding="ascii") != wanted:
        command = [sys.executable, "-m", "reengage", "roles", "sync", "--accounts", str(accounts)]
        run_once(command, env, layout.logs / "airflow-roles.log")
        synced.write_text(wanted, encoding="ascii")


def _table() -> list[object]:
    return [
        (role.name, sorted(role.permissions), sorted(DAG_ACCESS.get(role.name, {})))
        for role in ROLES.values()
    ]


def account_url(layout: Layout, port: int) -> str:
    """The API's address with the account that the audit asks it with."""
    layout.make_private()
    password = quote(ensure_log_ins(layout)[AUDITOR].password, safe="")
    return f"http://{AUDITOR}:{password}@127.0.0.1:{port}"


def ensure_log_ins(layout: Layout) -> dict[str, LogIn]:
    """The accounts of the embedded default, made on first use; those that are there are kept.

    Readable by the owner only from the first byte on, and never met half-written.
    """
    found = _passwords(layout.log_ins)
    if found.keys() >= ACCOUNTS.keys():
        layout.log_ins.chmod(0o600)
    else:
        found = {user: found.get(user) or secrets.token_urlsafe(12) for user in ACCOUNTS}
        said = {user: {"role": ACCOUNTS[user], "password": found[user]} for user in ACCOUNTS}
        write_private(layout.log_ins, (json.dumps(said, indent=1) + "\n").encode())
    return {user: LogIn(user, ACCOUNTS[user], found[user]) for user in ACCOUNTS}


def _passwords(path: Path) -> dict[str, str]:
    """Those that are there already, of our users; none of a file that a killed start broke."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        given = {user: found[user]["password"] for user in ACCOUNTS if user in found}
    except (FileNotFoundError, ValueError, TypeError, LookupError):
        return {}
    return {user: one for user, one in given.items() if isinstance(one, str) and one}
