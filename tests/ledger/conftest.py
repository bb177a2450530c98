"""Fixtures: a ledger of two days, made once for a file, and an empty one for each test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from made import Copy, Ledger, two_days
from reengage.embedded import postgres
from sqlalchemy import create_engine, text

_NUMBERS = count()


@pytest.fixture(scope="module")
def copy_of(server: postgres.Postgres) -> Copy:
    """Makes a copy of a database; gives its URL."""

    def create(template: str) -> str:
        name = f"ledger{next(_NUMBERS)}"
        engine = create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        engine.dispose()
        return server.url(name)

    return create


@pytest.fixture
def ledger(copy_of: Copy, tmp_path: Path) -> Iterator[Ledger]:
    """One with nothing in it."""
    made = Ledger.create(copy_of("store"), tmp_path / "keys")
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def days(copy_of: Copy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One of two days: read it, change it only in a transaction that is rolled back."""
    made = Ledger.create(copy_of("store"), tmp_path_factory.mktemp("days") / "keys")
    two_days(made)
    yield made
    made.engine.dispose()
