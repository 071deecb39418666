"""Rows for every table of history, made from its columns, so that a new table is covered without a new test."""

from __future__ import annotations

import json

from sqlalchemy import Double, Integer, String, insert

from services.store.exported_tables import SECTIONS
from services.store.types import Message, Number

FIRST_MOMENT = 1_763_712_000.1234567  # 2025-11-21T08:00:00Z: midnight in California
NAMES = ("reach", "Reach", "re-ach", "re_ach", "r\u00e9ach")  # No two collations agree about their order.
VALUES = (0, 7, 1.5, 0.1 + 0.2, None, 12_345_678_901_234)
WHOLE = {"followers", "follows", "media_count", "likes", "comments"}
BUCKETS = (
    None,
    [],
    [[["NON_FOLLOWER"], 3], [["FOLLOWER"], 4]],
    [[["25-34", "F"], 1.25], [["18-24", "M"], None]],
    [[["Paris, \u00cele-de-France"], 1], [["=1+1"], 2], [["'x"], 3], [["[x"], 4], [[""], 5], [["\ud83d"], 6]],
    [[[name], 1] for name in ("\uff1d1", "\n=1", " =1", "12345678901234567", "007", "'007", 'a "b"\r\n,c')],
)


def history_rows(section, account, count=12):
    """Rows of one table for one account; no two have the same key."""
    keys = [column.name for column in section.table.primary_key if column.name not in {"mode", "account"}]
    rows = [
        {"account": account}
        | {
            column.name: _value(column, number, is_first_key=bool(keys) and column.name == keys[0])
            for column in section.table.c
            if column.name not in {"mode", "account"}
        }
        for number in range(count)
    ]
    return [row | _why_unknown(section, row) for row in rows]


def _why_unknown(section, row):
    """A number has a reason only if it is unknown, and is final only if it is known."""
    if "value" not in row:
        found = {}
        for part in section.parts:
            if row[part.read_at] is None:
                found |= dict.fromkeys(part.names)
            elif part.reasons is not None:
                reasons = {name: "refused" for name in part.names if row[name] is None}
                found[part.reasons] = json.dumps(reasons) if reasons else None
        return found
    is_known = row["value"] is not None or row.get("buckets") is not None
    return {"reason": None if is_known else "refused"} | ({"final": int(is_known)} if "final" in row else {})


def fill(store, accounts=("17841400000000002", "17841400000000001"), count=12):
    """Put rows of several accounts into every table of history."""
    with gateway_of(store).write() as connection:
        for account in accounts:
            for section in SECTIONS:
                connection.execute(insert(section.table), history_rows(section, account, count))


def all_rows(store):
    """Every row of every table of history; buckets in the order of their names."""
    found = {}
    with gateway_of(store).read() as connection:
        for section in SECTIONS:
            rows = [dict(row) for row in connection.execute(section.table.select()).mappings()]
            for row in rows:
                if row.get("buckets") is not None:
                    row["buckets"] = sorted(json.loads(row["buckets"]), key=lambda bucket: bucket[0])
            found[section.kind] = sorted(rows, key=repr)
    return found


def gateway_of(store):
    """The database that has the tables of history."""
    return next(database for database in store.databases if database.name == "gateway")


def _value(column, number, *, is_first_key):
    if column.name == "buckets":
        text = BUCKETS[number % len(BUCKETS)]
        return None if text is None else json.dumps(text)
    if column.name.endswith("_reasons"):
        return None  # Made from the numbers below.
    if column.nullable and not isinstance(column.type, Number) and number % 3 == len(column.name) % 3:
        return None
    for kind, value in _values(column, number, is_first_key=is_first_key):
        if isinstance(column.type, kind):
            return value
    raise NotImplementedError(column)


def _values(column, number, *, is_first_key):
    """The value of a column by its type, the narrowest type first."""
    text = f"{NAMES[number % len(NAMES)]}{number}" if is_first_key else f"{column.name}_{number}"
    if column.name in {"breakdown", "bucket"} and number % 2:
        text = ""
    if column.name == "day" or column.name.endswith("_day"):
        text = f"2025-11-{1 + number:02}"
    count = VALUES[number % len(VALUES)]
    if column.name in WHOLE and count is not None:
        count = int(count)
    yield Number, 9 if count is None and not column.nullable else count
    yield Double, FIRST_MOMENT + 4_321.7 * number
    yield Integer, number % 2
    yield (String, Message), text
