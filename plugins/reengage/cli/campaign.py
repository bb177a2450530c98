"""Campaigns at the command line: pause one, let it go on, see how each stands."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from reengage import store
from reengage.accounts import actor, claimed
from reengage.campaigns import load_campaigns
from reengage.cli import places
from reengage.cli.grounds import ground_of
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring
from reengage.pipeline import holds


def pause(options: Namespace, home: Path) -> int:
    """No letter of the campaign is claimed from now on."""
    return _decide(options, home, pause=True)


def resume(options: Namespace, home: Path) -> int:
    """Its letters may go again, with its next run."""
    return _decide(options, home, pause=False)


def list_(options: Namespace, home: Path) -> int:
    """Every campaign: paused or not, since when, by whom and why."""
    with places.store(home) as engine, engine.connect() as connection:
        decided = holds.latest(connection)
    slugs = [one.slug for one in load_campaigns(home)[0]]
    if options.json:
        print(json.dumps([_as_json(slug, decided.get(slug)) for slug in slugs], indent=2))
        return 0
    table = Table("campaign", "", "since (UTC)", "by", "reason", box=None)
    for slug in slugs:
        one = decided.get(slug)
        state = "[bold red]paused[/]" if one and one.paused else "on"
        since = (f"{one.at:%Y-%m-%d %H:%M}", one.by, one.reason) if one else ("", "", "")
        table.add_row(slug, state, *since)
    Console().print(table)
    return 0


def _decide(options: Namespace, home: Path, *, pause: bool) -> int:
    reason = ground_of(options.because)
    known = [one.slug for one in load_campaigns(home)[0]]
    # A broken campaign can be paused, too: what it has composed would go otherwise.
    if (
        options.campaign not in known
        and not (home / "campaigns" / f"{options.campaign}.yaml").is_file()
    ):
        raise ConfigurationError(
            f"there is no campaign {options.campaign!r}; there are {', '.join(known)}"
        )
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        holds.decide(
            connection, keyring, options.campaign, pause=pause, by=actor(), reason=reason,
            account=claimed().get("account"),
        )  # fmt: skip
    said = (
        "paused; nothing of it is claimed from now on, in a run under way, too"
        if pause
        else "on again; its next run takes over what waits"
    )
    Console().print(f"{options.campaign} is {said}")
    return 0


def _as_json(slug: str, one: holds.Hold | None) -> dict[str, object]:
    return {
        "campaign": slug,
        "paused": one.paused if one else False,
        "since": one.at.isoformat() if one else None,
        "by": one.by if one else None,
        "reason": one.reason if one else None,
    }
