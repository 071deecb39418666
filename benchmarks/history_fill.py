"""Fills a migrated store with the history of many accounts, as their daily snapshots and looks leave it.

The statements run in the database, day after day, because the rows of an account lie as far apart as that. Primary
keys are built afterwards, and PostgreSQL writes no log of the rows: both save hours, and no query notices it, except
that an index that grew row by row is about a third larger.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import product

from sqlalchemy import Connection, Table, create_engine, text

from services.days import midnight
from services.history.snapshot_plan import kinds
from services.insights.catalogue import BREAKDOWNS
from services.store.history_tables import follower_counts, metric_values, post_readings, posts
from services.store.store import addresses

FIRST_ACCOUNT = "17841400000000000"  # that of the sandbox, which the simulator knows
POST_EVERY = 2  # days
SLOTS = {60: 1, 360: 6, 1440: 24, 4320: 72, 10080: 168, 40320: 672}  # the fixed ages: minutes, and the same in hours
FILLED: tuple[Table, ...] = (metric_values, follower_counts, posts, post_readings)


def fill(
    database_url: str, instance_path: str, *, accounts: int, last: date, days: int, say: Callable[[str], None]
) -> None:
    """Fill an empty store with so many accounts of the sandbox and their days, up to the last one."""
    url = addresses(database_url, instance_path)["gateway"]
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection, _without_keys(connection, is_postgresql=bool(database_url)):
            _put_dimensions(connection, accounts)
            started = time.perf_counter()
            for number in range(days):
                _put_day(connection, last - timedelta(days=days - 1 - number), number, is_postgresql=bool(database_url))
                if number % 30 == 29 or number == days - 1:  # noqa: PLR2004
                    say(f"{number + 1} of {days} days in {time.perf_counter() - started:.0f} s")
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE" if database_url else "ANALYZE"))
    finally:
        engine.dispose()


def _put_dimensions(connection: Connection, accounts: int) -> None:
    for statement in (
        "CREATE TEMPORARY TABLE bench_accounts (id VARCHAR(64))",
        "CREATE TEMPORARY TABLE bench_kinds (metric VARCHAR(64), breakdown VARCHAR(64), buckets TEXT)",
        "CREATE TEMPORARY TABLE bench_slots (slot INTEGER, age_label INTEGER)",
    ):
        connection.execute(text(statement))
    ids = [{"id": str(int(FIRST_ACCOUNT) + number)} for number in range(accounts)]
    connection.execute(text("INSERT INTO bench_accounts VALUES (:id)"), ids)
    of_kinds = [
        {"metric": metric, "breakdown": ",".join(breakdown), "buckets": _buckets(breakdown)}
        for metric, breakdown in kinds("facebook")
    ]
    connection.execute(text("INSERT INTO bench_kinds VALUES (:metric, :breakdown, :buckets)"), of_kinds)
    slots = [{"slot": slot, "label": label} for slot, label in SLOTS.items()]
    connection.execute(text("INSERT INTO bench_slots VALUES (:slot, :label)"), slots)


def _buckets(breakdown: tuple[str, ...]) -> str | None:
    if not breakdown:
        return None
    return json.dumps([[list(names), 137] for names in product(*(BREAKDOWNS[each] for each in breakdown))])


def _put_day(connection: Connection, day: date, number: int, *, is_postgresql: bool) -> None:
    random = "floor(random() * 10000)" if is_postgresql else "abs(random() % 10000)"
    read_at = float(midnight(day + timedelta(days=4)))
    values = {"day": day.isoformat(), "read_at": read_at, "number": number}
    connection.execute(
        text(
            "INSERT INTO metric_values (mode, account, metric, breakdown, first_day, last_day, value, buckets, "
            "read_at, final, source, api_version) SELECT 'sandbox', id, metric, breakdown, :day, :day, "
            f"{random}, buckets, :read_at, 1, 'sandbox', 'v25.0' FROM bench_accounts CROSS JOIN bench_kinds"
        ),
        values,
    )
    connection.execute(
        text(
            "INSERT INTO follower_counts (mode, account, day, followers, follows, media_count, read_at, source, "
            f"api_version) SELECT 'sandbox', id, :day, 5000 + {random}, 300, 200, :read_at, 'sandbox', 'v25.0' "
            "FROM bench_accounts"
        ),
        values,
    )
    if number % POST_EVERY:
        return
    posted_at = float(midnight(day)) + 43_200
    # Ids that no other account has: the number of the account and that of the day.
    post = "'18' || substr(id, 8) || CAST(1000 + :number AS VARCHAR(8))".replace(":number", str(number))
    connection.execute(
        text(
            "INSERT INTO posts (mode, account, id, posted_at, media_type, media_product_type, permalink, caption, "
            f"first_seen_at, last_seen_at) SELECT 'sandbox', id, {post}, :posted_at, 'IMAGE', 'FEED', "
            "'https://www.instagram.com/p/CxAbCdEfGhI/', 'A caption of the usual length, with #three #hash #tags', "
            ":posted_at, :posted_at + 3000000 FROM bench_accounts"
        ),
        {"posted_at": posted_at},
    )
    connection.execute(
        text(
            "INSERT INTO post_readings (mode, account, post, slot, age_label, likes, comments, counts_read_at, reach, "
            f"views, saved, shares, total_interactions, insights_read_at, source, api_version) SELECT 'sandbox', id, "
            f"{post}, slot, age_label, {random}, 7, :posted_at + slot * 60, {random}, {random}, 5, 6, {random}, "
            ":posted_at + slot * 60, 'sandbox', 'v25.0' FROM bench_accounts CROSS JOIN bench_slots"
        ),
        {"posted_at": posted_at},
    )


@contextmanager
def _without_keys(connection: Connection, *, is_postgresql: bool) -> Iterator[None]:
    if not is_postgresql:
        connection.execute(text("PRAGMA synchronous=OFF"))
        yield
        return
    for table in FILLED:
        connection.execute(text(f"ALTER TABLE {table.name} DROP CONSTRAINT {table.name}_pkey"))
        connection.execute(text(f"ALTER TABLE {table.name} SET UNLOGGED"))
    yield
    connection.execute(text("SET maintenance_work_mem = '1GB'"))
    for table in FILLED:
        columns = ", ".join(column.name for column in table.primary_key)
        connection.execute(text(f"ALTER TABLE {table.name} ADD PRIMARY KEY ({columns})"))


def is_empty(database_url: str, instance_path: str) -> bool:
    """Return whether no post is kept."""
    engine = create_engine(addresses(database_url, instance_path)["gateway"])
    try:
        with engine.connect() as connection:
            return connection.execute(text("SELECT 1 FROM posts LIMIT 1")).first() is None
    finally:
        engine.dispose()


def sizes(database_url: str, instance_path: str) -> dict[str, tuple[int, int, int]]:
    """Return of each filled table its rows, and the bytes of the rows and of the indexes (SQLite: 0)."""
    engine = create_engine(addresses(database_url, instance_path)["gateway"])
    found: dict[str, tuple[int, int, int]] = {}
    try:
        with engine.connect() as connection:
            for table in FILLED:
                rows = connection.execute(text(f"SELECT count(*) FROM {table.name}")).scalar_one()
                total, indexes = 0, 0
                if database_url:
                    query = text(f"SELECT pg_table_size('{table.name}'), pg_indexes_size('{table.name}')")
                    total, indexes = connection.execute(query).one()
                found[table.name] = rows, total, indexes
    finally:
        engine.dispose()
    return found
