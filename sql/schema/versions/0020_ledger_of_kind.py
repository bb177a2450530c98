"""What the ledger has of one kind, found without a walk past a mailing's disclosures."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0020"
down_revision = "0018"


def upgrade() -> None:
    """Create everything that 0020_ledger_of_kind.sql describes."""
    op.execute(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))
