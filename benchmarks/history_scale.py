"""A history of many accounts: rows, bytes, and how long requests over it take by their bare SQL.

The store is filled with the real tables (BENCH_ACCOUNTS and BENCH_DAYS; by default 200 accounts and 365 days on
PostgreSQL, 100 accounts on SQLite). With BENCH_HISTORY_URL it is a PostgreSQL database of yours, which is filled if it
is empty, and kept: a later run on the same day only measures. Then each request is made in this process, in rounds,
four times in a row.

`bare_ms` is the bare SQL: the statements that `benchmarks.history_by_hand` has for the same numbers, on a connection of
the bare driver, rows fetched into Python, texts parsed and planned as the driver does for a repeated statement. Their
rows are compared with the reply. `request_ms` is the whole WSGI application: front, Flask, service, store and JSON, up
to the bytes of the body, without a socket. `ratio` is request / bare SQL.

Before, the bare SQL was the statements that the request itself made, which is unfair twice. A store that reads more
than it needs, such as each day of a sum, had more bare SQL to hide behind. And growth had only the statement for the
followers, while its engagement rates are made of posts that the gateway has in its cache, without a statement. Here the
cached list has the posts and counts of the tables, so that both are made of the same. What the requests themselves run
is `own_statements` and `own_ms` (the same statements and parameters on the bare driver), and `store_ms` the calls of
the store that made them; the statements over history only, not those of the cache.

`flask_ms` is an empty Flask view in the same rounds: no request can take less. All are the fastest of the rounds,
because other programs on the machine only lengthen them, and long ones more than short ones. `index` is what EXPLAIN
names for the request's statements. No reply is ready, and what was read within the last minute is read again: a usual
request for growth is answered without a statement.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
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
from benchmarks.history_by_hand import MODE, POSTS, ByHand, growth, history_by_day, history_by_month
from benchmarks.history_fill import FIRST_ACCOUNT, fill, is_empty, sizes
from benchmarks.postgresql import SKIPPED, new_database
from benchmarks.stage import Options, Row, Stage
from commands.isolation import isolated
from config import Config
from front.response_cache import ResponseCache
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.clock import Clock
from services.days import pacific_day, provider_time
from services.posts.cached_list import EVER, CachedPostList
from services.posts.fetcher import LIST_KEY
from services.posts.listed_posts import PostListPolicy
from services.store.connections import HISTORY_CACHE_KIB
from services.store.damaged_rows import NOTE
from services.store.store import Store

IN_ROW = 4
Statement = tuple[str, Any]
Runner = Callable[[Sequence[Statement]], list[list[Any]]]
# What a request keeps on its way waits for the disk, and is not what a reader of history waits for.
WRITING = ("keep", "begin_look", "end_look")
MEGABYTE = 1_000_000


def measure(options: Options) -> list[Row]:
    """Fill and measure PostgreSQL, then SQLite."""
    logging.disable(logging.INFO)
    rows: list[Row] = []
    filled = os.environ.get("BENCH_HISTORY_URL")
    with Stage() as stage, nullcontext(filled) if filled else new_database() as url:
        simulator = stage.simulator()
        days = int(os.environ.get("BENCH_DAYS") or options.pick(365, 100))
        rounds = options.pick(60, 5)  # The fastest one counts.
        if url is None:
            rows.append({"what": "PostgreSQL", "note": SKIPPED})
        else:
            accounts = int(os.environ.get("BENCH_ACCOUNTS") or options.pick(200, 10))
            rows += _engine(stage.settings(simulator, database_url=url), "postgresql", accounts, days, rounds=rounds)
        if not os.environ.get("BENCH_ACCOUNTS"):
            rows += _engine(stage.settings(simulator), "sqlite", options.pick(100, 10), days, rounds=rounds)
    return rows


def _engine(settings: dict[str, str], engine: str, accounts: int, days: int, *, rounds: int) -> list[Row]:
    config = Config.from_env(isolated(settings))
    last = pacific_day(Clock().now()) - timedelta(days=1)

    def say(words: str) -> None:
        print(f"  {engine}: {words}", flush=True)

    rows: list[Row] = []
    if is_empty(config.database_url, config.instance_path):
        started = time.perf_counter()
        fill(config.database_url, config.instance_path, accounts=accounts, last=last, days=days, say=say)
        say(f"filled in {time.perf_counter() - started:.0f} s")
        rows += [
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
        recorder = Recorder(app)
        with _bare(config) as run, _nothing_remembered():
            for name, (path, by_hand) in _requests(last, days, engine).items():
                _cache_the_posts(app, run, engine)
                rows.append(
                    {"what": f"{engine} {name}", **_compared(recorder, path, by_hand, run, engine, rounds=rounds)}
                )
                say(str(rows[-1]))
    finally:
        app.extensions["services"].close()
    return rows


def _requests(last: date, days: int, engine: str) -> dict[str, tuple[str, ByHand]]:
    """Return the requests by name: each with the statements for the same numbers."""
    since = last - timedelta(days=min(days, 365) - 1)
    period = min(90, days // 2 - 1)
    four = ("reach", "views", "total_interactions", "followers")
    year = f"/history?since={since}&until={last}&limit=366"
    trends = f"/growth-trends?period={period}d"
    return {
        "history, a year of reach": (f"{year}&metrics=reach", history_by_day(["reach"], since, last)),
        "history, a year of 4 metrics": (f"{year}&metrics={','.join(four)}", history_by_day(four, since, last)),
        "history, a year by month": (
            f"{year}&metrics=views,followers&interval=month",
            history_by_month("views", since, last),
        ),
        "growth-trends 90d": (trends, growth(period, last, engine, with_totals=False)),
        "growth-trends 90d, all trends": (
            f"{trends}&metrics=reach,views,interactions,posts",
            growth(period, last, engine, with_totals=True),
        ),
    }


def _cache_the_posts(app: Flask, run: Runner, engine: str) -> None:
    """Put the posts of the tables, with their last counts, into the cached list that growth is made of."""
    services = app.extensions["services"]
    (rows,) = run(_of_driver([(POSTS, (MODE, FIRST_ACCOUNT))], engine))
    posts = {id_: (posted_at, likes, comments) for id_, posted_at, likes, comments in rows}
    listed = CachedPostList(
        [
            {
                "id": id_,
                "timestamp": provider_time(int(posted_at)),
                "media_type": "IMAGE",
                "media_product_type": "FEED",
                "like_count": int(likes),
                "comments_count": int(comments),
            }
            for id_, (posted_at, likes, comments) in reversed(posts.items())
        ],
        read_at=services.cache.now(),
        head_from=EVER,
    )
    services.cache.put(FIRST_ACCOUNT, {LIST_KEY: (listed.as_json(), PostListPolicy())})


@contextmanager
def _nothing_remembered() -> Iterator[None]:
    """Have no reply ready, and nothing of the history that was read moments ago."""
    with (
        patch.object(ResponseCache, "get", lambda *_, **_options: None),
        patch.object(RecentReads, "of", lambda *_: ReadsOfAccount()),
    ):
        yield


def _of_driver(statements: Sequence[Statement], engine: str) -> Sequence[Statement]:
    """Return statements with the parameter marks of the engine's driver."""
    mark = "%s" if engine == "postgresql" else "?"
    return [(statement.replace("?", mark), parameters) for statement, parameters in statements]


def _compared(recorder: Recorder, path: str, by_hand: ByHand, run: Runner, engine: str, *, rounds: int) -> Row:
    app = recorder.app
    seconds: dict[str, list[float]] = {"request": [], "store": [], "own": [], "bare": [], "flask": []}
    statements = _of_driver(by_hand.statements, engine)
    _, body = _get(app, path)
    by_hand.check(run(statements), json.loads(body))
    for _ in range(rounds):
        with recorder.recording():
            _get(app, path)
        replays: dict[str, Callable[[], object]] = {
            "store": recorder.replay,
            "own": partial(run, recorder.statements),
            "bare": partial(run, statements),
        }
        for _ in range(IN_ROW):
            seconds["request"].append(_get(app, path)[0])
        for name, replay in replays.items():
            for _ in range(IN_ROW):
                started = time.perf_counter()
                replay()
                seconds[name].append(time.perf_counter() - started)
        for _ in range(IN_ROW):
            seconds["flask"].append(_get(empty, "/small")[0])
    ms = {name: min(each) * 1000 for name, each in seconds.items()}
    return {
        "statements": len(statements),
        "bare_ms": ms["bare"],
        "request_ms": ms["request"],
        "ratio": ms["request"] / ms["bare"],
        "own_statements": len(recorder.statements),
        "own_ms": ms["own"],
        "store_ms": ms["store"],
        "flask_ms": ms["flask"],
        "index": ", ".join(_indexes(run, recorder.statements, engine)),
    }


def _get(app: Flask, path: str) -> tuple[float, bytes]:
    """Make a request as a server does, and return the seconds that it took, and the body."""
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
    return took, body


class Recorder:
    """Records the calls of the tables of history, and their statements."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        store: Store = app.extensions["services"].store
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
        file.execute(f"PRAGMA cache_size=-{HISTORY_CACHE_KIB}")  # as much as a connection of the gateway has
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
