"""Installation: the embedded default approves what it was delivered with, once, when it is new.

A store in which nobody has decided anything yet belongs to a machine on which the product was just
set up: whoever starts it has what the campaigns work by before them, and is on record as the one
who approved it. From then on a change waits for a person here as anywhere (approvals.py, ADR 0038).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from reengage.accounts import actor, claimed
from reengage.campaigns import load_campaigns
from reengage.keys import Keyring
from reengage.pipeline import approvals
from reengage.practice import load_practice

WAITS_FOR_SOMEBODY = (
    "waits for a person. `make ui` and answer under Required Actions; or look at the change"
    " (`make run DRY=1` sends nothing), `.venv/bin/python -m reengage approve --because WHY`, and"
    " run again"
)


def approve(engine: Engine, home: Path, keyring: Keyring) -> int:
    """Approve everything, where nobody has decided anything; gives how much that was."""
    campaigns, _ = load_campaigns(home)
    has_portal = load_practice(home / "practice.yaml").portal is not None
    with engine.begin() as connection:
        if not approvals.is_fresh(connection):
            return 0
        found = approvals.unapproved(connection, home, campaigns, portal=has_portal)
        approvals.approve_all(
            connection, keyring, found,
            by=actor(), reason="delivered with the installation", detail=claimed(),
        )  # fmt: skip
    return len(found)
