"""Job `migrate`: Airflow's database and the store at this version, and the first accounts.

The only process that knows the owners' passwords. Repeating it is harmless: schemas that are up to
date and accounts that exist are left alone. Passwords reach Airflow's commands by standard input,
never by a command line, which every user of the machine could read.
"""

from __future__ import annotations

import os
import subprocess
import sys

from reengage import store
from reengage.errors import ConfigurationError, ReengageError, StoreError
from reengage.settings import HOME

ACCOUNTS = {"admin": ("Admin", "ADMIN_PASSWORD"), "auditor": ("Viewer", "AUDITOR_PASSWORD")}
"""User -> role and the variable with the password. `auditor` asks for the audit (docs/audit.md)."""


def migrate() -> None:
    """Bring both databases up to date. Raises StoreError, ConfigurationError."""
    _airflow("db", "migrate")
    _airflow("sync-perm")
    for user, (role, variable) in ACCOUNTS.items():
        _airflow(
            "users", "create", "--username", user, "--role", role, "--firstname", user,
            "--lastname", "-", "--email", f"{user}@localhost",
            answers=2 * (_required(variable) + "\n"),
        )  # fmt: skip
    engine = store.connect(_required("STORE_OWNER_URL"))
    store.migrate(engine, HOME)
    engine.dispose()


def _airflow(*arguments: str, answers: str = "") -> None:
    done = subprocess.run(  # noqa: S603 - our own command
        ["airflow", *arguments],  # noqa: S607 - the image's
        input=answers,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StoreError(
            f"`airflow {' '.join(arguments[:2])}` gave {done.returncode}; its output is above"
        )


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigurationError(f"variable {name} is missing; run `make up`, which writes .env")
    return value


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
