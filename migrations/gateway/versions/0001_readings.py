"""Values of finished days."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "readings",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("breakdown", sa.String(64), primary_key=True),
        sa.Column("first_day", sa.String(10), primary_key=True),
        sa.Column("last_day", sa.String(10), primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("buckets", sa.Text),
        sa.Column("read_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("readings")
