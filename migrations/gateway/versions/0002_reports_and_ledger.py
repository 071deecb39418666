"""Reports, and the ledger of what each of them cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "reports",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("creator", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("fetched_at", sa.Double, nullable=False),
        sa.Column("milli_credits", sa.Integer, nullable=False),
        sa.Column("credits_left", sa.Double),
    )
    op.create_index("reports_by_creator", "reports", ["account", "creator", "fetched_at"])
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("creator", sa.String(64), nullable=False),
        sa.Column("caller", sa.String(64), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("milli_credits", sa.Integer, nullable=False),
        sa.Column("opened_at", sa.Double, nullable=False),
        sa.Column("settled_at", sa.Double),
        sa.Column("code", sa.String(64)),
    )
    is_open = sa.text("state = 'open'")
    op.create_index(
        "ledger_open", "ledger", ["account", "creator"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("ledger_by_creator", "ledger", ["account", "creator", "state"])
    op.create_index("ledger_by_state", "ledger", ["account", "state", "opened_at"])
    op.create_table(
        "ledger_months",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("milli_credits", sa.Integer, nullable=False),
    )
    op.create_table(
        "pendings",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("creator", sa.String(64), primary_key=True),
        sa.Column("asked_at", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
    op.create_table(
        "creators",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("handle", sa.String(64), nullable=False),
    )
    op.create_table(
        "balances",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("credits", sa.Double),
        sa.Column("read_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("balances", "creators", "pendings", "ledger_months", "ledger", "reports"):
        op.drop_table(table)
