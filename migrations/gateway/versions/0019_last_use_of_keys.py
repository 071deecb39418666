"""When each API key was used last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the column."""
    op.add_column("api_keys", sa.Column("last_used_at", sa.Double))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("api_keys", "last_used_at")
