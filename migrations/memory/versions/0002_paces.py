"""The time of the next call to each provider."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "paces",
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("next_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("paces")
