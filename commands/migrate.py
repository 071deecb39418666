"""`make migrate`: bring both databases to the version this code needs."""

from __future__ import annotations

import fcntl
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from config import Config, ConfigError
from services.store import addresses

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
LOCK = 7_251_902_117  # any number that nobody else locks


def main() -> int:
    """Migrate what the settings name; say what went wrong, if something did."""
    try:
        migrate(Config.from_env())
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        print(f"The database cannot be migrated: {type(cause).__name__}: {cause}", file=sys.stderr)
        return 1
    return 0


def migrate(config: Config) -> None:
    """Bring the databases of some settings to the newest version; where they are there already, nothing happens."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _alone(None if config.database_url else Path(config.instance_path)):
        for name, url in addresses(config.database_url, config.instance_path).items():
            engine = create_engine(url)
            try:
                with engine.connect() as connection:
                    _upgrade(name, connection)
            finally:
                engine.dispose()


def alembic_config(name: str) -> AlembicConfig:
    """Return what Alembic has to know of a database's migrations."""
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(MIGRATIONS))
    settings.set_main_option("version_locations", str(MIGRATIONS / name / "versions"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["database"] = name
    return settings


@contextmanager
def _alone(folder: Path | None) -> Iterator[None]:
    """Let one process at a time migrate the files of a folder, for two that start at once would both create them."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _upgrade(name: str, connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
    settings = alembic_config(name)
    settings.attributes["connection"] = connection
    command.upgrade(settings, "head")
    connection.commit()


if __name__ == "__main__":
    sys.exit(main())
