"""Fixtures: a small export, and warehouses that hold it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Makes, create_database
from export import SmallExport
from reengage.embedded.postgres import Postgres
from reengage.sources import loading, synthea
from sqlalchemy import Engine, create_engine


@pytest.fixture
def export(tmp_path: Path) -> SmallExport:
    return SmallExport.write(tmp_path / "export")


@pytest.fixture
def engine(database: Makes) -> Iterator[Engine]:
    """An empty warehouse; a statement that waits for ever fails instead."""
    made = create_engine(
        database(None), connect_args={"options": "-c statement_timeout=30s -c lock_timeout=30s"}
    )
    yield made
    made.dispose()


@pytest.fixture
def loaded(engine: Engine, export: SmallExport) -> Engine:
    """A warehouse that holds the small export."""
    loading.load(engine, synthea.SOURCE, export.directory)
    return engine


@pytest.fixture(scope="session")
def kept(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A loaded warehouse that no test can change: what it loads is at fault."""
    create_database(server, name="kept")
    made = create_engine(server.url("kept"))
    loading.load(made, synthea.SOURCE, SmallExport.write(tmp_path_factory.mktemp("kept")).directory)
    yield made
    made.dispose()
