"""Changes of webhooks that failed are counted by an index: a week of comments may be a million changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Create the index."""
    is_failed = sa.text("state = 'failed'")
    op.create_index(
        "webhook_changes_failed", "webhook_changes", ["mode"], sqlite_where=is_failed, postgresql_where=is_failed
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("webhook_changes_failed")
