"""Stories with their numbers, and when those of each account were last read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "stories",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("ordered_at", sa.Double, nullable=False),
        sa.Column("created_at", sa.Double),
        sa.Column("media_type", sa.String(32)),
        sa.Column("permalink", sa.Text),
        sa.Column("read_at", sa.Double),
        sa.Column("delivered_at", sa.Double),
    )
    op.create_index("stories_by_account", "stories", ["mode", "account", "ordered_at"])
    op.create_index("stories_by_id", "stories", ["mode", "id"])
    op.create_table(
        "story_numbers",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("story", sa.String(64), primary_key=True),
        sa.Column("metric", sa.String(64), primary_key=True),
        sa.Column("bucket", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(16), primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("reason", sa.String(64)),
        sa.Column("read_at", sa.Double, nullable=False),
    )
    op.create_table(
        "story_reads",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("begun_at", sa.Double, nullable=False),
        sa.Column("read_at", sa.Double),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("story_reads")
    op.drop_table("story_numbers")
    op.drop_index("stories_by_id", "stories")
    op.drop_index("stories_by_account", "stories")
    op.drop_table("stories")
