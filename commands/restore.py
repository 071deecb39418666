"""`make restore`: puts a backup in the place of the gateway database, while nothing uses it."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from commands import DONE, MigrationError, Refused, UsageError
from commands.exit_status import end
from commands.migrate import alone, migrate_or_explain
from commands.upgrade import known_versions, tables_at
from config import Config
from services.rendering.plurals import counted
from services.store import backup, postgresql_tools
from services.store.backup import BackupError, BackupFileError
from services.store.schema_versions import GATEWAY
from services.store.settlement_spool import spool_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Restore a backup; return 1 if nothing was restored, 2 if the file or the database cannot be used, and say why."""
    options = _parser().parse_args(arguments)
    return end(partial(_run, options.file))


def _run(name: str) -> int:
    config = Config.from_env()
    if config.database_url:
        raise UsageError(_with_postgresql(config, name))
    try:
        _restore(config, Path(name))
    except BackupFileError as error:
        raise UsageError(f"Nothing was restored. {error}") from None
    except (OSError, BackupError) as error:
        raise Refused(f"Nothing was restored. {error}") from None
    except MigrationError as error:
        raise Refused(f"The backup is in place, and not migrated yet. {error}") from None
    return DONE


def _restore(config: Config, file: Path) -> None:
    known = known_versions(GATEWAY)
    now = datetime.now(UTC)
    with alone(Path(config.instance_path)):
        copy, replaced = backup.restore(
            file,
            config.instance_path,
            known=known,
            tables_at=partial(tables_at, GATEWAY),
            aside=f"replaced-{now:%Y%m%dT%H%M%S}Z",
        )
    print(f"Restored {file}: version {copy.version}, {counted(copy.reports, 'report')}.")
    if replaced is not None:
        print(f"The replaced database is {replaced}.")
    if copy.unbooked:
        results = counted(copy.unbooked, "result of a call waits", "results of calls wait")
        print(f"{results} to be booked, in {config.instance_path}/unbooked.")
    migrate_or_explain(config)
    print("What was paid after the backup is missing: compare /credits with the balance that Modash shows.")
    print("TOKEN_KEY must be the one of the time of the backup. Start the gateway and the worker now.")


def _with_postgresql(config: Config, file: str) -> str:
    create, fill = postgresql_tools.restore(config.database_url, file, f"insights_{datetime.now(UTC):%Y%m%d_%H%M%S}")
    unbooked, folder = backup.unbooked_of(Path(file)), spool_folder(config.instance_path)
    copy = f"  {shlex.join(['cp', '-R', f'{unbooked}/.', str(folder)])}\n" if unbooked.is_dir() else ""
    return (
        "Nothing was restored: with DATABASE_URL, PostgreSQL's own programs do it, into a new database, so that the "
        "present one stays as it is.\nStop every gateway and worker, then (the password comes from PGPASSWORD or "
        f"~/.pgpass):\n  {create.shown()}\n  {fill.shown()}\n{copy}"
        "Put the name of the new database into DATABASE_URL, run `make migrate`, and start them again."
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make restore", description=__doc__)
    parser.add_argument("file", help="what `make backup` made")
    return parser


if __name__ == "__main__":
    sys.exit(main())
