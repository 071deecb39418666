"""Cached values and the version of each account's values. All rows may be deleted at any time."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, bindparam, delete, func, select

from services.store.cache_leases import LeaseTable
from services.store.database import Database, chunks, lock_in_order
from services.store.memory_tables import cache_entries, cache_versions
from services.store.shared_reads import SharedReads
from services.store.upsert import Upsert, is_newer

MAX_ROWS = 500_000
# After an account, in the name of the counter of its new values; the other one counts those that replaced others.
ADDED = "+"

# Built once, so that they are kept to a mode and compiled once, too.
READ_KEYS = select(cache_entries.c.key, cache_entries.c.part).where(
    cache_entries.c.account == bindparam("account"), cache_entries.c.key.in_(bindparam("keys", expanding=True))
)
READ = READ_KEYS.add_columns(cache_entries.c.value, cache_entries.c.fetched_at, cache_entries.c.kept_until)
PUT = Upsert(
    cache_entries,
    replace=("value", "fetched_at", "kept_until"),
    only_if=is_newer(cache_entries.c.fetched_at),
)
RAISE_VERSION = Upsert(
    cache_versions,
    replace={"counter": cache_versions.c.counter + 1},
    returning=(cache_versions.c.counter,),
)


class CacheKey(NamedTuple):
    """The address of a cached value of an account: all parts of a key are fetched under one lease."""

    key: str
    part: str = ""


@dataclass(frozen=True)
class EntryRow:
    """A value as JSON, when it was fetched, and until when it may serve (Unix seconds)."""

    value: bytes
    fetched_at: float
    kept_until: float


class CacheEntryTable:
    """The values of the memory database."""

    def __init__(self, database: Database, leases: LeaseTable) -> None:
        self._database = database
        self._leases = leases
        self._reads: SharedReads[Mapping[CacheKey, EntryRow]] = SharedReads()

    def read(self, account: str, keys: Collection[str]) -> Mapping[CacheKey, EntryRow]:
        """Return all parts of some keys of an account."""
        wanted = frozenset(keys)
        return self._reads.read((account, wanted), lambda: self._read(account, wanted))

    def read_under_lease(self, account: str, keys: Collection[str]) -> Mapping[CacheKey, EntryRow]:
        """Return the same, on a connection that readers cannot occupy: the keys stay leased until it ends."""
        return self._read(account, keys, before_readers=True)

    def _read(
        self, account: str, keys: Collection[str], *, before_readers: bool = False
    ) -> Mapping[CacheKey, EntryRow]:
        found: dict[CacheKey, EntryRow] = {}
        with self._database.read(before_readers=before_readers) as connection:
            for chunk in chunks(keys):
                rows = connection.execute(READ, {"account": account, "keys": chunk})
                for key, part, value, fetched_at, kept_until in rows:
                    found[CacheKey(key, part)] = EntryRow(bytes(value), fetched_at, kept_until)
        return found

    def put(self, account: str, rows: Mapping[CacheKey, EntryRow]) -> int | None:
        """Write values without a lease, where it does not matter which process writes first.

        Returns the account's new version if a value was replaced.
        """
        with self._database.write() as connection:
            replaced = self._put(connection, account, rows)
            return self._raise_version(connection, account) if replaced else None

    def commit(
        self,
        account: str,
        fences: Mapping[str, int],
        holder: str,
        rows: Mapping[CacheKey, EntryRow],
        *,
        failures: Mapping[str, str],
    ) -> tuple[set[str], int | None]:
        """End leases and write the values that were fetched under them, in one transaction.

        One transaction, so that a process that sees the lease end also sees the value, and a process that dies here
        leaves neither. A value is not written if another holder has taken its key over, or if a newer one exists.
        Returns the keys whose fence was still the current one and, if a value was replaced, the account's new version.
        """
        with self._database.write() as connection:
            current = self._leases.release(connection, account, fences, holder, failures=failures)
            written = {cache_key: row for cache_key, row in rows.items() if cache_key.key in current}
            replaced = self._put(connection, account, written)
            version = self._raise_version(connection, account) if replaced else None
        return current, version

    def keep(
        self, account: str, fences: Mapping[str, int], holder: str, rows: Mapping[CacheKey, EntryRow]
    ) -> tuple[set[str], int | None]:
        """Write a part of what is fetched under leases that go on; return as `commit` does."""
        with self._database.write() as connection:
            current = self._leases.confirm(connection, account, fences, holder)
            written = {cache_key: row for cache_key, row in rows.items() if cache_key.key in current}
            replaced = self._put(connection, account, written)
            version = self._raise_version(connection, account) if replaced else None
        return current, version

    def versions(self) -> dict[str, int]:
        """Return the version of each account's values; every replacement raises it by one.

        Under the account's name with `ADDED` there is another counter, which values raise that replace none: before
        them a process may have found that there is none.
        """
        with self._database.read(before_readers=True) as connection:
            return {row.account: row.counter for row in connection.execute(select(cache_versions))}

    def raise_version(self, account: str) -> int:
        """Raise the version of an account's values, which have changed outside of the cache, and return it."""
        with self._database.write() as connection:
            return self._raise_version(connection, account)

    def forget(self, account: str) -> None:
        """Delete the values of an account and end its leases, so that nothing being fetched is committed any more."""
        with self._database.write() as connection:
            self._leases.delete(connection, account)  # First, as in a commit: no deadlock.
            _delete(connection, cache_entries.c.account == account)
            self._raise_version(connection, account)

    def sweep(self, now: float) -> int:
        """Delete values that may not serve any more and, above the limit, the oldest; return how many were deleted."""
        with self._database.write() as connection:
            deleted = _delete(connection, cache_entries.c.kept_until < now)
            excess = connection.execute(select(func.count()).select_from(cache_entries)).scalar_one() - MAX_ROWS
            if excess > 0:
                by_age = select(cache_entries.c.fetched_at).order_by(cache_entries.c.fetched_at)
                limit = connection.execute(by_age.offset(excess).limit(1)).scalar_one()
                deleted += _delete(connection, cache_entries.c.fetched_at < limit)
            self._leases.sweep(connection)
        return deleted

    def _put(self, connection: Connection, account: str, rows: Mapping[CacheKey, EntryRow]) -> bool:
        """Write values and announce new ones; return whether a value existed before."""
        existing = self._write(connection, account, rows)
        if len(existing) < len(rows):
            self._raise_version(connection, account + ADDED)
        return bool(existing)

    def _write(self, connection: Connection, account: str, rows: Mapping[CacheKey, EntryRow]) -> set[CacheKey]:
        """Insert values, or replace older ones; return those that existed before."""
        if not rows:
            return set()
        existing: set[CacheKey] = set()
        for chunk in chunks({cache_key.key for cache_key in rows}):
            rows_there = connection.execute(READ_KEYS, {"account": account, "keys": chunk})
            existing |= {CacheKey(key, part) for key, part in rows_there}
        values = [
            {
                "account": account,
                "key": cache_key.key,
                "part": cache_key.part,
                "value": row.value,
                "fetched_at": row.fetched_at,
                "kept_until": row.kept_until,
            }
            for cache_key, row in sorted(rows.items())  # In one order, as the leases: no deadlock.
        ]
        PUT.run(connection, values, now=self._database.clock.timestamp())
        return existing & rows.keys()

    def _raise_version(self, connection: Connection, account: str) -> int:
        return int(RAISE_VERSION.run(connection, {"account": account, "counter": 1}).scalar_one())


def _delete(connection: Connection, condition: ColumnElement[bool]) -> int:
    """Delete values within a transaction, in the order in which a commit writes them; return how many there were."""
    lock_in_order(connection, cache_entries, condition)
    return int(connection.execute(delete(cache_entries).where(condition)).rowcount)
