"""A PostgreSQL database for one measurement: new and empty, and dropped afterwards."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

DEFAULT = "postgresql://postgres@127.0.0.1:5432/test"
SKIPPED = "skipped: no PostgreSQL"


@contextmanager
def new_database() -> Iterator[str | None]:
    """Give the address of a new database on the server that BENCH_DATABASE_URL names, or None where there is none."""
    url = os.environ.get("BENCH_DATABASE_URL") or DEFAULT
    if not _listens(url):
        yield None
        return
    import psycopg  # noqa: PLC0415  # Not needed for a measurement on SQLite.
    from psycopg.sql import SQL, Identifier  # noqa: PLC0415

    name = f"bench_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        try:
            yield urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
        finally:
            server.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def _listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 5432), timeout=2).close()
    except OSError:
        return False
    return True
