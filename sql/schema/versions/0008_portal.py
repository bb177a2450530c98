"""What patients do for themselves: the second factor, opting out by a link, preferences."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create everything that 0008_portal.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
