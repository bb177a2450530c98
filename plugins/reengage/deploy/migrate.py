"""Job `migrate`: Airflow's database and the store at this version.

The only process that knows the password of the store's owner. Repeating it is harmless: a schema
that is up to date is left alone.
"""

from __future__ import annotations

import os
import subprocess
import sys

from reengage import store
from reengage.errors import ConfigurationError, ReengageError, StoreError
from reengage.settings import HOME


def migrate() -> None:
    """Bring both databases up to date. Raises StoreError, ConfigurationError."""
    url = os.environ.get("STORE_OWNER_URL")
    if not url:
        raise ConfigurationError(
            "variable STORE_OWNER_URL is missing; docker-compose.yaml sets it from .env"
        )
    done = subprocess.run(["airflow", "db", "migrate"], check=False)  # noqa: S607 - the image's
    if done.returncode:
        raise StoreError(f"`airflow db migrate` gave {done.returncode}; its output is above")
    engine = store.connect(url)
    store.migrate(engine, HOME)
    engine.dispose()


def main() -> int:
    """Migrate; the process's exit code."""
    try:
        migrate()
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write("both databases are at this version\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
