"""The store goes away under a gateway that serves, and comes back: answers go on, and nothing is restarted."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from psycopg.sql import SQL, Identifier

from tests.stores import query, server
from tests.support import lines_of, new_instance

WITHIN = 30.0  # seconds; the store is tried every two
OK = {"memory": "ok", "gateway": "ok"}
FILES = ("memory.db", "gateway.db")


def name_of(store):
    return store["DATABASE_URL"].rpartition("/")[2]


def fill_with_garbage(store):
    """Overwrite the files where they are; return how to put empty ones in their place.

    None of them is cut first: a process dies of a page of mapped memory (SQLite's `-shm`) that its file has no more.
    """
    folder = Path(store["INSTANCE_PATH"])
    for name in FILES:
        for path in folder.glob(f"{name}*"):
            with path.open("r+b") as file:
                file.write(b"This is no database. " * max(1, path.stat().st_size // 21))

    def back():
        for path in folder.glob("*.db*"):
            path.unlink()
        empty = Path(new_instance())
        for name in FILES:
            shutil.copy(empty / name, folder / name)

    return back


def replace_with_folders(store):
    """Put a folder in the place of each file; return how to put the files back."""
    folder = Path(store["INSTANCE_PATH"])
    away = Path(new_instance())
    for path in folder.glob("*.db*"):
        path.rename(away / path.name)
    for name in FILES:
        (folder / name).mkdir()

    def back():
        for name in FILES:
            (folder / name).rmdir()
        for path in away.glob("*.db*"):
            path.rename(folder / path.name)

    return back


def lock_out(store):
    """Refuse connections to the database and end those that exist; return the function that allows them again."""
    name = name_of(store)
    with server() as connection:
        connection.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    def back():
        with server() as let_in:
            let_in.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(Identifier(name)))

    return back


WAYS = [
    ("sqlite", replace_with_folders),
    ("sqlite", fill_with_garbage),
    ("postgresql", lock_out),
]


def ask_for_new(gateway, days):
    """Ask for something that was not requested yet; return whether it was answered, and how long it took."""
    began = time.monotonic()
    reply = gateway.get(f"/account-insights?period=day&metrics=views&since=2026-10-{days:02}&until=2026-10-{days:02}")
    return reply.status_code, time.monotonic() - began


def until(gateway, is_so):
    """Ask until all workers are as wanted; return what one of them said last."""
    deadline = time.monotonic() + WITHIN
    in_row = 0
    while time.monotonic() < deadline:
        with gateway.session.get(f"{gateway.url}/readyz", headers={"Connection": "close"}, timeout=60) as reply:
            ready = reply.json()
        in_row = in_row + 1 if is_so(ready) else 0
        if in_row == 12:
            return ready
        time.sleep(0.1)
    raise AssertionError(f"not within {WITHIN} s: {ready}")


def is_degraded_everywhere(gateway, ready):
    """Return whether both databases are unavailable; use them, for a file may serve from cached pages for a while."""
    gateway.get("/top-posts?time_range=7d&refresh=true")
    return all(fault != "ok" for fault in ready["store"].values())


@pytest.mark.parametrize(("store_settings", "break_"), WAYS, indirect=["store_settings"])
def test_answers_go_on_without_the_store_and_are_kept_again_with_it(simulator, store_settings, start, break_):
    gateway = start(store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})
    assert ask_for_new(gateway, 1)[0] == 200
    until(gateway, lambda ready: ready["store"] == OK)

    back = break_(store_settings)
    away = [ask_for_new(gateway, days) for days in range(2, 8)]
    degraded = until(gateway, lambda ready: is_degraded_everywhere(gateway, ready))
    away += [ask_for_new(gateway, days) for days in range(8, 14)]
    back()
    ready = until(gateway, lambda ready: ready["status"] == "ok")
    kept = [ask_for_new(gateway, days) for days in range(14, 20)]

    assert {status for status, _ in away + kept} == {200}
    assert max(seconds for _, seconds in away) < 15
    assert degraded["status"] == "degraded"
    assert ready["store"] == OK
    days = [
        row[0] for row in query(store_settings, "gateway", "SELECT first_day FROM metric_values ORDER BY first_day")
    ]
    assert {f"2026-10-{number}" for number in range(14, 20)} <= set(days)
    faults = [line["database"] for line in lines_of(gateway) if line["message"] == "The database is unavailable"]
    # Not for each request: once for each database in each of the two workers that has used it meanwhile, and once more
    # where a connection was being made while all others were ended.
    assert 1 <= faults.count("gateway") <= 4
    assert 1 <= faults.count("memory") <= 4


@pytest.mark.parametrize("store_settings", ["postgresql"], indirect=True)
def test_a_gateway_starts_without_its_database_and_takes_it_up_when_it_is_there(simulator, store_settings, start):
    back = lock_out(store_settings)
    gateway = start(store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})

    without = ask_for_new(gateway, 1)
    back()
    until(gateway, lambda ready: ready["status"] == "ok")
    ask_for_new(gateway, 2)

    assert without[0] == 200
    assert query(store_settings, "gateway", "SELECT first_day FROM metric_values") == [("2026-10-02",)]


@pytest.mark.parametrize("store_settings", ["postgresql"], indirect=True)
def test_a_server_that_restarts_costs_no_answer(simulator, store_settings, start):
    gateway = start(store_settings | {"SIMULATOR_PORT": simulator.url.rpartition(":")[2]})
    statuses = []
    for days in range(1, 10):
        statuses.append(ask_for_new(gateway, days)[0])
        with server() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name_of(store_settings)]
            )

    until(gateway, lambda ready: ready["status"] == "ok")

    assert set(statuses) == {200}
