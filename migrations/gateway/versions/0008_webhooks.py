"""Deliveries of webhooks, and the changes in them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "webhook_deliveries",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("signed_by", sa.String(16), nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("read_at", sa.Double),
        sa.Column("failure", sa.Text),
    )
    op.create_index("webhook_deliveries_by_read_at", "webhook_deliveries", ["mode", "read_at", "received_at"])
    op.create_table(
        "webhook_changes",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("field", sa.String(64), nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("due_at", sa.Double),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("applied_at", sa.Double),
        sa.Column("failure", sa.Text),
    )
    op.create_index("webhook_changes_by_due_at", "webhook_changes", ["mode", "due_at"])
    op.create_index("webhook_changes_by_received_at", "webhook_changes", ["mode", "received_at"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("webhook_changes")
    op.drop_table("webhook_deliveries")
