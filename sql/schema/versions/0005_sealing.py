"""How letters are sealed, and those that wait at the portal."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create everything that 0005_sealing.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
