"""Rename `account` to `source` where it holds `modash` or `sandbox`, and `readings` to `metric_values`."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

BY_SOURCE = ("reports", "ledger", "ledger_months", "pendings", "creators", "balances")


def upgrade() -> None:
    """Rename a column of six tables, and one table; no row is touched."""
    for table in BY_SOURCE:
        op.alter_column(table, "account", new_column_name="source")
    op.rename_table("pendings", "pending_reports")
    op.rename_table("readings", "metric_values")


def downgrade() -> None:
    """Restore the old names of column and tables."""
    op.rename_table("metric_values", "readings")
    op.rename_table("pending_reports", "pendings")
    for table in BY_SOURCE:
        op.alter_column(table, "source", new_column_name="account")
