"""How Alembic reaches a database: with the connection that `commands.migrate` hands it."""

from __future__ import annotations

from alembic import context

from services.store.schema import GATEWAY, gateway, memory

name = context.config.attributes["database"]

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=gateway if name == GATEWAY else memory,
    # Each database has its own row of versions, for in PostgreSQL both stand side by side.
    version_table=f"{name}_version",
    include_object=lambda _object, table, type_, _reflected, _other: type_ != "table" or not table.endswith("_version"),
)
with context.begin_transaction():
    context.run_migrations()
