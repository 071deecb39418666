"""No number of a story has an empty name: earlier states kept those of deliveries, which no import takes."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Delete them."""
    op.execute("DELETE FROM story_numbers WHERE metric = ''")


def downgrade() -> None:
    """Do nothing: what was deleted says nothing."""
