"""An index for what one caller has spent in a month, which each purchase of a key with a budget adds up."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Create the index."""
    op.create_index("ledger_by_caller", "ledger", ["mode", "source", "caller", "month"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ledger_by_caller", "ledger")
