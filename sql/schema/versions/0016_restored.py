"""Restored: letters that a store from a backup has no row of, and that must not be sent again."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0016"
down_revision = "0010"


def upgrade() -> None:
    """Create everything that 0016_restored.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
