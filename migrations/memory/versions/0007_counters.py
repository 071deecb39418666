"""Counts of all processes and values of each, for GET /metrics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "counters",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("labels", sa.String(200), primary_key=True),
        sa.Column("value", sa.Double, nullable=False),
    )
    op.create_table(
        "process_gauges",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("process", sa.String(64), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("process_gauges")
    op.drop_table("counters")
