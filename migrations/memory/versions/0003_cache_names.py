"""Rename the tables: cache entries, leases, cache versions, quota usage, rate limits."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

TABLES = {
    "memories": "cache_entries",
    "flights": "leases",
    "changes": "cache_versions",
    "usages": "quota_usage",
    "paces": "rate_limits",
}
INDEXES = {
    "memories_by_kept_until": ("cache_entries", "cache_entries_by_kept_until", ["kept_until"]),
    "flights_by_lease": ("leases", "leases_by_lease_until", ["lease_until"]),
    "flights_by_holder": ("leases", "leases_by_holder", ["holder"]),
}


def upgrade() -> None:
    """Rename tables and indexes."""
    for old, new in TABLES.items():
        op.rename_table(old, new)
    for old, (table, new, columns) in INDEXES.items():
        op.drop_index(old, table)
        op.create_index(new, table, columns)


def downgrade() -> None:
    """Restore the old names of tables and indexes."""
    for old, (table, new, columns) in INDEXES.items():
        op.drop_index(new, table)
        op.create_index(old, table, columns)
    for old, new in TABLES.items():
        op.rename_table(new, old)
