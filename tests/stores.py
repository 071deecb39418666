"""Stores for tests: two files, or a PostgreSQL database of its own, and a look at what stands in them."""

from __future__ import annotations

import atexit
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import create_engine, text

from commands.migrate import migrate
from config import Config
from services.store.schema import gateway, memory
from services.store.store import addresses
from tests.support import leaks_in, leaks_in_folder, new_instance

SERVER = os.environ.get("TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
ENGINES = ("sqlite", "postgresql")
Settings = dict[str, str]

# What a test may have left changed in a database besides rows: columns, indexes, versions.
SHAPE = """
    SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT tablename, indexname, indexdef, '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT 'memory', version_num, '', '' FROM memory_version
    UNION ALL SELECT 'gateway', version_num, '', '' FROM gateway_version
    ORDER BY 1, 2, 3
"""
_shapes: dict[str, list[tuple[object, ...]]] = {}  # of each migrated database of PostgreSQL that this process has made
_unused: list[str] = []  # those of them that no test uses now


@contextmanager
def new_store(engine: str, *, migrated: bool = True) -> Iterator[Settings]:
    """Give the settings of a new store, which goes with the block; skip where there is no PostgreSQL."""
    if engine == "postgresql":
        with _migrated_database() if migrated else _database() as url:
            yield {"DATABASE_URL": url}
            assert _leaks_in_database(url) == []
        return
    folder = new_instance()
    if not migrated:
        shutil.rmtree(folder)
        os.mkdir(folder)
    try:
        yield {"INSTANCE_PATH": folder}
        assert leaks_in_folder(folder) == []
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_english_store() -> Iterator[Settings]:
    """Give the settings of a new store in PostgreSQL whose texts are in the order of a language, as on most servers."""
    name = _new_name()
    with server() as connection:
        locale = SQL("CREATE DATABASE {} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'")
        connection.execute(locale.format(Identifier(name)))
    try:
        migrate(Config(database_url=_address(name)))
        yield {"DATABASE_URL": _address(name)}
        assert _leaks_in_database(_address(name)) == []
    finally:
        _drop(name)


def _leaks_in_database(url: str) -> list[str]:
    """Name the secrets and API keys that stand in any table."""
    with server(url) as connection:
        connection.execute("SET statement_timeout = '10s'")
        texts = [
            f"{value}"
            for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for value in connection.execute(SQL("SELECT t::text FROM {} t").format(Identifier(table))).fetchall()
        ]
    return leaks_in("\n".join(texts))


@contextmanager
def server(url: str = SERVER) -> Iterator[psycopg.Connection]:
    """Give a connection to the server of PostgreSQL, from which its databases can be managed, or to one of these."""
    try:
        connection = psycopg.connect(url, autocommit=True, connect_timeout=5)
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


def _new_name() -> str:
    return f"test_{uuid.uuid4().hex[:16]}"


def _address(name: str) -> str:
    return urlunsplit(urlsplit(SERVER)._replace(path=f"/{name}"))


def _create(name: str) -> None:
    with server() as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        # No test cuts the power of the server; one that kills a gateway loses nothing by this.
        connection.execute(SQL("ALTER DATABASE {} SET synchronous_commit = off").format(Identifier(name)))


def _drop(name: str) -> None:
    with server() as connection:
        connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))


@contextmanager
def _database() -> Iterator[str]:
    """Give the address of an empty database."""
    name = _new_name()
    _create(name)
    try:
        yield _address(name)
    finally:
        _drop(name)


@contextmanager
def _migrated_database() -> Iterator[str]:
    """Give the address of a migrated database without a row: one that was used before, if it can be cleaned.

    To create, migrate and drop one takes seconds, to clean one takes milliseconds.
    """
    name = _new_name()
    used = _unused.pop() if _unused else None
    if used is None or not _clean(used, name):
        _create(name)
        migrate(Config(database_url=_address(name)))
        with server(_address(name)) as connection:
            _shapes[name] = connection.execute(SHAPE).fetchall()
    try:
        yield _address(name)
    finally:
        _unused.append(name)


def _clean(used: str, name: str) -> bool:
    """Give a used database a new name and delete its rows; drop it and return False if more than rows has changed."""
    shape = _shapes.pop(used)
    try:
        with server() as connection:
            # By the new name nothing finds it that outlived its test.
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [used]
            )
            connection.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(used), Identifier(name)))
        with server(_address(name)) as connection:
            if connection.execute(SHAPE).fetchall() == shape:
                tables = [table for metadata in (gateway, memory) for table in metadata.tables]
                connection.execute("".join(f"DELETE FROM {table};" for table in tables))
                for (sequence,) in connection.execute("SELECT sequencename FROM pg_sequences").fetchall():
                    connection.execute(SQL("ALTER SEQUENCE {} RESTART").format(Identifier(sequence)))
                _shapes[name] = shape
                return True
    except psycopg.Error:
        pass  # It is dropped like any other one that is of no use.
    for remaining in (used, name):
        _drop(remaining)
    return False


@atexit.register
def _drop_unused() -> None:
    for name in _unused:
        with suppress(psycopg.Error):
            _drop(name)
