"""`make backup` and `make restore`: what is in a backup, what is refused, and what a failure leaves behind."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from alembic import command

from commands import backup, restore
from config import Config
from services.store import backup as backup_module
from services.store.backup import new_file
from services.store.instance_lock import InstanceLock, InUseError
from services.store.ledger import Order, Settlement, content_of
from services.store.reports import NewReport
from services.store.schema_versions import GATEWAY, VERSIONS
from services.store.settlement_spool import spooled_files
from services.store.store import Store
from tests.store.test_schema import run_alembic
from tests.stores import new_store, query, server
from tests.support import ROOT, environment

SANDBOX = {"PROVIDERS": "sandbox"}
NAMED = re.compile(r"gateway-\d{8}T\d{6}\.\d{3}Z\.db")


@pytest.fixture
def settings():
    with new_store("sqlite") as found:
        yield SANDBOX | found


@pytest.fixture
def run(settings, run_command):
    """Run a command over the store; return what it ended with, wrote and said."""
    return lambda command, *arguments, **changes: run_command(command, Config.from_env(settings | changes), *arguments)


def add_report(settings, creator):
    query(
        settings,
        "gateway",
        "INSERT INTO reports (mode, source, creator, body, fetched_at, milli_credits) "
        "VALUES ('live', 'modash', :creator, '{}', 10, 250)",
        creator=creator,
    )


def creators(settings):
    return sorted(creator for (creator,) in query(settings, "gateway", "SELECT creator FROM reports"))


def file_of(settings):
    return Path(settings["INSTANCE_PATH"]) / "gateway.db"


def made(run, folder, *more):
    """Make a backup in a folder and return its file."""
    before = set(folder.glob("*"))
    ended, _, said = run(backup, "--out", str(folder), *more)
    assert (ended, said) == (0, "")
    (file,) = set(folder.glob("*")) - before
    return file


def test_a_backup_is_one_file_that_holds_what_was_only_in_the_log(run, settings, tmp_path):
    with closing(sqlite3.connect(file_of(settings), isolation_level=None)) as gateway:
        gateway.execute("SELECT * FROM reports").fetchall()  # From now on it keeps the log.
        add_report(settings, "nasa")

        file = made(run, tmp_path)

        assert file_of(settings).with_name("gateway.db-wal").stat().st_size > 0
    assert NAMED.fullmatch(file.name)
    assert file.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
        assert copy.execute("SELECT creator FROM reports").fetchall() == [("nasa",)]
    assert list(tmp_path.iterdir()) == [file]


def test_a_backup_is_of_one_moment_and_ends_although_others_go_on_to_write(run, settings, tmp_path, monkeypatch):
    class WrittenMeanwhile(sqlite3.Connection):
        def backup(self, target, *, pages):
            steps = iter(range(1000))
            super().backup(target, pages=1, progress=lambda *_: add_report(settings, f"of_step_{next(steps)}"))

    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=WrittenMeanwhile))

    file = made(run, tmp_path)

    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("SELECT count(*) FROM reports").fetchone() == (0,)
    assert len(creators(settings)) > 10


def test_a_backup_goes_to_the_folder_of_the_store_by_default_or_to_a_named_file(run, settings, tmp_path):
    ended, said, _ = run(backup)
    named = run(backup, "--out", str(tmp_path / "before.db"))

    default = Path(settings["INSTANCE_PATH"]) / "backups"
    assert (ended, named[0]) == (0, 0)
    assert [NAMED.fullmatch(file.name) is not None for file in default.iterdir()] == [True]
    assert default.stat().st_mode & 0o077 == 0
    assert f"version {VERSIONS[GATEWAY]}, 0 reports" in said
    assert "TOKEN_KEY" in said
    assert (tmp_path / "before.db").exists()


def test_a_backup_never_replaces_another_one(run, tmp_path):
    good = tmp_path / "good.db"
    good.write_text("an earlier backup")

    ended, _, said = run(backup, "--out", str(good))

    assert ended == 2
    assert said.startswith("No backup was made.")
    assert "exists already" in said
    assert good.read_text() == "an earlier backup"


def test_the_newest_backups_are_kept_and_other_files_stay(run, tmp_path):
    other = tmp_path / "gateway-of-last-year.db"
    other.touch()
    files = [made(run, tmp_path) for _ in range(2)]
    files.append(made(run, tmp_path, "--keep", "4"))
    assert all(file.exists() for file in files)  # They are fewer than are to stay.

    ended, said, _ = run(backup, "--out", str(tmp_path), "--keep", "2")

    left = sorted(set(tmp_path.iterdir()) - {other})
    assert ended == 0
    assert other.exists()
    assert len(left) == 2
    assert left[0] == files[2]
    assert f"Removed {files[0].name}." in said


def test_a_new_backup_stays_where_others_were_made_before_the_clock_was_set_back(run, tmp_path):
    before = [tmp_path / f"gateway-2126112{number}T000000.000Z.db" for number in range(3)]
    for file in before:
        file.touch()

    first, second = (made(run, tmp_path, "--keep", "3") for _ in range(2))

    assert sorted(tmp_path.iterdir()) == [first, second, before[-1]]


def test_an_older_backup_that_cannot_be_removed_is_named_and_the_others_are_removed(run, tmp_path, monkeypatch):
    files = [made(run, tmp_path) for _ in range(3)]
    gone, stays, _ = files
    unlink = Path.unlink

    def fail(path, **options):
        if path == stays:
            raise PermissionError(1, "Operation not permitted")
        if path == gone:
            unlink(path)  # By another backup, just before.
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", fail)
    ended, said, failure = run(backup, "--out", str(tmp_path), "--keep", "1")

    assert (ended, failure.count("\n")) == (1, 2)
    assert f"{stays}: Operation not permitted" in failure
    assert said.startswith("Backed up:")
    assert [file.exists() for file in files] == [False, True, False]


@pytest.mark.parametrize(
    "arguments", [("--keep", "0"), ("--keep", "2", "--out", "one.db"), ("--nothing",), ("--out", ""), ("--out", " ")]
)
def test_a_wrong_option_is_refused_before_anything_is_written(run, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        run(backup, *arguments)

    assert ended.value.code == 2
    assert not (ROOT / "one.db").exists()


def test_a_full_disk_leaves_no_half_file_and_the_earlier_backup(run, settings, tmp_path):
    earlier = made(run, tmp_path)
    content = earlier.read_bytes()
    limit = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); "
    start = "from commands.backup import main; sys.exit(main(sys.argv[1:]))"

    ended = subprocess.run(
        [sys.executable, "-c", limit + start, "--out", str(tmp_path), "--keep", "1"],
        cwd=ROOT,
        env=environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("No backup was made.")
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == [earlier]
    assert earlier.read_bytes() == content


def test_one_backup_at_a_time_is_written_to_a_folder(tmp_path):
    with new_file(tmp_path / "gateway.db"):
        other = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


def test_what_a_killed_backup_has_left_is_removed_by_the_next_one(run, tmp_path):
    (tmp_path / ".gateway-20260101T000000.000Z.db.part").write_bytes(b"half")
    (tmp_path / ".gateway-20260101T000000.000Z.db.part-wal").write_bytes(b"half")

    file = made(run, tmp_path)

    assert list(tmp_path.iterdir()) == [file]


def test_a_backup_removes_no_file_of_another_program(run, tmp_path):
    others = [tmp_path / name for name in (".thesis.part", ".thesis.part-wal", ".gateway-notes.part")]
    for other in others:
        other.write_text("mine")

    file = made(run, tmp_path)

    assert set(tmp_path.iterdir()) == {file, *others}


def test_no_backup_is_made_of_a_damaged_database(run, settings, tmp_path):
    add_report(settings, "nasa")
    size = file_of(settings).stat().st_size
    with file_of(settings).open("r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 8192)

    ended, _, said = run(backup, "--out", str(tmp_path))

    assert ended == 1
    assert "damaged" in said or "malformed" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["database", "folder"])
def test_what_is_missing_is_named(run, settings, tmp_path, missing):
    if missing == "database":
        file_of(settings).unlink()
    target = tmp_path if missing == "database" else Path("/proc/nothing")

    ended, _, said = run(backup, "--out", str(target))

    assert ended == (1 if missing == "database" else 2)
    assert ("gateway.db" if missing == "database" else "/proc/nothing") in said
    assert len(said.splitlines()) == 1


def test_a_restored_backup_has_what_it_had_and_the_replaced_database_is_kept(run, settings, tmp_path):
    add_report(settings, "nasa")
    file = made(run, tmp_path)
    add_report(settings, "esa")

    ended, said, _ = run(restore, str(file))

    folder = file_of(settings).parent
    (replaced,) = folder.glob("gateway.db.replaced-*")
    with closing(sqlite3.connect(replaced)) as before:
        assert before.execute("SELECT count(*) FROM reports").fetchone() == (2,)
    assert ended == 0
    assert creators(settings) == ["nasa"]
    assert str(replaced) in said
    assert file.exists()
    assert file_of(settings).stat().st_mode & 0o777 == 0o600
    assert query(settings, "gateway", "SELECT name FROM sqlite_master WHERE name LIKE 'spooled%'") == []
    assert list(folder.glob(".*")) == []


def test_files_that_were_copied_as_they_are_are_restored_with_their_log(run, settings, tmp_path):
    with closing(sqlite3.connect(file_of(settings), isolation_level=None)) as gateway:
        gateway.execute("SELECT * FROM reports").fetchall()  # From now on it keeps the log.
        add_report(settings, "nasa")
        for name in ("gateway.db", "gateway.db-wal"):
            shutil.copy(file_of(settings).with_name(name), tmp_path)

    ended, _, _ = run(restore, str(tmp_path / "gateway.db"))

    assert ended == 0
    assert creators(settings) == ["nasa"]


def test_root_restores_nothing_that_another_user_could_then_not_open(run, settings, tmp_path, monkeypatch):
    file, folder = made(run, tmp_path), file_of(settings).parent
    add_report(settings, "nasa")
    if os.geteuid() == 0:
        os.chown(folder, 12_345, -1)
    monkeypatch.setattr(os, "geteuid", lambda: 0)

    ended, _, said = run(restore, str(file))

    assert ended == 1
    assert f"belongs to the user with the id {folder.stat().st_uid}. Restore as that user" in said
    assert creators(settings) == ["nasa"]


def test_restores_within_one_second_keep_each_database_that_they_replace(run, settings, tmp_path, monkeypatch):
    class SameSecond(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 1, tzinfo=tz)

    monkeypatch.setattr("commands.restore.datetime", SameSecond)
    file = made(run, tmp_path)
    add_report(settings, "nasa")

    for _ in range(3):
        assert run(restore, str(file))[0] == 0

    kept = sorted(file_of(settings).parent.glob("gateway.db.replaced-*"))
    assert len(kept) == 3
    with closing(sqlite3.connect(kept[0])) as first:
        assert first.execute("SELECT creator FROM reports").fetchall() == [("nasa",)]


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_folder_is_no_backup(run, settings, name):
    ended, said, failure = run(restore, name)

    assert (ended, said) == (2, "")
    assert failure.startswith("Nothing was restored.")


def test_a_log_of_the_replaced_database_is_not_applied_to_the_restored_one(run, settings, tmp_path):
    """As after a power cut: the log stands beside the file, and no process has it open."""
    add_report(settings, "nasa")
    file = made(run, tmp_path)
    folder = file_of(settings).parent
    with closing(sqlite3.connect(file_of(settings), isolation_level=None)) as gateway:
        gateway.execute("SELECT * FROM reports").fetchall()  # From now on it keeps the log.
        add_report(settings, "esa")
        cut = {name: (folder / name).read_bytes() for name in ("gateway.db", "gateway.db-wal")}
    for name, content in cut.items():
        (folder / name).write_bytes(content)
    file_of(settings).write_bytes(b"damaged " * 1000)  # So that the log cannot be finished either.

    ended, _, said = run(restore, str(file))

    assert (ended, said) == (0, "")
    assert creators(settings) == ["nasa"]
    assert len(list(folder.glob("gateway.db.replaced-*Z-wal"))) == 1


def test_nothing_is_restored_while_a_process_uses_the_store(run, settings, tmp_path):
    file = made(run, tmp_path)
    add_report(settings, "nasa")
    store = Store.open("", settings["INSTANCE_PATH"], mode="live")

    refused = run(restore, str(file))
    missing, folder = run(restore, str(tmp_path / "missing.db")), run(restore, str(tmp_path))
    store.close()
    restored = run(restore, str(file))

    assert refused[0] == 1
    assert "Stop them" in refused[2]
    assert (missing[0], "missing.db: No such file" in missing[2], "Stop" in missing[2]) == (2, True, False)
    assert (folder[0], "is a folder" in folder[2], "Stop" in folder[2]) == (2, True, False)
    assert restored[0] == 0


def test_a_lock_that_is_refused_leaves_no_file_open(tmp_path):
    used = InstanceLock(tmp_path)
    used.share()
    before = os.listdir("/proc/self/fd")

    with pytest.raises(InUseError):
        InstanceLock(tmp_path).take_alone()

    assert len(os.listdir("/proc/self/fd")) == len(before)
    used.release()


def test_nothing_is_restored_while_another_program_has_the_file_open(run, settings, tmp_path):
    file = made(run, tmp_path)
    add_report(settings, "nasa")

    with closing(sqlite3.connect(file_of(settings))) as other:
        other.execute("SELECT * FROM reports").fetchall()
        ended, _, said = run(restore, str(file))

    assert ended == 1
    assert "Another program uses" in said
    assert creators(settings) == ["nasa"]


def change(file, *statements):
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def damage(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xff" * (len(content) - len(content) // 2)
    file.write_bytes(content)


REFUSED = {
    "newer": (lambda file: change(file, "UPDATE gateway_version SET version_num = '9999'"), "newer than this code"),
    "unknown": (lambda file: change(file, "UPDATE gateway_version SET version_num = '0000'"), "does not know"),
    "no version": (lambda file: change(file, "DELETE FROM gateway_version"), "does not know"),
    "another database": (lambda file: change(file, "DROP TABLE gateway_version"), "no gateway database"),
    "damaged": (damage, "damaged"),
    "without a table": (lambda file: change(file, "DROP TABLE post_readings"), "post_readings"),
    "without a column": (
        lambda file: change(file, "ALTER TABLE ledger RENAME COLUMN code TO codes"),
        "also has ledger.code.",
    ),
    "no database": (lambda file: file.write_text("words " * 5000), "damaged"),
    "empty": (lambda file: file.write_bytes(b""), "no gateway database"),
    "missing": (lambda file: file.unlink(), "No such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_good_backup_is_refused_and_changes_nothing(run, settings, tmp_path, name):
    spoil, reason = REFUSED[name]
    file = made(run, tmp_path)
    spoil(file)
    add_report(settings, "nasa")
    before = sorted(each.name for each in file_of(settings).parent.iterdir())

    ended, said, failure = run(restore, str(file))

    assert (ended, said) == (2, "")
    assert failure.startswith("Nothing was restored.")
    assert reason in failure
    assert len(failure.splitlines()) == 1
    assert creators(settings) == ["nasa"]
    assert set(before) >= {each.name for each in file_of(settings).parent.iterdir()} - {"in_use.lock", "migrate.lock"}


def test_a_backup_of_an_older_schema_that_lacks_a_table_of_it_is_refused(run, settings, tmp_path):
    with new_store("sqlite", migrated=False) as old:
        file = tmp_path / "old.db"
        run_alembic(old, GATEWAY, command.upgrade, "0008")
        assert run(backup, "--out", str(file), INSTANCE_PATH=old["INSTANCE_PATH"])[0] == 0
    change(file, "DROP TABLE accounts")

    ended, _, failure = run(restore, str(file))

    assert ended == 2
    assert "at version 0008, which it says that it has, the gateway database also has accounts." in failure


def test_a_backup_of_an_older_schema_is_migrated(run, settings, tmp_path):
    with new_store("sqlite", migrated=False) as old:
        file = tmp_path / "old.db"
        run_alembic(old, GATEWAY, command.upgrade, "0012")
        assert run(backup, "--out", str(file), INSTANCE_PATH=old["INSTANCE_PATH"])[0] == 0

    ended = run(restore, str(file))[0]

    assert ended == 0
    assert query(settings, GATEWAY, "SELECT version_num FROM gateway_version") == [(VERSIONS[GATEWAY],)]


def test_results_that_wait_to_be_booked_are_backed_up_and_restored(run, settings, tmp_path):
    store = Store.open("", settings["INSTANCE_PATH"], mode="live")
    opened = store.ledger.open(Order("modash", "nasa", "anonymous", 250, 100_000, 30, 3), lambda _record, _at: None)
    store.settlement_spool.put(opened, '{"id": 1}')
    store.close()
    waiting = spooled_files(settings["INSTANCE_PATH"])
    file = made(run, tmp_path)
    shutil.rmtree(Path(settings["INSTANCE_PATH"]) / "unbooked")

    ended, said, _ = run(restore, str(file))

    assert ended == 0
    assert len(waiting) == 1
    assert spooled_files(settings["INSTANCE_PATH"]) == waiting
    assert "1 result of a call waits to be booked" in said


def test_a_result_that_could_not_be_read_is_in_a_backup_too(run, settings, tmp_path):
    unbooked = Path(settings["INSTANCE_PATH"]) / "unbooked"
    unbooked.mkdir()
    (unbooked / "live-1-1000.json.unreadable").write_text("{")
    file = made(run, tmp_path)
    shutil.rmtree(unbooked)

    run(restore, str(file))

    assert [(path.name, path.read_text()) for path in unbooked.iterdir()] == [("live-1-1000.json.unreadable", "{")]


def test_a_result_that_is_booked_while_a_backup_is_made_is_in_it(run, settings, tmp_path, monkeypatch):
    store = Store.open("", settings["INSTANCE_PATH"], mode="live")
    opened = store.ledger.open(Order("modash", "nasa", "anonymous", 250, 100_000, 30, 3), lambda _record, _at: None)
    store.settlement_spool.put(opened, '{"id": 1}')
    copied = backup_module._copy_pages

    def booked_meanwhile(source, part):
        copied(source, part)
        store.settlement_spool.remove(opened)

    monkeypatch.setattr(backup_module, "_copy_pages", booked_meanwhile)

    file = made(run, tmp_path)
    store.close()

    with closing(sqlite3.connect(file)) as copy:
        assert copy.execute("SELECT content FROM spooled_settlements").fetchall() == [('{"id": 1}',)]


def test_a_restore_that_cannot_put_results_back_replaces_nothing(run, settings, tmp_path):
    store = Store.open("", settings["INSTANCE_PATH"], mode="live")
    opened = store.ledger.open(Order("modash", "nasa", "anonymous", 250, 100_000, 30, 3), lambda _record, _at: None)
    store.settlement_spool.put(opened, '{"id": 1}')
    store.close()
    file = made(run, tmp_path)
    add_report(settings, "esa")
    unbooked = Path(settings["INSTANCE_PATH"]) / "unbooked"
    shutil.rmtree(unbooked)
    unbooked.write_text("a file where the folder has to be")

    ended, _, said = run(restore, str(file))

    assert (ended, "Nothing was restored." in said) == (1, True)
    assert creators(settings) == ["esa"]


def test_a_restore_that_fails_at_its_last_step_leaves_the_database_where_it_is(run, settings, tmp_path, monkeypatch):
    file = made(run, tmp_path)
    add_report(settings, "esa")
    renamed = Path.rename

    def rename(path, target):
        if target == file_of(settings):
            raise OSError(errno.EIO, "Input/output error", str(target))
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", rename)

    assert run(restore, str(file))[0] == 1
    assert creators(settings) == ["esa"]


def test_backup_and_restored_file_are_on_the_disk_before_they_have_their_names_which_are_then(
    run, settings, tmp_path, monkeypatch
):
    written = []

    def fsync(descriptor):
        named = {path.stat().st_ino for path in (*tmp_path.glob("*.db"), file_of(settings))}
        written.append((os.fstat(descriptor).st_ino, named))

    monkeypatch.setattr(os, "fsync", fsync)
    file = made(run, tmp_path)
    of_backup, written = written, []
    run(restore, str(file))

    for of_one, path in ((of_backup, file), (written, file_of(settings))):
        inode, folder = path.stat().st_ino, path.parent.stat().st_ino
        assert [(each, inode in named) for each, named in of_one] == [(inode, False), (folder, True)]


@pytest.fixture
def postgresql():
    with new_store("postgresql") as found:
        yield SANDBOX | found


def test_postgresql_is_backed_up_by_its_own_program_and_restored_as_the_command_says(run, postgresql, tmp_path):
    add_report(postgresql, "nasa")
    query(postgresql, "memory", "INSERT INTO cache_versions (mode, account, counter) VALUES ('live', '1', 7)")
    url = postgresql["DATABASE_URL"]
    secret = url.replace("postgres@", "postgres:sesame@")

    ended, said, failure = run(backup, "--out", str(tmp_path), DATABASE_URL=secret)
    (file,) = tmp_path.iterdir()
    refused = run(restore, str(file), DATABASE_URL=secret)

    assert (ended, failure) == (0, "")
    assert "checked" in said
    assert file.stat().st_mode & 0o777 == 0o600
    assert refused[0] == 2  # DATABASE_URL is a setting that the command cannot use.
    assert "sesame" not in "".join(refused[1:])
    typed = [line.strip() for line in refused[2].splitlines() if line.startswith("  ")]
    new = url.rpartition("/")[0] + "/" + shlex.split(typed[0])[-1]
    try:
        for line in typed:
            assert subprocess.run(shlex.split(line), env=os.environ, check=False).returncode == 0
        assert creators({"DATABASE_URL": new}) == ["nasa"]
        assert query({"DATABASE_URL": new}, "memory", "SELECT * FROM cache_versions") == []
        restored = Store.open(new, "", mode="live")
        restored.check_versions()
        restored.close()
    finally:
        with server() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{shlex.split(typed[0])[-1]}" WITH (FORCE)')


@pytest.mark.parametrize("is_booked", ["before", "after"])
def test_a_result_that_is_booked_while_pg_dump_runs_is_in_the_backup_and_booked_once_after_a_restore(
    run, postgresql, tmp_path, monkeypatch, is_booked
):
    url, instance = postgresql["DATABASE_URL"], tmp_path / "instance"
    store = Store.open(url, str(instance), mode="live")
    opened = store.ledger.open(Order("modash", "nasa", "anonymous", 250, 100_000, 30, 3), lambda _record, _at: None)
    settlement = Settlement("charged", "report", opened.at, report=NewReport("{}", None, None))
    store.settlement_spool.put(opened, content_of(opened, settlement))

    def book():
        store.ledger.settle(opened, settlement)
        store.settlement_spool.remove(opened)

    ran, folder = backup._run, tmp_path / "backups"

    def run_program(program):
        dumps = program.arguments[0] == "pg_dump"
        if dumps and is_booked == "before":
            book()
        ran(program)
        if dumps and is_booked == "after":
            book()

    monkeypatch.setattr(backup, "_run", run_program)
    ended, said, failure = run(backup, "--out", str(folder), DATABASE_URL=url, INSTANCE_PATH=str(instance))
    store.close()
    (file,) = folder.glob("*.dump")
    typed = run(restore, str(file), DATABASE_URL=url, INSTANCE_PATH=str(instance))[2]
    typed = [shlex.split(line) for line in typed.splitlines() if line.startswith("  ")]
    new = url.rpartition("/")[0] + "/" + typed[0][-1]
    try:
        for arguments in typed:
            assert subprocess.run(arguments, env=os.environ, check=False).returncode == 0
        with closing(Store.open(new, str(instance), mode="live")) as restored:
            waiting = list(restored.settlement_spool.read())
            is_there = [restored.ledger.settle(*each) for each in waiting]
        states = query({"DATABASE_URL": new}, "gateway", "SELECT state FROM ledger")
        spent = query({"DATABASE_URL": new}, "gateway", "SELECT milli_credits FROM ledger_months")
        bought = creators({"DATABASE_URL": new})
    finally:
        with server() as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{typed[0][-1]}" WITH (FORCE)')

    assert (ended, failure) == (0, "")
    assert f"1 result that waits to be booked: {file}.unbooked" in said
    assert (len(waiting), is_there) == (1, [True])
    assert (states, spent, bought) == ([("charged",)], [(250,)], ["nasa"])


def test_a_backup_of_postgresql_whose_results_cannot_be_read_or_kept_is_none(run, postgresql, tmp_path, monkeypatch):
    unbooked = tmp_path / "instance" / "unbooked"
    unbooked.mkdir(parents=True)
    (unbooked / "live-1-1000.json").write_text("{}")
    changes = {"DATABASE_URL": postgresql["DATABASE_URL"], "INSTANCE_PATH": str(tmp_path / "instance")}
    file = tmp_path / "backups" / "one.dump"
    there = file.with_name("one.dump.unbooked")
    there.mkdir(parents=True)

    refused = run(backup, "--out", str(file), **changes)
    there.rmdir()
    with monkeypatch.context() as patched:
        patched.setattr(backup_module, "write_spooled_files", failing)
        not_kept = run(backup, "--out", str(file), **changes)
    with monkeypatch.context() as patched:
        patched.setattr("services.store.settlement_spool.os.scandir", failing)
        not_read = run(backup, "--out", str(file), **changes)

    assert (refused[0], not_kept[0], not_read[0]) == (2, 1, 1)
    assert f"{there} exists already" in refused[2]
    assert "Permission denied" in not_kept[2]
    assert "Permission denied" in not_read[2]
    assert list(file.parent.iterdir()) == []


def test_old_backups_of_postgresql_are_removed_with_the_results_beside_them(run, postgresql, tmp_path):
    unbooked = tmp_path / "instance" / "unbooked"
    unbooked.mkdir(parents=True)
    (unbooked / "live-1-1000.json").write_text("{}")
    changes = {"DATABASE_URL": postgresql["DATABASE_URL"], "INSTANCE_PATH": str(tmp_path / "instance")}
    folder = tmp_path / "backups"

    run(backup, "--out", str(folder), **changes)
    run(backup, "--out", str(folder), "--keep", "1", **changes)

    (file,) = folder.glob("*.dump")
    assert set(folder.iterdir()) == {file, file.with_name(f"{file.name}.unbooked")}


def failing(folder, *_):
    raise PermissionError(errno.EACCES, "Permission denied", str(folder))


def test_a_failure_of_pg_dump_is_shown_and_leaves_no_file(run, postgresql, tmp_path):
    ended, _, failure = run(backup, "--out", str(tmp_path), DATABASE_URL=postgresql["DATABASE_URL"] + "_missing")

    assert ended == 1
    assert "pg_dump says" in failure
    assert "does not exist" in failure
    assert list(tmp_path.iterdir()) == []


def test_without_pg_dump_the_command_to_run_is_shown_without_the_password(run, postgresql, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    url = postgresql["DATABASE_URL"].replace("postgres@", "postgres:sesame@") + "?password=sesame&connect_timeout=3"

    ended, _, failure = run(backup, "--out", str(tmp_path / "to"), DATABASE_URL=url)

    assert ended == 1
    assert "pg_dump --format=custom" in failure
    assert "connect_timeout=3" in failure
    assert "sesame" not in failure
