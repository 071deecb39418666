"""The history keeps provisional and unknown values too, with their origin, and the follower count of each day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns and tables; every value that was kept before is a final one of its mode's provider."""
    with op.batch_alter_table("metric_values") as batch:
        batch.add_column(sa.Column("reason", sa.String(64)))
        batch.add_column(sa.Column("final", sa.Integer, nullable=False, server_default="1"))
        batch.add_column(sa.Column("source", sa.String(16), nullable=False, server_default="instagram"))
        batch.add_column(sa.Column("api_version", sa.String(16)))
    op.execute("UPDATE metric_values SET source = 'sandbox' WHERE mode = 'sandbox'")
    with op.batch_alter_table("metric_values") as batch:
        batch.alter_column("final", server_default=None)
        batch.alter_column("source", server_default=None)
    op.create_table(
        "follower_counts",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("followers", sa.Double, nullable=False),
        sa.Column("follows", sa.Double),
        sa.Column("media_count", sa.Double),
        sa.Column("read_at", sa.Double, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("api_version", sa.String(16)),
    )
    op.create_table(
        "account_snapshots",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("day", sa.String(10)),
        sa.Column("taken_at", sa.Double),
        sa.Column("backfill_begun_at", sa.Double),
        sa.Column("backfill_ended_at", sa.Double),
        sa.Column("backfill_total", sa.Integer),
        sa.Column("backfill_left", sa.Integer),
    )


def downgrade() -> None:
    """Remove them, and the values that are not final."""
    op.drop_table("account_snapshots")
    op.drop_table("follower_counts")
    op.execute("DELETE FROM metric_values WHERE final = 0")
    with op.batch_alter_table("metric_values") as batch:
        batch.drop_column("api_version")
        batch.drop_column("source")
        batch.drop_column("final")
        batch.drop_column("reason")
