"""Settlements that the database refused, to be looked at by the operator."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "settlements_set_apart",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("ledger_id", sa.Integer, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("set_apart_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("settlements_set_apart")
