"""The throttles of the providers, so that a restart and every other process respect them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "throttles",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("began_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False),
        sa.Column("next_call_at", sa.Double, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("throttles")
