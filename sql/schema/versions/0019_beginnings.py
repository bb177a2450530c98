"""Beginnings: every run that preflight began, whatever became of it."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Create everything that 0019_beginnings.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
