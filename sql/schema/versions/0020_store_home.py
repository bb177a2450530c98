"""Where the store has sent from: what came back elsewhere sends nothing by itself."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Create everything that 0020_store_home.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
