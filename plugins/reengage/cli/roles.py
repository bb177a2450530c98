"""The roles at the command line: make Airflow's what the table says, or only say what differs.

A change is on record before it is told (SEC-05): who made it, how much was granted and taken.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from reengage import airflow_roles
from reengage.cli import places
from reengage.cli.actor import record_access
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring
from reengage.roles import PEOPLE, ROLES


def sync(options: Namespace, home: Path) -> int:
    """Make the roles; with `--accounts FILE` also log-ins of the embedded default."""
    changes = airflow_roles.differences(apply=False)
    if changes:
        detail = {
            "roles": [change.role for change in changes],
            "granted": sum(len(change.granted) for change in changes),
            "revoked": sum(len(change.revoked) for change in changes),
        }
        with places.store(home) as engine:
            record_access(engine, open_keyring(places.keyring(home)), "recorded", "roles", detail)
        airflow_roles.differences(apply=True)
    if options.accounts:
        accounts = _accounts(options.accounts)
        airflow_roles.ensure_admin()
        airflow_roles.ensure_accounts(accounts)
    for line in airflow_roles.as_text(changes):
        print(line)
    print(f"{len(ROLES)} roles are as the table has them: {', '.join(ROLES)}")
    return 0


def check(options: Namespace, home: Path) -> int:
    """Say what differs; 1 when anything does."""
    changes = airflow_roles.differences(apply=False)
    for line in airflow_roles.as_text(changes):
        print(line)
    if not changes:
        print("Airflow's roles are as the table has them")
    return 1 if changes else 0


def list_(options: Namespace, home: Path) -> int:
    """The table: what each role may do, and on our pages."""
    from reengage.roles import CAPABILITIES

    for role in ROLES.values():
        pages = ", ".join(sorted(CAPABILITIES.get(role.name, ()))) or "none"
        kind = "" if role.name in PEOPLE else " (service)"
        print(f"{role.name}{kind}\n  pages: {pages}\n  DAGs: {', '.join(sorted(role.dags)) or '-'}")
        permissions = (f"{action} {resource}" for action, resource in sorted(role.permissions))
        print("  " + ", ".join(permissions))
    return 0


def _accounts(path: Path) -> list[airflow_roles.Account]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return [
            airflow_roles.Account(name, one["role"], one["password"]) for name, one in found.items()
        ]
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        raise ConfigurationError(
            f"{path} is no file of accounts: expected an object, name to role and password"
        ) from None
