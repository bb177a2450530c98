"""What comes back: messages that were read, suppressions with an end and a way back."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create everything that 0009_responses.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
