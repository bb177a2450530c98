"""Engines: one way to reach a database of ours, whatever the setting that names it."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import NullPool

from reengage.errors import ConfigurationError


def engine(
    url: str, *, setting: str, connect_args: dict[str, str], connections: int | None = None
) -> Engine:
    """An engine whose connections are opened per use, as each task is a process of its own; or,
    for a server, one that keeps up to so many `connections`.

    Errors of the driver never carry parameters. Raises ConfigurationError, without the URL, when it
    is none or of a database without a driver here.
    """
    try:
        if connections is not None:
            return create_engine(
                url, hide_parameters=True, pool_size=connections, max_overflow=0,
                pool_pre_ping=True, pool_timeout=30, connect_args=connect_args,
            )  # fmt: skip
        return create_engine(
            url, hide_parameters=True, poolclass=NullPool, connect_args=connect_args
        )
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise ConfigurationError(  # not the URL itself: it may hold a password
            f"setting {setting} names no database that can be used ({type(error).__name__});"
            " write it like postgresql+psycopg://role@host/database"
        ) from None


def read_whole(connection: Connection) -> None:
    """The transaction's cursors are read to their end: plan for all rows, not the first soonest."""
    connection.execute(text("SET LOCAL cursor_tuple_fraction = 1"))
