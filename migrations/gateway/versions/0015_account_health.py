"""What is known of whether each account can be read: its last answer, rejection and check."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "account_health",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("answered_at", sa.Double),
        sa.Column("rejected_at", sa.Double),
        sa.Column("rejected_as", sa.String(64)),
        sa.Column("checked_at", sa.Double),
        sa.Column("failed_as", sa.String(64)),
        sa.Column("failure", sa.Text),
        sa.Column("next_step", sa.Text),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("account_health")
