"""How `commands.migrate` brings a database that is not current to the version of this code: with Alembic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, create_engine, inspect

from commands import MigrationError
from services.store.database import is_newer, version_fault

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def upgrade(name: str, connection: Connection, *, is_simulated: Callable[[bytes], bool]) -> str | None:
    """Bring one database to the newest version, and return the version that it had."""
    try:
        return _upgrade(name, connection, is_simulated=is_simulated)
    except CommandError as error:
        raise MigrationError(f"The database cannot be migrated: {error}.") from None


def _upgrade(name: str, connection: Connection, *, is_simulated: Callable[[bytes], bool]) -> str | None:
    found = MigrationContext.configure(connection, opts={"version_table": f"{name}_version"}).get_current_revision()
    connection.rollback()
    if found is not None and found not in known_versions(name):
        unknown = f"The {name} database is at version {found}, which this code does not know. Restore a backup."
        raise MigrationError(version_fault(name, found) if is_newer(name, found) else unknown)
    settings = alembic_config(name)
    settings.attributes["connection"] = connection
    settings.attributes["is_simulated"] = is_simulated
    command.upgrade(settings, "head")
    connection.commit()
    return found


def alembic_config(name: str) -> AlembicConfig:
    """Return the Alembic configuration of one database."""
    settings = AlembicConfig()
    folder = str(MIGRATIONS).replace("%", "%%")  # Alembic's options have a syntax of their own.
    settings.set_main_option("script_location", folder)
    settings.set_main_option("version_locations", f"{folder}/{name}/versions")
    settings.set_main_option("path_separator", "os")
    settings.attributes["database"] = name
    return settings


def known_versions(name: str) -> list[str]:
    """Return every version of one database that the migrations know."""
    return [each.revision for each in ScriptDirectory.from_config(alembic_config(name)).walk_revisions()]


def tables_at(name: str, version: str) -> Mapping[str, Collection[str]]:
    """Return the tables that one database has at a version, each with its columns."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            settings = alembic_config(name)
            settings.attributes["connection"] = connection
            command.upgrade(settings, version)
            schema = inspect(connection)
            return {
                table: [column["name"] for column in schema.get_columns(table)] for table in schema.get_table_names()
            }
    finally:
        engine.dispose()
