"""Accounts: who is at the command line, as the records of the ledger name them (SEC-03, SEC-15).

Where all people come as one user of the system, as into a container, its name says nothing: there
REENGAGE_ACTOR_REQUIRED is set, and nothing goes on record before a person is named.
"""

from __future__ import annotations

import getpass
import os
import socket

from reengage.errors import ConfigurationError
from reengage.settings import actor_required


def actor() -> str:
    """Whom the records name: REENGAGE_ACTOR, else the operating system's user and machine.

    Raises ConfigurationError where that user is everybody and nobody was named.
    """
    if named := os.environ.get("REENGAGE_ACTOR", "").strip():
        return named
    if actor_required():
        raise ConfigurationError(
            "this goes on record, and nobody is named: all people are one user here; say who you"
            ' are in REENGAGE_ACTOR, as `docker compose exec -e REENGAGE_ACTOR="$USER" worker'
            " python -m reengage ...`"
        )
    return account()


def claimed() -> dict[str, str]:
    """The account behind a name that was claimed: it does not hide who claimed it."""
    return {} if actor() == account() else {"account": account()}


def account() -> str:
    """The operating system's user, and its machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that no file names
        user = str(os.getuid())
    return f"os:{user}@{socket.gethostname()}"
