"""Cached values, leases, change counters and quota usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "memories",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("part", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("fetched_at", sa.Double, nullable=False),
        sa.Column("kept_until", sa.Double, nullable=False),
    )
    op.create_index("memories_by_kept_until", "memories", ["kept_until"])
    op.create_table(
        "flights",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("failure", sa.Text),
    )
    op.create_index("flights_by_lease", "flights", ["lease_until"])
    op.create_index("flights_by_holder", "flights", ["holder"])
    op.create_table(
        "changes",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("counter", sa.Integer, nullable=False),
    )
    op.create_table(
        "usages",
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("percent", sa.Double, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("blocked_until", sa.Double),
        sa.Column("read_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("usages", "changes", "flights", "memories"):
        op.drop_table(table)
