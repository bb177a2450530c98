"""What ends at the portal and how, messages that wait, records that the ledger is owed."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0011"


def upgrade() -> None:
    """Create everything that 0013_portal_ends.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
