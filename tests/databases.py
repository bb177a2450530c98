"""The tests' own server, and databases on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from reengage import store
from reengage.embedded import postgres
from reengage.embedded.postgres import Postgres
from reengage.settings import HOME
from sqlalchemy import Engine, make_url, text

Makes = Callable[[str | None], str]
"""Makes an empty database, or one that is a copy of another; gives its URL."""
_NUMBERS = count()


@contextmanager
def own_server(directory: Path) -> Iterator[Postgres]:
    """A server whose database `store` is of the newest schema; it waits for no disk."""
    with postgres.running(directory) as running:
        store.migrate(store.connect(running.url("store")), HOME)  # the template of every store
        for name in ("fsync", "full_page_writes"):  # what is told of commits is looked at
            _tell(running, f"ALTER SYSTEM SET {name} = off")
        _tell(running, "SELECT pg_reload_conf()")
        yield running


def create_database(server: Postgres, template: str = "template1", name: str | None = None) -> str:
    """An empty database, or a copy of another, which nobody may be using; gives its URL.

    Copied as files, not block by block through the log: a quarter of the time.
    """
    name = name or f"t{next(_NUMBERS)}"
    _tell(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    return server.url(name)


def drop_database(server: Postgres, url: str) -> None:
    """Make room; whoever is still connected is not any more."""
    _tell(server, f"DROP DATABASE IF EXISTS {make_url(url).database} WITH (FORCE)")


def _tell(server: Postgres, statement: str) -> None:
    with _kept(server.url("postgres")).connect() as connection:
        connection.execute(text(statement))


@cache
def _kept(url: str) -> Engine:
    engine = store.connect(url, connections=1)
    return engine.execution_options(isolation_level="AUTOCOMMIT")
