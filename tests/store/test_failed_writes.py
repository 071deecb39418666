"""A database that can be read and not written: what is kept is answered, what is fetched too, and nothing is paid."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier

from commands.migrate import migrate
from config import Config
from services.store import outage
from tests.stores import new_store, server

FREE_SPACE = "Free space on its disk"
KEPT = ("/top-posts?time_range=7d", "/performance-data?url=nasa")
NEW = "/account-insights?period=day&metrics=views,reach&since=2026-10-21&until=2026-11-20"
OK = {"memory": "ok", "gateway": "ok"}
PAUSE = 0.5  # seconds after a failure
ABROAD = {"X-Forwarded-For": "203.0.113.7"}
OTHERS = (
    "/growth-trends?period=7d",
    "/audience",
    "/stories",
    "/history?metrics=reach,views",
    "/posting-times",
    "/formats",
    "/capabilities",
    "/status",
    "/quota",
    "/credits",
    "/performance-data?url=nasa&dry_run=true",
    "/performance-data/history?url=nasa",
)


class SqliteFault:
    """Spoils the writing of every connection to a file of SQLite, by a pragma that each new connection gets."""

    def __init__(self, monkeypatch, pragma):
        self._monkeypatch, self._pragma = monkeypatch, pragma
        self._connect = sqlite3.connect

    def begin(self, world):
        for database in world.services.store.databases:
            database.close()
            with closing(self._connect(f"{world.settings['INSTANCE_PATH']}/{database.name}.db")) as connection:
                connection.execute("VACUUM")  # Else rows would still find room.
        connect, pragma = self._connect, self._pragma

        def spoilt(*arguments, **options):
            connection = connect(*arguments, **options)
            connection.execute(pragma)
            return connection

        self._monkeypatch.setattr(sqlite3.dbapi2, "connect", spoilt)

    def end(self, world):
        self._monkeypatch.setattr(sqlite3.dbapi2, "connect", self._connect)
        for database in world.services.store.databases:
            database.close()


class PostgresqlFault:
    def begin(self, world):
        self._set(world, "ALTER DATABASE {} SET default_transaction_read_only = on")

    def end(self, world):
        self._set(world, "ALTER DATABASE {} RESET default_transaction_read_only")

    def _set(self, world, statement):
        name = world.settings["DATABASE_URL"].rpartition("/")[2]
        with server() as connection:
            connection.execute(SQL(statement).format(Identifier(name)))
            if "RESET" not in statement:
                # It waits: a session that ended only later would fail in the middle of a read of the test.
                end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s"
                connection.execute(end, [name])
        while "unavailable" in world.get("/readyz", headers=ABROAD).json["store"].values():
            time.sleep(PAUSE / 5)


FAULTS = {
    "full disk": ("sqlite", "PRAGMA max_page_count=1", FREE_SPACE),
    "read-only file": ("sqlite", "PRAGMA query_only=1", "Make it writable again"),
    "read-only server": ("postgresql", None, "Connect to the primary server"),
}


@pytest.fixture(params=FAULTS)
def fault(request, monkeypatch):
    engine, pragma, advice = FAULTS[request.param]
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", PAUSE)
    return engine, SqliteFault(monkeypatch, pragma) if pragma else PostgresqlFault(), advice


@pytest.fixture
def spoilt(fault, make_world):
    """A world with a full cache and one report, and the functions that begin and end the fault of its store."""
    engine, way, _ = fault
    with new_store(engine) as store:
        world = make_world(**store)
        yield world, lambda: way.begin(world), lambda: way.end(world)
        world.end()


def paid(world):
    return [path for path in world.calls("performance-data") if "nasa" in path or "esa" in path]


def test_reads_go_on_while_nothing_can_be_written(spoilt, fault, caplog):
    world, begin, end = spoilt
    before = {path: world.get(path).status_code for path in (*KEPT, *OTHERS)}
    world.settle()
    assert len(paid(world)) == 1
    kept = [world.get(path).get_json() for path in KEPT]

    begin()
    caplog.clear()  # A heartbeat may have met a session that was ending.
    from_the_cache = [world.get(path).get_json() for path in KEPT]
    world.restart()  # Without what the process had in memory.
    from_the_store = [world.get(path).get_json() for path in KEPT]
    fetched = world.get(NEW)
    during = {path: world.get(path).status_code for path in (*KEPT, *OTHERS)}
    world.settle()
    # The last page of a full file may have room for one small row, so it is writable and not writable in turn.
    is_partly = fault[2] == FREE_SPACE
    refused = None if is_partly else world.get("/performance-data?url=esa")
    ready = world.get("/readyz").json
    abroad = world.get("/readyz", headers=ABROAD).json
    calls = paid(world)
    end()
    deadline = time.monotonic() + 30
    while (mended := world.get("/readyz").json)["store"] != OK and time.monotonic() < deadline:
        time.sleep(PAUSE / 5)
    again = world.get("/performance-data?url=esa")

    assert from_the_cache == from_the_store == kept
    assert (fetched.status_code, during) == (200, before)
    assert all(value["value"] is not None for each in fetched.json["data"] for value in each["values"])
    assert calls == []
    if refused is not None:
        assert (refused.status_code, refused.json["code"]) == (503, "ledger_unavailable")
        assert (ready["status"], abroad["store"]["gateway"]) == ("degraded", "not writable")
        assert fault[2] in ready["store"]["gateway"]
    assert any(fault[2] in getattr(record, "fault", "") for record in caplog.records)
    assert again.status_code == 200
    assert mended["store"] == OK
    assert "The database is unavailable" not in caplog.messages
    assert "The database cannot be written" in caplog.messages
    assert "The database can be written again" in caplog.messages


ADVICE = {"gateway": "make restore", "memory": "`make migrate` creates it again"}


@pytest.mark.parametrize("name", ADVICE)
def test_a_file_that_is_removed_and_made_again_under_the_gateway_stops_no_answer(make_world, monkeypatch, name):
    monkeypatch.setattr(outage, "DATABASE_RETRY_AFTER", 0.0)
    with new_store("sqlite") as store:
        world = make_world(**store)
        kept = world.get(KEPT[0])
        world.settle()

        for file in Path(store["INSTANCE_PATH"]).glob(f"{name}.db*"):
            file.unlink()
        again, fetched = world.get(KEPT[0]), world.get(NEW)
        missing = world.get("/readyz").json
        migrate(Config.from_env(world.settings))
        deadline = time.monotonic() + 20
        # One thread tries the database at a time; while it is that of the heartbeat, others have the fault before.
        while (mended := world.get("/readyz").json)["store"] != OK and time.monotonic() < deadline:
            time.sleep(0.01)

        assert (again.status_code, again.data, fetched.status_code) == (200, kept.data, 200)
        assert missing["status"] == "degraded"
        assert ADVICE[name] in missing["store"][name]
        assert mended["store"] == OK
        world.end()
