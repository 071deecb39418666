"""Alembic's entry point; it uses the connection that `commands.upgrade` passes."""

from __future__ import annotations

from alembic import context

from services.store.schema import gateway, memory
from services.store.schema_versions import GATEWAY

name = context.config.attributes["database"]

metadata = gateway if name == GATEWAY else memory
tables = metadata.tables.keys()

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Each database has a version table of its own, because in PostgreSQL both share one database.
    version_table=f"{name}_version",
    # A migration that is interrupted leaves the database as it was.
    transactional_ddl=True,
    include_object=lambda _object, table, type_, reflected, _other: (
        type_ != "table" or not reflected or table in tables
    ),
)
with context.begin_transaction():
    context.run_migrations()
