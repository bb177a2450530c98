"""Accounts: who is at the command line, as the records of the ledger name them (SEC-15)."""

from __future__ import annotations

import getpass
import os
import socket


def actor() -> str:
    """Whom the records name: REENGAGE_ACTOR, else the operating system's user and machine."""
    return os.environ.get("REENGAGE_ACTOR") or account()


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
