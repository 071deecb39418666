"""Copies of the gateway database in a SQLite file: made while it is in use, checked, and put back.

A plain copy of the file misses what is in its write-ahead log, and may be torn by a checkpoint. SQLite's own online
backup reads one moment of the database while others go on to write.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from services.store.instance_lock import InstanceLock, InUseError
from services.store.schema_versions import GATEWAY
from services.store.settlement_spool import FOLDER, spool_folder, spooled_files, write_spooled_files

STEP = 2_000  # pages after which a signal such as Ctrl-C is noticed
COPY_BUSY_TIMEOUT = 30.0  # seconds; a backup can wait longer for another transaction than a request
PART, RESTORING = ".part", ".restoring"
SIDE_FILES = ("-wal", "-shm", "-journal")
# In a copy only: the files of the settlement spool, which hold paid reports too.
SPOOL_TABLE = "spooled_settlements"


TablesAt = Callable[[str], Mapping[str, Collection[str]]]
"""Returns the tables of a version of the schema, each with its columns."""


class BackupError(Exception):
    """A backup cannot be made or restored, and nothing has changed; the text says why, for a terminal."""


class BackupFileError(BackupError):
    """The file that was given is no backup that can be restored."""


class BackupTargetError(BackupError):
    """The file that was given for a backup is there already, or its folder cannot be used."""


@dataclass(frozen=True)
class Copy:
    """What a checked copy holds: its schema, the number of reports, and of results that were not booked yet."""

    version: str
    reports: int
    unbooked: int


def file_of(instance_path: str) -> Path:
    """Return the file of the gateway database."""
    return Path(instance_path) / f"{GATEWAY}.db"


def back_up(instance_path: str, target: Path) -> Copy:
    """Copy the gateway database of a folder to a new file, durably; raises `BackupError`.

    The file appears complete and checked, or not at all, and it never replaces another one.
    """
    source = file_of(instance_path)
    if not source.exists():
        raise BackupError(f"There is no database {source}.")
    with new_file(target) as part:
        # The spool first: what is booked in between is in both then, and booking it twice changes nothing.
        spooled = spooled_files(instance_path)
        _copy_pages(source, part)
        _keep_spooled(part, spooled)
        return examined(part)


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """Give an empty file to write a backup to, which gets its name, durably, when the block has succeeded.

    Raises `BackupError` also for what the block raises because of the disk or the database.
    """
    with _alone_in(target.parent), _explained(target):
        if target.exists():
            raise BackupTargetError(f"{target} exists already, and a backup never replaces one.")
        _remove_remains(target.parent)
        with _part_of(target, PART) as part:
            yield part
            _synchronize(part)
            part.rename(target)
        _synchronize(target.parent)


def unbooked_of(backup: Path) -> Path:
    """Return the folder beside a backup of PostgreSQL in which its results wait to be booked; it may not exist."""
    return backup.with_name(f"{backup.name}.{FOLDER}")


@contextmanager
def with_unbooked(target: Path, instance_path: str) -> Iterator[int]:
    """Have the results that wait to be booked put beside a backup that the block writes; give their number.

    They are read before the block: what is booked meanwhile is in both then, and booking it twice changes nothing.
    """
    spooled, folder = spooled_files(instance_path), unbooked_of(target)
    if spooled and folder.exists():
        raise BackupTargetError(f"{folder} exists already, and a backup never replaces one.")
    yield len(spooled)
    try:
        write_spooled_files(folder, spooled)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def restore(
    backup: Path, instance_path: str, *, known: Collection[str], tables_at: TablesAt, aside: str
) -> tuple[Copy, Path | None]:
    """Put a copy in the place of the gateway database, durably; raises `BackupError`.

    `known` are the versions of the schema that this code can bring to its own, `tables_at` gives the tables of each,
    `aside` is what the name of the replaced file ends in. Return what the copy holds, and where the replaced file is.
    """
    lock = InstanceLock(instance_path)
    with _explained(backup):
        _require_file(backup)
        _refuse_foreign_owner(Path(instance_path))
        try:
            lock.take_alone()
        except InUseError as error:
            raise BackupError(f"{error} Stop them, then restore again.") from None
    try:
        with _explained(backup):
            target = file_of(instance_path)
            with _part_of(target, RESTORING) as part:
                _copy_file(backup, part)
                copy = examined(part)
                _refuse_unknown_version(copy.version, known)
                _refuse_missing_tables(part, copy.version, tables_at(copy.version))
                spooled = _take_spooled(part)
                _synchronize(part)
                _finish_writing(target)
                write_spooled_files(spool_folder(instance_path), spooled)
                replaced = _set_aside(target, f"{target.name}.{aside}")
                part.rename(target)
            _synchronize(target.parent)
    finally:
        lock.release()
    return copy, replaced


def examined(file: Path) -> Copy:
    """Check a copy, which becomes one file without a log beside it; raises `BackupError`."""
    try:
        with closing(_connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=DELETE")
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if found != ["ok"]:
                raise BackupFileError(f"The file is damaged, or no database: {'; '.join(found)}.")
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if f"{GATEWAY}_version" not in tables:
                raise BackupFileError(f"This is no {GATEWAY} database: it has no table {GATEWAY}_version.")
            version = connection.execute(f"SELECT version_num FROM {GATEWAY}_version").fetchone()  # noqa: S608
            counts = [
                connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] if table in tables else 0  # noqa: S608
                for table in ("reports", SPOOL_TABLE)
            ]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        raise BackupFileError(f"The file is damaged, or no database: {error}.") from None
    return Copy("none" if version is None else str(version[0]), *counts)


def _connect(file: Path) -> sqlite3.Connection:
    # `rw` without `c`: SQLite must not create a missing file.
    address = f"{file.resolve().as_uri()}?mode=rw"
    return sqlite3.connect(address, uri=True, timeout=COPY_BUSY_TIMEOUT, isolation_level=None)


def _copy_pages(source: Path, part: Path) -> None:
    """Copy one moment of a database that others may write to meanwhile."""
    with closing(_connect(source)) as read, closing(_connect(part)) as written:
        # No other process sees the part before it is complete and synchronized, so it needs no journal.
        written.execute("PRAGMA journal_mode=OFF")
        written.execute("PRAGMA synchronous=OFF")
        # Within a transaction the copy stays at one moment; without it, each write of others would start it again.
        read.execute("BEGIN")
        read.execute("SELECT count(*) FROM sqlite_master").fetchone()
        read.backup(written, pages=STEP)
        read.execute("ROLLBACK")


def _require_file(backup: Path) -> None:
    """Refuse what is no file that can be read, before anything has to be stopped for it."""
    if backup.is_dir():
        raise BackupFileError(f"{backup} is a folder; give the file that `make backup` made.")
    try:
        backup.open("rb").close()
    except OSError as error:
        raise BackupFileError(f"{error.filename or backup}: {error.strerror or error}.") from None


def _copy_file(backup: Path, part: Path) -> None:
    """Copy a backup, with the log of one that was copied as plain files."""
    for ending in ("", "-wal"):
        original = backup.with_name(backup.name + ending)
        if ending and not original.exists():
            continue
        with original.open("rb") as read, part.with_name(part.name + ending).open("wb") as written:
            while chunk := read.read(1 << 20):
                written.write(chunk)


def _keep_spooled(part: Path, spooled: Mapping[str, str]) -> None:
    with closing(_connect(part)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("BEGIN")
        connection.execute(f"CREATE TABLE {SPOOL_TABLE} (name TEXT PRIMARY KEY, content TEXT NOT NULL)")
        connection.executemany(f"INSERT INTO {SPOOL_TABLE} VALUES (?, ?)", spooled.items())  # noqa: S608
        connection.execute("COMMIT")


def _take_spooled(part: Path) -> dict[str, str]:
    """Return the files of the spool, and remove them from the copy, whose schema is that of the code again."""
    with closing(_connect(part)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", [SPOOL_TABLE]).fetchone():
            return {}
        spooled = dict(connection.execute(f"SELECT name, content FROM {SPOOL_TABLE}").fetchall())  # noqa: S608
        connection.execute(f"DROP TABLE {SPOOL_TABLE}")
        return spooled


def _finish_writing(target: Path) -> None:
    """Write the log into the file that is replaced, so that it is complete; refuse one that is in use."""
    if not target.exists():
        return
    try:
        with closing(_connect(target)) as connection:
            connection.execute("PRAGMA busy_timeout=1000")
            connection.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise BackupError(f"Another program uses {target}. Stop it, then restore again.") from None
        # It is damaged, which may be why a backup is restored. It is set aside with its log as it is.


def _unused(file: Path) -> Path:
    """Return a name that no file has: two restores may come within one second."""
    number, candidate = 1, file
    while candidate.exists():
        number += 1
        candidate = file.with_name(f"{file.name}-{number}")
    return candidate


def _set_aside(target: Path, name: str) -> Path | None:
    if not target.exists():
        for ending in SIDE_FILES:
            target.with_name(target.name + ending).unlink(missing_ok=True)
        return None
    replaced = _unused(target.with_name(name))
    for ending in SIDE_FILES:
        # A log of the replaced file would be applied to the restored one.
        with suppress(FileNotFoundError):
            target.with_name(target.name + ending).rename(replaced.with_name(replaced.name + ending))
    try:
        os.link(target, replaced)  # So there is a database at every moment.
    except OSError:  # Not every file system has links.
        target.rename(replaced)
    return replaced


def _refuse_unknown_version(version: str, known: Collection[str]) -> None:
    if version in known:
        return
    if version.isdigit() and version > max(known):
        raise BackupFileError(
            f"The backup has version {version} of the {GATEWAY} database, which is newer than this code "
            f"({max(known)}). Restore it with the release that made it, or a newer one."
        )
    raise BackupFileError(f"The backup has version {version} of the {GATEWAY} database, which this code does not know.")


def _refuse_missing_tables(part: Path, version: str, needed: Mapping[str, Collection[str]]) -> None:
    """Refuse a copy without some tables or columns: the gateway would fail where it uses them, not at its start."""
    with closing(_connect(part)) as connection:
        columns = connection.execute(
            "SELECT m.name, c.name FROM sqlite_master m, pragma_table_info(m.name) c WHERE m.type = 'table'"
        )
        found = set(columns.fetchall())
    missing = [
        table if not any(name == table for name, _ in found) else f"{table}.{column}"
        for table, names in needed.items()
        for column in names
        if (table, column) not in found
    ]
    if missing:
        raise BackupFileError(
            f"The backup is not whole: at version {version}, which it says that it has, the {GATEWAY} database "
            f"also has {', '.join(dict.fromkeys(missing))}."
        )


def _refuse_foreign_owner(folder: Path) -> None:
    """Refuse to restore as root what belongs to another user, who could not open the restored file."""
    owner = folder.stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        raise BackupError(f"{folder} belongs to the user with the id {owner}. Restore as that user: sudo -u USER ...")


@contextmanager
def _part_of(target: Path, ending: str) -> Iterator[Path]:
    """Give a new file beside the target, readable by this user only; it is removed unless it was renamed."""
    part = target.with_name(f".{target.name}{ending}")
    _remove(part)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield part
    finally:
        _remove(part)


def _remove(part: Path) -> None:
    for ending in ("", *SIDE_FILES):
        part.with_name(part.name + ending).unlink(missing_ok=True)


def _remove_remains(folder: Path) -> None:
    """Remove what a backup that was killed has left; the lock of the folder is held, so none is under way.

    Only of names that `make backup` gives: other programs may have files like these in a folder that was named to it.
    """
    for part in folder.glob(f".{GATEWAY}-*Z.*{PART}"):
        _remove(part)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Let one backup at a time be written to a folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BackupTargetError(f"{error.filename or folder}: {error.strerror or error}.") from None
    try:
        with suppress(OSError):  # Some network file systems have no locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Raise `BackupError` for a full disk, a missing permission or a database that cannot be read."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise BackupError(f"{file}: {error}.") from None
    except OSError as error:
        raise BackupError(f"{error.filename or file}: {error.strerror or error}.") from None


def _synchronize(path: Path) -> None:
    """Have the disk keep a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
