"""Which account each media belongs to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "media",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("product_type", sa.String(32)),
        sa.Column("media_type", sa.String(32)),
        sa.Column("created_at", sa.Double),
        sa.Column("has_link", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("media")
