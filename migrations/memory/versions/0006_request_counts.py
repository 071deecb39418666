"""The requests of callers by minute, which the processes exchange so that a limit holds for all of them together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "request_counts",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("caller", sa.String(100), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("changed_at", sa.Double, nullable=False),
    )
    op.create_index("request_counts_by_changed_at", "request_counts", ["mode", "changed_at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("request_counts")
