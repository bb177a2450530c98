"""Suppressions at the desk: who is left alone and why, and the way back.

Shown are pseudonyms, reasons and days, no address. Who looks and who lifts is on record before it
counts (SEC-15). An address that is confirmed anew in the warehouse needs nothing of this.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table

from reengage import store, suppressions
from reengage.campaigns import load_campaign
from reengage.cli import places
from reengage.cli.actor import actor, note_access
from reengage.cli.grounds import ground_of
from reengage.keys import open_keyring
from reengage.ledger.owed import pay
from reengage.pipeline import complaints
from reengage.suppressions import Suppression


def list_(options: Namespace, home: Path) -> int:
    """All in force, the newest first."""
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        found = suppressions.listed(connection, datetime.now(UTC))
        if found:
            note_access(connection, keyring, "opened", "suppressions", {"rows": len(found)})
    if options.json:
        print(json.dumps([_as_json(one) for one in found], indent=2))
    elif not found:
        Console().print("nobody is suppressed")
    else:
        _show(found)
    return 0


def lift(options: Namespace, home: Path) -> int:
    """End one, in the name of who says so and why."""
    ground = ground_of(options.because)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        was = suppressions.lift(
            connection,
            places.suppressions(home),
            options.suppression,
            at=datetime.now(UTC),
            by=actor(),
        )
        detail = {
            "suppression": str(was.suppression_id), "reason": was.reason, "ground": ground,
            "recipient": was.recipient, "patient": was.patient, "purpose": was.purpose,
            "pseudonym_key": keyring.pseudonym_key_name,
        }  # fmt: skip
        note_access(connection, keyring, "lifted", "suppression", detail)
        pay(connection, keyring, recorded={suppressions.lifting(was.suppression_id)})
    Console().print(f"suppression {options.suppression} is lifted, on record with your name")
    return 0


def _as_json(one: Suppression) -> dict[str, object]:
    found = json.loads(one.line())
    return {name: found[name] for name in found if name not in ("v", "lifted_at", "lifted_by")}


def go_on(options: Namespace, home: Path) -> int:
    """Go on with a campaign that too many patients called spam, in the name of who says so."""
    campaign = load_campaign(home, options.campaign)
    ground = ground_of(options.because)
    keyring = open_keyring(places.keyring(home))
    today = datetime.now(ZoneInfo(campaign.time_zone)).date()
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        complaints.go_on(connection, keyring, campaign, today, by=actor(), because=ground)
    Console().print(f"{campaign.slug} goes on with its next run, on record with your name")
    return 0


def _show(found: Sequence[Suppression]) -> None:
    table = Table(
        "suppression", "of", "reason", "status", "since", "until", box=None, pad_edge=False
    )
    for one in found:
        of = f"patient, {one.purpose}" if one.patient else "address"
        until = f"{one.expires_at:%Y-%m-%d}" if one.expires_at else "lifted or confirmed"
        if one.patient:
            until = "lifted"
        table.add_row(
            str(one.suppression_id), of, one.reason, one.status or "", f"{one.at:%Y-%m-%d}", until
        )
    console = Console()
    console.print(table, soft_wrap=True) if console.is_terminal else Console(width=160).print(table)
