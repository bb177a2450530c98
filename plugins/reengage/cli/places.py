"""Where the commands find the databases and the keys: the environment's, else this checkout's own.

Without settings in the environment the embedded PostgreSQL is started for as long as it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine

from reengage import store as stores
from reengage.embedded import postgres
from reengage.embedded.layout import Layout
from reengage.settings import SUPPRESSIONS, journal_path


@contextmanager
def store(home: Path) -> Iterator[Engine]:
    """The store of the environment's settings, else that of the embedded default, migrated."""
    if url := os.environ.get("REENGAGE_STORE_URL"):
        yield stores.connect(url)
        return
    with postgres.running(Layout(home).postgres) as server:
        engine = stores.connect(server.url("store"))
        stores.migrate(engine, home)
        yield engine


@contextmanager
def warehouse(home: Path) -> Iterator[Engine]:
    """The warehouse of the environment's settings, else that of the embedded default."""
    from reengage import warehouse as warehouses

    if url := os.environ.get("REENGAGE_WAREHOUSE_URL"):
        yield warehouses.connect(url)
        return
    with postgres.running(Layout(home).postgres) as server:
        yield warehouses.connect(server.url("warehouse"))


def keyring(home: Path) -> Path:
    """Directory of the keys."""
    return Path(os.environ.get("REENGAGE_KEYRING") or Layout(home).keyring)


def journal(home: Path) -> Path:
    """The journal of refusals."""
    return journal_path(keyring(home))


def suppressions(home: Path) -> Path:
    """The journal of suppressions, beside it."""
    return journal(home).with_name(SUPPRESSIONS)
