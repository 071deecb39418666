"""How Alembic reaches a database: with the connection that `commands.migrate` hands it."""

from __future__ import annotations

from alembic import context

from services.store.schema import GATEWAY, gateway, memory

name = context.config.attributes["database"]

metadata = gateway if name == GATEWAY else memory
tables = metadata.tables.keys()

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Each database has its own row of versions, for in PostgreSQL both stand side by side.
    version_table=f"{name}_version",
    include_object=lambda _object, table, type_, reflected, _other: (
        type_ != "table" or not reflected or table in tables
    ),
)
with context.begin_transaction():
    context.run_migrations()
