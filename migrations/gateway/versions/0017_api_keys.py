"""API keys, as digests, and the number of their changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "api_keys",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("former_digest", sa.String(64)),
        sa.Column("former_until", sa.Double),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("accounts", sa.Text),
        sa.Column("requests_per_minute", sa.Integer),
        sa.Column("milli_credits", sa.Integer),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("rotated_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
    )
    op.create_table(
        "change_counters",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("counter", sa.Integer, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("change_counters")
    op.drop_table("api_keys")
