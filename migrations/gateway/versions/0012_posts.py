"""Posts, their numbers at fixed ages and in between, and when each account's posts were looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "posts",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("posted_at", sa.Double, nullable=False),
        sa.Column("media_type", sa.String(32)),
        sa.Column("media_product_type", sa.String(32)),
        sa.Column("permalink", sa.Text),
        sa.Column("caption", sa.Text),
        sa.Column("first_seen_at", sa.Double, nullable=False),
        sa.Column("last_seen_at", sa.Double, nullable=False),
    )
    op.create_index("posts_by_posted_at", "posts", ["mode", "account", "posted_at"])
    op.create_table(
        "post_readings",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("post", sa.String(64), primary_key=True),
        sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("age_label", sa.Integer),
        sa.Column("likes", sa.Double),
        sa.Column("comments", sa.Double),
        sa.Column("counts_read_at", sa.Double),
        sa.Column("counts_reasons", sa.Text),
        sa.Column("reach", sa.Double),
        sa.Column("views", sa.Double),
        sa.Column("saved", sa.Double),
        sa.Column("shares", sa.Double),
        sa.Column("total_interactions", sa.Double),
        sa.Column("insights_read_at", sa.Double),
        sa.Column("insights_reasons", sa.Text),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("api_version", sa.String(16)),
    )
    op.create_table(
        "post_looks",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("looked_at", sa.Double),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("post_looks")
    op.drop_table("post_readings")
    op.drop_table("posts")
