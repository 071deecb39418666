"""How PostgreSQL's own programs back up and restore a database, without a password in what is shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy.engine import URL, make_url

from services.store.schema import memory

PASSWORD = "PGPASSWORD"  # noqa: S105  # the name of libpq's variable
COMMON = ("--no-owner", "--no-privileges")  # another server may have other users


class Program(NamedTuple):
    """The arguments of a program, and the variables that it needs besides those of this process."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def shown(self) -> str:
        """Return the command as it is typed, without the password."""
        return shlex.join(self.arguments)


def dump(database_url: str, file: str) -> Program:
    """Return the program that writes a database to a file, at one moment of it.

    What may be lost (cache, leases, limits) is left out: leases and throttles of the past must not come back.
    """
    url, environment = _without_password(database_url)
    left_out = [f"--exclude-table-data={name}" for name in sorted(memory.tables)]
    address = _text(url)
    options = ("--format=custom", "--no-password", *COMMON, *left_out, f"--file={file}", f"--dbname={address}")
    return Program(("pg_dump", *options), environment)


def check(file: str) -> Program:
    """Return the program that reads a whole backup without a database."""
    return Program(("pg_restore", "--file=/dev/null", file), {})


def restore(database_url: str, file: str, name: str) -> tuple[Program, Program]:
    """Return the programs that create a database of another name on the same server, and fill it from a backup."""
    url, environment = _without_password(database_url)
    create = ("createdb", f"--maintenance-db={_text(url)}", name)
    options = ("--exit-on-error", "--single-transaction", *COMMON, f"--dbname={_text(url.set(database=name))}", file)
    return Program(create, environment), Program(("pg_restore", *options), environment)


def _without_password(database_url: str) -> tuple[URL, Mapping[str, str]]:
    url = make_url(database_url)
    password = url.query.get("password", url.password)
    address = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    address = address.difference_update_query(["password"])
    return address, {} if password is None else {PASSWORD: str(password)}


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)  # It has none.
