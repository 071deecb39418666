"""`make migrate`: bring both databases to the version this code needs."""

from __future__ import annotations

import argparse
import fcntl
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

import logs
from commands import DONE, MigrationError, StoreUnavailableError
from commands.exit_status import end
from config import Config
from services.accounts.token_encryption import TokenEncryption
from services.errors import ProviderNotConfiguredError
from services.redaction import Redaction
from services.store.schema_versions import VERSIONS
from services.store.store import addresses

LOCK = 7_251_902_117  # the key of the advisory lock; any number that no other program uses
CONNECT_TIMEOUT = 10  # seconds
SIMULATED_TOKENS = ("EAASANDBOX", "EAASIM", "IGAASANDBOX", "IGAASIM")  # how the tokens of the simulator begin


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate the store of the settings and print what was done, or the fault."""
    parser = argparse.ArgumentParser(prog="make migrate", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="print only what has changed")
    return end(partial(_run, quiet=parser.parse_args(arguments).quiet))


def _run(*, quiet: bool) -> int:
    config = Config.from_env()
    # A service manager runs it before the service, so the warnings of its libraries are in the same log.
    logs.set_up(config.log_level, Redaction(config.secrets))
    for done in migrate_or_explain(config):
        if done.before != done.after or not quiet:
            print(done.in_words())
    return DONE


class Migrated(NamedTuple):
    """The versions of a database before and after a migration; None before its first one."""

    name: str
    before: str | None
    after: str

    def in_words(self) -> str:
        """Return one line for a terminal."""
        if self.before is None:
            return f"The {self.name} database was created, at version {self.after}."
        if self.before == self.after:
            return f"The {self.name} database is at version {self.after}, the one that this code needs."
        return f"The {self.name} database was brought from version {self.before} to {self.after}."


def migrate_or_explain(config: Config) -> list[Migrated]:
    """Bring the store to the newest version, or raise `MigrationError` with a text for a terminal."""
    try:
        return migrate(config)
    except OSError as error:
        raise MigrationError(f"The store cannot be created: {error}") from None
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        text_ = " ".join(str(cause).split())
        kind = StoreUnavailableError if isinstance(error, OperationalError) else MigrationError
        raise kind(f"The database cannot be migrated: {type(cause).__name__}: {text_}") from None


def migrate(config: Config) -> list[Migrated]:
    """Bring both databases to the newest version; a current database is not changed."""
    done = []
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with alone(None if config.database_url else Path(config.instance_path)):
        for name, url in addresses(config.database_url, config.instance_path).items():
            timeout = {"connect_timeout": CONNECT_TIMEOUT} if config.database_url else {}
            engine = create_engine(url, connect_args=timeout)
            if engine.dialect.name == "sqlite":
                _begin_explicitly(engine)
            try:
                with engine.connect() as connection:
                    before = _upgrade(name, connection, is_simulated=_is_simulated(config))
                    done.append(Migrated(name, before, VERSIONS[name]))
            finally:
                engine.dispose()
    return done


@contextmanager
def alone(folder: Path | None) -> Iterator[None]:
    """Let one process at a time migrate or restore the files of a folder: two at once would both create the tables."""
    if folder is None:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "migrate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _begin_explicitly(engine: Engine) -> None:
    """Make a migration of SQLite one transaction: by itself the driver commits before each change of a table."""

    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))


def _is_simulated(config: Config) -> Callable[[bytes], bool]:
    """Return the function that returns whether an encrypted token is one of the simulator, as far as a key opens it."""
    encryption = TokenEncryption(config.token_keys, learn=lambda _: None)

    def is_simulated(sealed: bytes) -> bool:
        try:
            return encryption.open(sealed).startswith(SIMULATED_TOKENS)
        except ProviderNotConfiguredError:
            return False

    return is_simulated


def _upgrade(name: str, connection: Connection, *, is_simulated: Callable[[bytes], bool]) -> str | None:
    """Migrate one database, and return the version that it had."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
    is_current = _versions(name, connection) == [VERSIONS[name]]
    connection.rollback()
    if is_current:
        return VERSIONS[name]
    # Importing Alembic and its list of the migrations is a quarter of a command, and nearly always for nothing.
    from commands.upgrade import upgrade  # noqa: PLC0415

    return upgrade(name, connection, is_simulated=is_simulated)


def _versions(name: str, connection: Connection) -> list[str]:
    """Return what the version table of a database has; nothing where there is none yet."""
    table = f"{name}_version"
    if not connection.dialect.has_table(connection, table):
        return []
    return list(connection.execute(text(f"SELECT version_num FROM {table}")).scalars())  # noqa: S608


if __name__ == "__main__":
    sys.exit(main())
