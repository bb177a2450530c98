"""The store: our own PostgreSQL database of runs, sealed batches, decisions and the outbox.

The store and the keyring are all that tasks share. Errors of the driver never leave this module's
engines with their parameters, and the corridor replaces their text besides.
"""

from __future__ import annotations

import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

from reengage import database
from reengage.errors import KeyringError
from reengage.keys import Keyring


def connect(url: str, *, connections: int | None = None) -> Engine:
    """An engine for the store. Raises ConfigurationError when the URL is none."""
    # Tells an operator whose session it is, and which process.
    named = {"application_name": f"reengage {os.getpid()}"}
    return database.engine(
        url, setting="REENGAGE_STORE_URL", connect_args=named, connections=connections
    )


def require_keyring(connection: Connection, keyring: Keyring) -> None:
    """Refuse a keyring that is not the store's own: its pseudonyms would match none of the store's,
    and an opt-out would be forgotten. The first one that comes is the store's. Raises KeyringError.
    """
    mark = keyring.pseudonym("store", "mark")
    connection.execute(
        text("INSERT INTO keyring (mark) VALUES (:mark) ON CONFLICT DO NOTHING"), {"mark": mark}
    )
    if connection.execute(text("SELECT mark FROM keyring")).scalar_one() != mark:
        raise KeyringError(
            "the store was written with another keyring, and with this one no opt-out and no letter"
            " of it would be known again; restore the keyring that belongs to it (for the embedded"
            " default `make clean` begins anew with both)"
        )


def migrate(engine: Engine, home: Path) -> None:
    """Bring the store to the newest schema of sql/schema/. Repeating it is harmless."""
    config = Config()
    config.set_main_option("script_location", str(home / "sql" / "schema"))
    with engine.begin() as connection:
        # Two starts at once must not migrate at once.
        connection.execute(text("SELECT pg_advisory_xact_lock(7110001)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
