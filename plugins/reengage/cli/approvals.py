"""Approvals at the command line: what waits for one, what was decided, and approving by oneself.

The same decisions as in Airflow's Required Actions, for an installation and for who has looked at a
change before its first run. Whoever approves is in the ledger before it counts (SEC-15).
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection

from reengage import store
from reengage.accounts import actor, claimed
from reengage.campaigns import load_campaigns
from reengage.cli import places
from reengage.cli.actor import record_access
from reengage.cli.grounds import ground_of
from reengage.errors import ConfigurationError
from reengage.keys import open_keyring
from reengage.pipeline import approvals as decisions
from reengage.practice import load_practice


def approvals(options: Namespace, home: Path) -> int:
    """What nobody has approved in its present state, and the last decisions."""
    with places.store(home) as engine:
        with engine.connect() as connection:
            waiting = _waiting(connection, home)
            decided = decisions.history(connection)
        record_access(
            engine, open_keyring(places.keyring(home)), "opened", "approvals",
            {"waiting": len(waiting), "decisions": len(decided)},
        )  # fmt: skip
    if options.json:
        print(json.dumps(_as_json(home, waiting, decided), indent=2))
        return 0
    console = Console()
    if not console.is_terminal:  # as wide as it must be: what is cut off cannot be searched for
        console = Console(width=240)
    if not waiting:
        console.print("everything that the campaigns work by is approved as it is")
    else:
        _show_waiting(console, home, waiting)
        console.print("approve: python -m reengage approve --because WHY [NAME ...]")
    if decided:
        _show_decided(console, decided)
    return 0


def approve(options: Namespace, home: Path) -> int:
    """Approve what waits for it, or only what is named, as it is now."""
    reason = ground_of(options.because)
    keyring = open_keyring(places.keyring(home))
    with places.store(home) as engine, engine.begin() as connection:
        store.require_keyring(connection, keyring)
        waiting = _waiting(connection, home)
        unknown = set(options.names) - {one.name for one in waiting}
        if unknown:
            raise ConfigurationError(
                f"{', '.join(sorted(unknown))}: no such thing waits for an approval; "
                "`python -m reengage approvals` lists what does"
            )
        found = [one for one in waiting if not options.names or one.name in options.names]
        decisions.approve_all(
            connection, keyring, found, by=actor(), reason=reason, detail=claimed()
        )
    for one in found:
        print(f"approved  {one.name}  {one.sha256[: decisions.DIGITS]}")
    if not found:
        print("nothing waits for an approval")
    return 0


def _waiting(connection: Connection, home: Path) -> list[decisions.Unapproved]:
    campaigns, _ = load_campaigns(home)
    has_portal = load_practice(home / "practice.yaml").portal is not None
    return decisions.unapproved(connection, home, campaigns, portal=has_portal)


def _show_waiting(console: Console, home: Path, waiting: list[decisions.Unapproved]) -> None:
    table = Table("not approved", "", "SHA-256 begins", "changed last by", box=None)
    for one in waiting:
        kind = "changed" if one.previous else "new"
        table.add_row(one.name, kind, one.sha256[: decisions.DIGITS], one.changed_by(home))
    console.print(table)


def _show_decided(console: Console, decided: list[decisions.Decision]) -> None:
    table = Table("decided (UTC)", "what", "", "by", "reason", box=None)
    for one in decided[:20]:
        when = f"{one.at:%Y-%m-%d %H:%M}"
        table.add_row(when, one.subject, one.verdict, one.by, one.reason)
    console.print(table)
    if len(decided) > 20:
        console.print("older ones: --json, or `python -m reengage ledger tail --kind access`")


def _as_json(
    home: Path, waiting: list[decisions.Unapproved], decided: list[decisions.Decision]
) -> dict[str, object]:
    return {
        "waiting": [
            {
                "name": one.name,
                "sha256": one.sha256,
                "previous": one.previous,
                "changed_by": one.changed_by(home),
            }
            for one in waiting
        ],
        "decisions": [
            {
                "name": one.subject,
                "sha256": one.sha256,
                "decision": one.verdict,
                "by": one.by,
                "reason": one.reason,
                "run": str(one.run_id) if one.run_id else None,
                "at": one.at.isoformat(),
            }
            for one in decided
        ],
    }
