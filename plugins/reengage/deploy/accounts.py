"""Job `accounts`: Airflow's roles as the table has them, the first log-in and the audit's account.

Runs between the migration and everything that people or tasks use: DAG files name the roles, and a
DAG that names one that is not there does not load. `admin` is made once and then left alone, so
that whoever closed it, or gave it another password, is not undone by the next `make up`; `auditor`,
which the audit asks Airflow with, always has the password of the environment.
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace

from reengage import airflow_roles
from reengage.airflow_roles import Account
from reengage.cli import roles
from reengage.errors import ConfigurationError, ReengageError
from reengage.roles import ADMIN, AUDIT_SERVICE
from reengage.settings import HOME


def make_accounts() -> int:
    """Sync the roles, on record; make what accounts are missing. Gives how many were made.

    Raises ConfigurationError, StoreError, or LedgerError where it cannot be recorded.
    """
    wanted = [
        Account("admin", ADMIN, _required("ADMIN_PASSWORD"), keep=True),
        Account("auditor", AUDIT_SERVICE, _required("AUDITOR_PASSWORD")),
    ]
    roles.sync(Namespace(accounts=None), HOME)
    airflow_roles.ensure_admin()
    return airflow_roles.ensure_accounts(wanted)


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise ConfigurationError(f"variable {name} is missing; run `make up`, which writes .env")
    return value


def main() -> int:
    """Make them; the process's exit code."""
    try:
        made = make_accounts()
    except ReengageError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{made} accounts made\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
