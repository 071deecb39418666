"""What is known of the token of each account."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "account_tokens",
        sa.Column("mode", sa.String(8), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(32), primary_key=True),
        sa.Column("given_fingerprint", sa.String(32), nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("written_at", sa.Double, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("pending", sa.LargeBinary),
        sa.Column("pending_expires_at", sa.Double),
        sa.Column("issued_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("data_access_expires_at", sa.Double),
        sa.Column("refresh_due_at", sa.Double),
        sa.Column("kind", sa.String(16)),
        sa.Column("scopes", sa.Text),
        sa.Column("missing_scopes", sa.Text),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("reason", sa.String(64)),
        sa.Column("failure", sa.Text),
        sa.Column("failed_with", sa.String(32)),
        sa.Column("checked_at", sa.Double),
        sa.Column("warned_days", sa.Integer),
    )
    op.create_index("account_tokens_by_written_at", "account_tokens", ["mode", "written_at"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("account_tokens")
