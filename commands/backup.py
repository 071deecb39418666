"""`make backup`: copies the gateway database while it is in use; with PostgreSQL, by `pg_dump`."""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from commands import DONE, Refused, UsageError
from commands.arguments import given_path
from commands.exit_status import end
from commands.isolation import isolated
from config import Config
from services.rendering.plurals import counted
from services.store import backup, postgresql_tools
from services.store.backup import BackupError, BackupTargetError
from services.store.postgresql_tools import Program

FOLDER = "backups"  # in INSTANCE_PATH
NAMED_BY_US = re.compile(r"gateway-\d{8}T\d{6}\.\d{3}Z\.(db|dump)")
EXAMPLE = """\
examples:
  make backup                                            into the folder backups of INSTANCE_PATH
  make backup ARGS="--out /mnt/backups --keep 14"        into a folder, of which the 14 newest backups stay
  make backup ARGS="--out before-upgrade.db"             a file of this name
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a backup; return 1 if there is none, 2 if it cannot be written there, with the reason in one sentence."""
    parser = _parser()
    options = parser.parse_args(arguments)
    return end(partial(_back_up, parser, options), stopped="Stopped; no backup was made.")


def _back_up(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    config = Config.from_env()
    target = _target(config, options.out)
    if options.keep is not None and not NAMED_BY_US.fullmatch(target.name):
        parser.error("--keep counts the backups of a folder; give --out a folder, or nothing")
    try:
        said = _dump(config, target) if config.database_url else _copy(config, target)
    except BackupTargetError as error:
        raise UsageError(f"No backup was made. {error}") from None
    except BackupError as error:
        raise Refused(f"No backup was made. {error}") from None
    print(f"{said}\n{target}")
    print("memory.db is not in it (a cache), nor is TOKEN_KEY, which opens the tokens of added accounts.")
    if options.keep is not None:
        _remove_old(target, options.keep)
    return DONE


def _target(config: Config, out: str | None) -> Path:
    ending = ".dump" if config.database_url else ".db"
    if out is not None and out.endswith(ending) and not Path(out).is_dir():
        return Path(out)
    now = datetime.now(UTC)
    name = f"gateway-{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03}Z{ending}"
    return (Path(config.instance_path) / FOLDER if out is None else Path(out)) / name


def _copy(config: Config, target: Path) -> str:
    copy = backup.back_up(config.instance_path, target)
    waiting = (
        f", {counted(copy.unbooked, 'result that waits', 'results that wait')} to be booked" if copy.unbooked else ""
    )
    size = target.stat().st_size / 1e6
    return f"Backed up: version {copy.version}, {counted(copy.reports, 'report')}{waiting}, {size:,.1f} MB, checked."


def _dump(config: Config, target: Path) -> str:
    """Run `pg_dump`, and have `pg_restore` read what it wrote."""
    if shutil.which("pg_dump") is None or shutil.which("pg_restore") is None:
        shown = postgresql_tools.dump(config.database_url, str(target)).shown()
        raise BackupError(
            "pg_dump is not installed here. Install the client programs of PostgreSQL, of the "
            f"version of the server or a newer one, or run on another machine (it takes the password from ~/.pgpass):"
            f"\n  {shown}"
        )
    with backup.new_file(target) as part, backup.with_unbooked(target, config.instance_path) as unbooked:
        _run(postgresql_tools.dump(config.database_url, str(part)))
        _run(postgresql_tools.check(str(part)))
    also = (
        f" {counted(unbooked, 'result that waits', 'results that wait')} to be booked: {backup.unbooked_of(target)}"
        if unbooked
        else ""
    )
    return f"Backed up with pg_dump, {target.stat().st_size / 1e6:,.1f} MB, checked.{also}"


def _run(program: Program) -> None:
    environment = isolated(program.environment)  # The program needs none of the gateway's credentials.
    ended = subprocess.run(program.arguments, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BackupError(f"{program.arguments[0]} says: {ended.stderr.strip()}")


def _remove_old(newest: Path, keep: int) -> None:
    """Remove the oldest backups of a folder beyond a number; their names have their times, and other files stay."""
    ours = [path for path in newest.parent.iterdir() if NAMED_BY_US.fullmatch(path.name)]
    # One with a later name was made before the clock was set back.
    ours.sort(key=lambda path: (path.name <= newest.name, path.name))
    stay = []
    for path in ours[:-keep]:
        try:
            path.unlink(missing_ok=True)  # Another backup may be removing the same.
            if (unbooked := backup.unbooked_of(path)).exists():
                shutil.rmtree(unbooked)
        except OSError as error:
            stay.append(f"{path}: {error.strerror}")
        else:
            print(f"Removed {path.name}.")
    if stay:
        raise Refused("\n".join(["The backup was made. Older ones cannot be removed:", *stay]))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("accepted: 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make backup", description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=given_path, metavar="PATH", help="a folder, or a file that ends in .db (PostgreSQL: .dump)"
    )
    parser.add_argument("--keep", type=_positive, metavar="N", help="remove all but the newest N backups of the folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
