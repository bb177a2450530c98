"""What keeps the installation in order: the commands' options, and where each leads."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from reengage.cli.arguments import positive
from reengage.retention.table import kept
from reengage.settings import HOME


def add_upkeep(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    _add_roles(commands)
    _add_backup(commands)


def _add_roles(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    roles = commands.add_parser("roles", help="who may do what in Airflow and on the reports")
    actions = roles.add_subparsers(dest="action", required=True, metavar="ACTION")
    sync = actions.add_parser("sync", help="make Airflow's roles what the table says, on record")
    sync.add_argument("--accounts", type=Path, help=argparse.SUPPRESS)  # the embedded default's
    actions.add_parser("check", help="only say what differs; 1 when anything does")
    actions.add_parser("list", help="the table").set_defaults(action="list_")


def _add_backup(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    backup = commands.add_parser("backup", help="back up the store, and apart from it the keys")
    backup.add_argument("--to", type=Path, metavar="DIR", help="where dumps of the store go")
    days = kept("dumps").term.days  # who forgets it must not keep dumps for longer than we say
    backup.add_argument(
        "--keep-days", type=positive, default=days, metavar="N",
        help=f"remove older dumps, never the newest; {days} where nothing is said",
    )  # fmt: skip
    restore = commands.add_parser("restore", help="bring a store that was lost back")
    restore.add_argument("place", type=Path, nargs="?", metavar="FROM", help="a backup, or all")
    restore.add_argument(
        "--evidence", type=Path, nargs="+", default=[], metavar="FILE-OR-DIR",
        help="what the relay knows of letters since: its log, a Maildir, notices",
    )  # fmt: skip
    for command in (backup, restore):
        command.add_argument(
            "--keys", type=Path, metavar="DIR", help="where keyring and journals are copied to"
        )


def roles(options: Namespace) -> int:
    """Airflow's roles: make them what the table says, compare them, show the table."""
    from reengage.cli import roles as tables

    action: Callable[[Namespace, Path], int] = getattr(tables, options.action)
    return action(options, HOME)


def backup(options: Namespace) -> int:
    """Back up the store, and apart from it keyring, journals and checkpoints."""
    from reengage.cli import backup as backups

    return backups.backup(options, HOME)


def restore(options: Namespace) -> int:
    """Bring a store that was lost back from a backup."""
    from reengage.cli import backup as backups

    return backups.restore(options, HOME)
