"""Engines: one way to reach a database of ours, whatever the setting that names it."""

from __future__ import annotations

import os
from functools import lru_cache
from ipaddress import ip_address

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from reengage.errors import ConfigurationError


def engine(
    url: str, *, setting: str, connect_args: dict[str, str], connections: int | None = None
) -> Engine:
    """An engine whose connections are opened per use, as each task is a process of its own; or,
    for a server, one that keeps up to so many `connections`.

    Errors of the driver never carry parameters. Raises ConfigurationError, without the URL, when it
    is none, of a database without a driver here, or of a PostgreSQL on another host that is not
    asked for verified TLS (SEC-18).
    """
    try:
        _require_verified_tls(make_url(url), setting)
        if connections is not None:
            return create_engine(
                url, hide_parameters=True, pool_size=connections, max_overflow=0,
                pool_pre_ping=True, pool_timeout=30, connect_args=connect_args,
            )  # fmt: skip
        return _opened_per_use(url, tuple(connect_args.items()))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise ConfigurationError(  # not the URL itself: it may hold a password
            f"setting {setting} names no database that can be used ({type(error).__name__});"
            " write it like postgresql+psycopg://role@host/database"
        ) from None


@lru_cache(maxsize=16)
def _opened_per_use(url: str, connect_args: tuple[tuple[str, str], ...]) -> Engine:
    """The process's one engine for this: a new one first asks the server about itself, and writes
    each statement anew.
    """
    return create_engine(
        url, hide_parameters=True, poolclass=NullPool, connect_args=dict(connect_args)
    )


def _require_verified_tls(url: URL, setting: str) -> None:
    """Raises ConfigurationError where libpq would leave this host without verifying the server.

    Its own default, `prefer`, verifies nothing and falls back to no TLS. Settings that the URL does
    not have come from libpq's variables; what a service file says is not known here.
    """
    if url.get_backend_name() != "postgresql":
        return
    mode = url.query.get("sslmode") or os.environ.get("PGSSLMODE")
    if mode != "verify-full" and not all(_is_here(host) for host in _hosts(url)):
        raise ConfigurationError(
            f"setting {setting} names a database on another host without verified TLS; add"
            " ?sslmode=verify-full&sslrootcert=FILE to it, FILE being the server's authority"
        )


def _hosts(url: URL) -> list[str]:
    named = [url.host or ""]
    for key, variable in (("host", "PGHOST"), ("hostaddr", "PGHOSTADDR"), ("service", "PGSERVICE")):
        found = url.query.get(key) or ("" if url.host else os.environ.get(variable, ""))
        named += [found] if isinstance(found, str) else found
    return [host for several in named for host in several.split(",")]


def _is_here(host: str) -> bool:
    if not host or host.startswith(("/", "@")):  # libpq's default, a socket
        return True
    name = host.rpartition(":")[0] if host.count(":") == 1 else host
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def read_whole(connection: Connection) -> None:
    """The transaction's cursors are read to their end: plan for all rows, not the first soonest."""
    connection.execute(text("SET LOCAL cursor_tuple_fraction = 1"))
