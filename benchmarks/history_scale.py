"""A history of many accounts: rows, bytes, and how long requests over it take by their bare SQL.

The store is filled with the real tables (BENCH_ACCOUNTS and BENCH_DAYS; by default 200 accounts and 365 days on
PostgreSQL, 100 accounts on SQLite). Then each request is made in this process, in rounds: once to record its calls of
the store and their statements, then timed, four times in a row. The recorded calls are timed by themselves, and so are
the same statements, with the same parameters, on a connection of the bare driver, whose rows are fetched into Python.

`request_ms` is the whole WSGI application: front, Flask, service, store and JSON, up to the bytes of the body, without
a socket. `ratio` is request / bare SQL, `store_ratio` store / bare SQL. `flask_ms` is an empty Flask view in the same
rounds: no request can take less. All are the fastest of the rounds, because other programs on the machine only
lengthen them, and long ones more than short ones. `index` is what EXPLAIN names. No reply is ready, and what was read
within the last minute is read again: a usual request for growth is answered without a statement.
"""

from __future__ import annotations

import inspect
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from functools import partial, wraps
from typing import Any
from unittest.mock import patch

import psycopg
from flask import Flask
from sqlalchemy import Engine, event
from werkzeug.test import EnvironBuilder

from app import create_app
from benchmarks.empty import app as empty
from benchmarks.history_fill import FIRST_ACCOUNT, fill, sizes
from benchmarks.postgresql import new_database
from benchmarks.stage import Options, Row, Stage
from commands.isolation import isolated
from config import Config
from front.response_cache import ResponseCache
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.clock import Clock
from services.days import pacific_day
from services.store.damaged_rows import NOTE
from services.store.store import Store

ROUNDS, IN_ROW = 20, 4
Statement = tuple[str, Any]
Runner = Callable[[Sequence[Statement]], list[list[Any]]]
# What a request keeps on its way waits for the disk, and is not what a reader of history waits for.
WRITING = ("keep", "begin_look", "end_look")
MEGABYTE = 1_000_000


def measure(options: Options) -> list[Row]:
    """Fill and measure PostgreSQL, then SQLite."""
    logging.disable(logging.INFO)
    rows: list[Row] = []
    with Stage() as stage, new_database() as url:
        simulator = stage.simulator()
        days = int(os.environ.get("BENCH_DAYS") or options.pick(365, 100))
        if url is not None:
            accounts = int(os.environ.get("BENCH_ACCOUNTS") or options.pick(200, 10))
            rows += _engine(stage.settings(simulator, database_url=url), "postgresql", accounts, days)
        if not os.environ.get("BENCH_ACCOUNTS"):
            rows += _engine(stage.settings(simulator), "sqlite", options.pick(100, 10), days)
    return rows


def _engine(settings: dict[str, str], engine: str, accounts: int, days: int) -> list[Row]:
    config = Config.from_env(isolated(settings))
    last = pacific_day(Clock().now()) - timedelta(days=1)

    def say(words: str) -> None:
        print(f"  {engine}: {words}", flush=True)

    started = time.perf_counter()
    fill(config.database_url, config.instance_path, accounts=accounts, last=last, days=days, say=say)
    say(f"filled in {time.perf_counter() - started:.0f} s")
    rows: list[Row] = [
        {
            "what": f"{engine} {table}",
            "rows": count,
            "table_mb": size / MEGABYTE or None,
            "index_mb": index / MEGABYTE or None,
            "bytes_per_row": (size + index) / count or None,
        }
        for table, (count, size, index) in sizes(config.database_url, config.instance_path).items()
    ]
    app = create_app(config)
    try:
        recorder = Recorder(app.extensions["services"].store)
        with _bare(config) as run, _nothing_remembered():
            for name, path in _requests(last, days).items():
                rows.append({"what": f"{engine} {name}", **_compared(app, recorder, path, run, engine)})
                say(str(rows[-1]))
    finally:
        app.extensions["services"].close()
    return rows


def _requests(last: date, days: int) -> dict[str, str]:
    def year(metrics: str, more: str = "") -> str:
        since = last - timedelta(days=min(days, 365) - 1)
        return f"/history?metrics={metrics}&since={since}&until={last}&limit=366{more}"

    growth = f"/growth-trends?period={min(90, days // 2 - 1)}d"
    return {
        "history, a year of reach": year("reach"),
        "history, a year of 4 metrics": year("reach,views,total_interactions,followers"),
        "history, a year by month": year("views,followers", "&interval=month"),
        "growth-trends 90d": growth,
        "growth-trends 90d, all trends": f"{growth}&metrics=reach,views,interactions,posts",
    }


@contextmanager
def _nothing_remembered() -> Iterator[None]:
    """Have no reply ready, and nothing of the history that was read moments ago."""
    with (
        patch.object(ResponseCache, "get", lambda *_, **_options: None),
        patch.object(RecentReads, "of", lambda *_: ReadsOfAccount()),
    ):
        yield


def _compared(app: Flask, recorder: Recorder, path: str, run: Runner, engine: str) -> Row:
    seconds: dict[str, list[float]] = {"request": [], "store": [], "bare": [], "flask": []}
    _get(app, path)
    for _ in range(ROUNDS):
        with recorder.recording():
            _get(app, path)
        replays: dict[str, Callable[[], object]] = {"store": recorder.replay, "bare": partial(run, recorder.statements)}
        for _ in range(IN_ROW):
            seconds["request"].append(_get(app, path))
        for name, replay in replays.items():
            for _ in range(IN_ROW):
                started = time.perf_counter()
                replay()
                seconds[name].append(time.perf_counter() - started)
        for _ in range(IN_ROW):
            seconds["flask"].append(_get(empty, "/small"))
    ms = {name: min(each) * 1000 for name, each in seconds.items()}
    return {
        "statements": len(recorder.statements),
        "bare_ms": ms["bare"],
        "store_ms": ms["store"],
        "store_ratio": ms["store"] / ms["bare"] if recorder.statements else None,
        "request_ms": ms["request"],
        "ratio": ms["request"] / ms["bare"] if recorder.statements else None,
        "flask_ms": ms["flask"],
        "index": ", ".join(_indexes(run, recorder.statements, engine)),
    }


def _get(app: Flask, path: str) -> float:
    """Make a request as a server does, and return the seconds that it took."""
    path, _, query = path.partition("?")
    environ = EnvironBuilder(path=path, query_string=f"{query}&account={FIRST_ACCOUNT}").get_environ()
    statuses: list[str] = []

    def start(status: str, _headers: object, _error: object = None) -> Callable[[bytes], object]:
        statuses.append(status)
        return lambda _data: None

    started = time.perf_counter()
    body = b"".join(app.wsgi_app(environ, start))
    took = time.perf_counter() - started
    if statuses != ["200 OK"]:
        raise RuntimeError(f"{path}?{query}: {body.decode()[:500]}")
    return took


class Recorder:
    """Records the calls of the tables of history, and their statements."""

    def __init__(self, store: Store) -> None:
        self.statements: list[Statement] = []
        self._calls: list[Callable[[], object]] = []
        self._is_on = False
        self._lock = threading.Lock()
        self._depth = threading.local()
        for table in (store.history, store.follower_counts, store.posts):
            for name, method in inspect.getmembers(table, inspect.ismethod):
                if not name.startswith("_") and name not in WRITING:
                    setattr(table, name, self._recorded(method))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record within this block, in place of what was recorded before."""
        self.statements, self._calls, self._is_on = [], [], True
        event.listen(Engine, "before_cursor_execute", self._note)
        try:
            yield
        finally:
            self._is_on = False
            event.remove(Engine, "before_cursor_execute", self._note)

    def replay(self) -> None:
        """Make the same calls again, one after the other: in a request, threads beside them would count too."""
        for call in self._calls:
            call()

    def _recorded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def recorded(*arguments: Any, **options: Any) -> Any:
            if not self._is_on or getattr(self._depth, "inside", False):
                return method(*arguments, **options)
            with self._lock:
                self._calls.append(partial(method, *arguments, **options))
            self._depth.inside = True
            try:
                return method(*arguments, **options)
            finally:
                self._depth.inside = False

        return recorded

    def _note(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        is_reading = statement.lstrip().upper().startswith("SELECT")
        if is_reading and getattr(self._depth, "inside", False):
            with self._lock:
                self.statements.append((statement, parameters))


@contextmanager
def _bare(config: Config) -> Iterator[Runner]:
    """Give a function that runs statements on a connection of the driver, and returns their rows."""
    if config.database_url:
        with psycopg.connect(config.database_url, autocommit=True) as connection:
            cursor = connection.cursor()
            yield lambda statements: [
                cursor.execute(statement.encode(), parameters).fetchall() for statement, parameters in statements
            ]
        return
    with closing(sqlite3.connect(f"{config.instance_path}/gateway.db")) as file:
        file.create_function(NOTE, 2, lambda *_: 0)  # Called for a damaged row only.
        file.execute("ATTACH ? AS memory", (f"{config.instance_path}/memory.db",))
        yield lambda statements: [
            file.execute(statement, parameters).fetchall() for statement, parameters in statements
        ]


def _indexes(run: Runner, statements: Sequence[Statement], engine: str) -> list[str]:
    explain = "EXPLAIN " if engine == "postgresql" else "EXPLAIN QUERY PLAN "
    named: dict[str, None] = {}
    for statement, parameters in statements:
        for line in run([(explain + statement, parameters)])[0]:
            words = str(line[-1])
            found = re.findall(r"(?:Scan using|Index Scan on|USING (?:COVERING )?INDEX) (\S+)", words)
            found += [
                f"all of {name}" for name in re.findall(r"Seq Scan on (\S+)|SCAN (\S+)", words) for name in name if name
            ]
            named |= dict.fromkeys(name.strip("'()\",") for name in found)
    return list(named)
