"""The store: our own PostgreSQL database of runs, sealed batches, decisions and the outbox.

The store and the keyring are all that tasks share. Errors of the driver never leave this module's
engines with their parameters (`hide_parameters`), and the corridor replaces their text besides.
"""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool


def connect(url: str) -> Engine:
    """An engine for the store; connections are opened per use: each task is its own process."""
    return create_engine(url, hide_parameters=True, poolclass=NullPool)


def migrate(engine: Engine, home: Path) -> None:
    """Bring the store to the newest schema of sql/schema/. Repeating it is harmless."""
    config = Config()
    config.set_main_option("script_location", str(home / "sql" / "schema"))
    with engine.begin() as connection:
        # Two starts at once must not migrate at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(7110001)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
