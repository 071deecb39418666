"""The mode (live or sandbox) becomes part of every key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TABLES = ("cache_entries", "leases", "cache_versions", "quota_usage", "rate_limits")


def upgrade() -> None:
    """Create the tables again, empty: it is unknown whether a cached value came from a provider or the simulator.

    All of it is fetched again when it is asked for, and nothing here was paid for.
    """
    _drop()
    _create(has_mode=True)


def downgrade() -> None:
    """Restore the tables without a mode, empty."""
    _drop()
    _create(has_mode=False)


def _drop() -> None:
    for table in TABLES:
        op.drop_table(table)


def _mode(*, has_mode: bool) -> list[sa.Column[str]]:
    return [sa.Column("mode", sa.String(8), primary_key=True)] if has_mode else []


def _create(*, has_mode: bool) -> None:
    names = ["mode"] if has_mode else []
    op.create_table(
        "cache_entries",
        *_mode(has_mode=has_mode),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("part", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
        sa.Column("fetched_at", sa.Double, nullable=False),
        sa.Column("kept_until", sa.Double, nullable=False),
    )
    op.create_index("cache_entries_by_kept_until", "cache_entries", [*names, "kept_until"])
    op.create_table(
        "leases",
        *_mode(has_mode=has_mode),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("failure", sa.Text),
    )
    op.create_index("leases_by_lease_until", "leases", [*names, "lease_until"])
    op.create_index("leases_by_holder", "leases", ["holder"])
    op.create_table(
        "cache_versions",
        *_mode(has_mode=has_mode),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("counter", sa.Integer, nullable=False),
    )
    op.create_table(
        "quota_usage",
        *_mode(has_mode=has_mode),
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("percent", sa.Double, nullable=False),
        sa.Column("kinds", sa.Text, nullable=False),
        sa.Column("blocked_until", sa.Double),
        sa.Column("read_at", sa.Double, nullable=False),
    )
    op.create_table(
        "rate_limits",
        *_mode(has_mode=has_mode),
        sa.Column("provider", sa.String(16), primary_key=True),
        sa.Column("next_at", sa.Double, nullable=False),
    )
