"""What staff decide and try out: the commands' options, and where each leads."""

from __future__ import annotations

import argparse
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from reengage.cli.arguments import day
from reengage.settings import HOME


def add_staff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands."""
    listing = commands.add_parser("approvals", help="what waits for an approval, what was decided")
    listing.add_argument("--json", action="store_true", help="as one object")

    approve = commands.add_parser("approve", help="approve what campaigns work by, as it is now")
    approve.add_argument("names", nargs="*", metavar="NAME", help="only these; without, all of it")
    approve.add_argument("--because", required=True, help="what was looked at; names nobody")

    campaign = commands.add_parser("campaign", help="pause a campaign, let it go on, list all")
    actions = campaign.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="how each stands, by whom and why")
    listing.set_defaults(action="list_")
    listing.add_argument("--json", action="store_true", help="an array, one object each")
    for name, told in (("pause", "claim no letter of it"), ("resume", "let its letters go again")):
        action = actions.add_parser(name, help=told)
        action.add_argument("campaign")
        action.add_argument("--because", required=True, help="why; names nobody")

    preview = commands.add_parser("preview", help="one patient's letter as it would look today")
    preview.add_argument("campaign")
    preview.add_argument("--patient", required=True, help="the patient's key, or - to read it")
    preview.add_argument("--date", type=day, help="as of this day; without it, today")
    preview.add_argument("--html", type=Path, metavar="FILE", help="the HTML part, into a file")

    trial = commands.add_parser(
        "test_letter", aliases=["test-letter"], help="a letter with made-up data to staff"
    )
    trial.set_defaults(command="test_letter")
    trial.add_argument("campaign")
    trial.add_argument("--to", required=True, metavar="ADDRESS", help="of the practice's domains")
    trial.add_argument("--language", default="en", help="(en)")
    trial.add_argument("--variant", help="where the campaign compares two")


def approvals(options: Namespace) -> int:
    """List what waits, and what was decided."""
    from reengage.cli import approvals as decisions

    return decisions.approvals(options, HOME)


def approve(options: Namespace) -> int:
    """Approve templates, suites, SQL and campaigns."""
    from reengage.cli import approvals as decisions

    return decisions.approve(options, HOME)


def campaign(options: Namespace) -> int:
    """Pause a campaign, let it go on, list all."""
    from reengage.cli import campaign as campaigns

    action: Callable[[Namespace, Path], int] = getattr(campaigns, options.action)
    return action(options, HOME)


def preview(options: Namespace) -> int:
    """Show one patient's letter."""
    from reengage.cli import letters

    return letters.preview(options, HOME)


def test_letter(options: Namespace) -> int:
    """Send a test letter to staff."""
    from reengage.cli import letters

    return letters.test_letter(options, HOME)
