"""The mode (live or sandbox) becomes part of every key; existing rows get theirs from what they hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from alembic import context, op

revision = "0006"
down_revision = "0005"

SANDBOX_ACCOUNT = "17841400000000000"  # the simulator's first account; no account of Instagram has this id
NUMBERED = ("reports", "ledger")  # tables with a number as their primary key
BY_SOURCE = ("reports", "ledger", "ledger_months", "pending_reports", "creators", "balances")
# The indexes that get the mode as their first column.
INDEXES: dict[str, tuple[str, list[str]]] = {
    "reports_by_creator": ("reports", ["source", "creator", "fetched_at"]),
    "ledger_open": ("ledger", ["source", "creator"]),
    "ledger_by_creator": ("ledger", ["source", "creator", "state"]),
    "ledger_by_state": ("ledger", ["source", "state", "opened_at"]),
    "jobs_by_due": ("jobs", ["due_at"]),
}


def upgrade() -> None:
    """Add the column and the mode of each row; no row is lost but those of workers, which write them again.

    A row of unknown origin becomes live where that can show no simulated number: an account with a token of the
    simulator, for example, is refused by Instagram. Only values of an account that is known to be simulated become
    sandbox values.
    """
    _drop_indexes()
    op.execute("DELETE FROM workers")
    for table in NUMBERED:
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("mode", sa.String(8), nullable=False, server_default="live"))
        with op.batch_alter_table(table) as batch:
            batch.alter_column("mode", server_default=None)
    for table, columns in _keyed().items():
        _rebuild(table, sa.Column("mode", sa.String(8), primary_key=True), *columns)
    for table in BY_SOURCE:
        op.execute(f"UPDATE {table} SET mode = 'sandbox' WHERE source = 'sandbox'")  # noqa: S608
    for account in _simulated_accounts():
        for table, column in (("accounts", "id"), ("metric_values", "account")):
            rows = sa.table(table, sa.column("mode"), sa.column(column))
            op.execute(rows.update().where(rows.c[column] == account).values(mode="sandbox"))
    op.execute("UPDATE jobs SET mode = 'sandbox' WHERE kind = 'balance' AND key = 'sandbox'")
    # The job of a report that is being made in both modes stays with the one that pays.
    pending = "SELECT creator FROM pending_reports WHERE mode ="
    op.execute(
        f"UPDATE jobs SET mode = 'sandbox' WHERE kind = 'report' "  # noqa: S608
        f"AND key IN ({pending} 'sandbox') AND key NOT IN ({pending} 'live')"
    )
    _create_indexes("mode")


def downgrade() -> None:
    """Remove the column; of rows that then have one key, the live one stays."""
    _drop_indexes()
    for table, columns in _keyed().items():
        keys = [column.name for column in columns if column.primary_key]
        same = " AND ".join(f"live.{key} = {table}.{key}" for key in keys)
        twice = f"SELECT 1 FROM {table} AS live WHERE live.mode = 'live' AND {same}"  # noqa: S608
        op.execute(f"DELETE FROM {table} WHERE mode = 'sandbox' AND EXISTS ({twice})")  # noqa: S608
        _rebuild(table, *columns)
    for table in NUMBERED:
        with op.batch_alter_table(table) as batch:
            batch.drop_column("mode")
    _create_indexes()


def _keyed() -> dict[str, list[sa.Column[object]]]:
    """Return the tables of which the mode is a part of the primary key, with their other columns."""
    return {
        "metric_values": [
            sa.Column("account", sa.String(64), primary_key=True),
            sa.Column("metric", sa.String(64), primary_key=True),
            sa.Column("breakdown", sa.String(64), primary_key=True),
            sa.Column("first_day", sa.String(10), primary_key=True),
            sa.Column("last_day", sa.String(10), primary_key=True),
            sa.Column("value", sa.Double),
            sa.Column("buckets", sa.Text),
            sa.Column("read_at", sa.Double, nullable=False),
        ],
        "accounts": [
            sa.Column("id", sa.String(64), primary_key=True),
            sa.Column("username", sa.String(64), nullable=False),
            sa.Column("login", sa.String(16), nullable=False),
            sa.Column("page_id", sa.String(64), nullable=False),
            sa.Column("token", sa.LargeBinary, nullable=False),
            sa.Column("added_at", sa.Double, nullable=False),
        ],
        "ledger_months": [
            sa.Column("source", sa.String(64), primary_key=True),
            sa.Column("month", sa.String(7), primary_key=True),
            sa.Column("milli_credits", sa.Integer, nullable=False),
        ],
        "pending_reports": [
            sa.Column("source", sa.String(64), primary_key=True),
            sa.Column("creator", sa.String(64), primary_key=True),
            sa.Column("asked_at", sa.Double, nullable=False),
            sa.Column("attempts", sa.Integer, nullable=False),
            sa.Column("message", sa.Text, nullable=False),
        ],
        "creators": [
            sa.Column("source", sa.String(64), primary_key=True),
            sa.Column("id", sa.String(32), primary_key=True),
            sa.Column("handle", sa.String(64), nullable=False),
        ],
        "balances": [
            sa.Column("source", sa.String(64), primary_key=True),
            sa.Column("credits", sa.Double),
            sa.Column("read_at", sa.Double, nullable=False),
        ],
        "jobs": [
            sa.Column("kind", sa.String(32), primary_key=True),
            sa.Column("key", sa.String(200), primary_key=True),
            sa.Column("payload", sa.Text, nullable=False),
            sa.Column("due_at", sa.Double),
            sa.Column("attempts", sa.Integer, nullable=False),
            sa.Column("holder", sa.String(64), nullable=False),
            sa.Column("lease_until", sa.Double, nullable=False),
            sa.Column("failure", sa.Text),
        ],
        "workers": [
            sa.Column("holder", sa.String(64), primary_key=True),
            sa.Column("host", sa.String(255), nullable=False),
            sa.Column("pid", sa.Integer, nullable=False),
            sa.Column("started_at", sa.Double, nullable=False),
            sa.Column("seen_at", sa.Double, nullable=False),
        ],
    }


def _rebuild(table: str, *columns: sa.Column[object]) -> None:
    """Give a table other columns and another primary key; a new `mode` is `live`."""
    names = [column.name for column in columns]
    kept = [name for name in names if name != "mode"]
    values = ", ".join("'live'" if name not in kept else name for name in names)
    op.create_table(f"{table}_new", *columns)
    op.execute(f"INSERT INTO {table}_new ({', '.join(names)}) SELECT {values} FROM {table}")  # noqa: S608
    op.drop_table(table)
    op.rename_table(f"{table}_new", table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER INDEX {table}_new_pkey RENAME TO {table}_pkey")


def _simulated_accounts() -> Sequence[str]:
    """Return the accounts that are the simulator's: by their id, or by their token where TOKEN_KEY opens it."""
    is_simulated: Callable[[bytes], bool] = context.config.attributes.get("is_simulated", lambda _token: False)
    rows = op.get_bind().execute(sa.text("SELECT id, token FROM accounts")).all()
    return [SANDBOX_ACCOUNT, *(id_ for id_, token in rows if isinstance(token, bytes) and is_simulated(token))]


def _drop_indexes() -> None:
    for name, (table, _) in INDEXES.items():
        op.drop_index(name, table)


def _create_indexes(*mode: str) -> None:
    is_open = sa.text("state = 'open'")
    for name, (table, columns) in INDEXES.items():
        if name == "ledger_open":
            op.create_index(name, table, [*mode, *columns], unique=True, sqlite_where=is_open, postgresql_where=is_open)
        else:
            op.create_index(name, table, [*mode, *columns])
