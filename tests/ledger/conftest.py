"""Fixtures: a ledger of two days, made once for a file, and an empty one for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import create_database
from made import Ledger, two_days
from reengage.embedded.postgres import Postgres


@pytest.fixture
def ledger(store_url: str, keys: Path) -> Iterator[Ledger]:
    """One with nothing in it."""
    made = Ledger.create(store_url, keys)
    yield made
    made.engine.dispose()


@pytest.fixture(scope="module")
def days(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One of two days: read it, change it only in a transaction that is rolled back."""
    made = Ledger.create(create_database(server, "store"), tmp_path_factory.mktemp("days") / "keys")
    two_days(made)
    yield made
    made.engine.dispose()
