"""The yardstick: a Flask application that does nothing, for the same server with the same settings.

`/small` is a few constant bytes; `/bytes/<n>` is n ready bytes, for each n of the variable BENCH_SIZES. A POST to
`/row` writes its body into a row of a SQLite file in the folder INSTANCE_PATH, as durably as the gateway does.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable

from flask import Flask, Response, request

SMALL = b'{"ok":true}'

app = Flask(__name__, static_folder=None)

_connections = threading.local()


@app.post("/row")
def row() -> Response:
    """Write one row, and confirm it once it is on the disk."""
    body = request.get_data()
    connection = _connection()
    with connection:
        connection.execute("INSERT INTO rows (body) VALUES (?)", (body,))
    return Response(SMALL, mimetype="application/json")


def _connection() -> sqlite3.Connection:
    """Return the connection of this thread, which is how such a view is usually written."""
    if not hasattr(_connections, "own"):
        _connections.own = sqlite3.connect(f"{os.environ['INSTANCE_PATH']}/rows.db", timeout=30)
        _connections.own.execute("PRAGMA journal_mode=WAL")
        _connections.own.execute("PRAGMA synchronous=FULL")
        _connections.own.execute("CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")
    connection: sqlite3.Connection = _connections.own
    return connection


def _ready(body: bytes) -> Callable[[], Response]:
    return lambda: Response(body, mimetype="application/json")


app.add_url_rule("/small", "small", _ready(SMALL))
for size in sorted(set(os.environ.get("BENCH_SIZES", "").split())):
    # A rule for each size: one with a number in it would cost more to match than a gateway's path.
    app.add_url_rule(f"/bytes/{size}", f"bytes_{size}", _ready(b"x" * int(size)))
