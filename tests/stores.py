"""Stores for tests: two files, or a PostgreSQL database of its own, and a look at what stands in them."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import create_engine, text

from commands.migrate import migrate
from config import Config
from services.store.store import addresses
from tests.support import new_instance

SERVER = os.environ.get("TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
ENGINES = ("sqlite", "postgresql")
Settings = dict[str, str]


@contextmanager
def new_store(engine: str, *, migrated: bool = True) -> Iterator[Settings]:
    """Give the settings of a new store, which goes with the block; skip where there is no PostgreSQL."""
    if engine == "postgresql":
        with _database() as url:
            if migrated:
                migrate(Config(database_url=url))
            yield {"DATABASE_URL": url}
        return
    folder = new_instance()
    if not migrated:
        shutil.rmtree(folder)
        os.mkdir(folder)
    try:
        yield {"INSTANCE_PATH": folder}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[psycopg.Connection]:
    """Give a connection to the server of PostgreSQL, from which its databases can be managed."""
    try:
        connection = psycopg.connect(SERVER, autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        pytest.skip(f"no PostgreSQL at {urlsplit(SERVER).hostname}:{urlsplit(SERVER).port}")
    with connection:
        yield connection


def query(store: Settings, database: str, statement: str, **values: object) -> list[tuple[object, ...]]:
    """Run one statement in a database ("memory" or "gateway") of a store, and return its rows."""
    url = addresses(store.get("DATABASE_URL", ""), store.get("INSTANCE_PATH", ""))[database]
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        engine.dispose()


@contextmanager
def _database() -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    with server() as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    try:
        yield urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))
    finally:
        with server() as connection:
            connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))
