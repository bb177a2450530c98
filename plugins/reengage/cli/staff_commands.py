"""What staff decide and try out: the commands' options, and where each leads."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path


def add_staff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    listing = commands.add_parser("approvals", help="what waits for an approval, what was decided")
    listing.add_argument("--json", action="store_true", help="as one object")

    approve = commands.add_parser("approve", help="approve what campaigns work by, as it is now")
    approve.add_argument("names", nargs="*", metavar="NAME", help="only these; without, all of it")
    approve.add_argument("--because", required=True, help="what was looked at; names nobody")


def approvals(options: Namespace, home: Path) -> int:
    """List what waits, and what was decided."""
    from reengage.cli import approvals as decisions

    return decisions.approvals(options, home)


def approve(options: Namespace, home: Path) -> int:
    """Approve templates, suites, SQL and campaigns."""
    from reengage.cli import approvals as decisions

    return decisions.approve(options, home)
