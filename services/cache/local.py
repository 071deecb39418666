"""This process's copy of the most recently used cached values, so that warm requests do not read the database."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping

from services.cache.values import HeldRow
from services.store.cache_entries import CacheKey

LOCAL_CACHE_BYTES = 24 * 1024 * 1024  # with all that is read out of the rows

# What a row takes in memory, by measurement: its bytes, and what is read out of them. Of a list of posts that is three
# times as much as the bytes; of a small value most is the objects themselves.
ROW_OVERHEAD = 1_200  # bytes
READ_FACTOR = 4

# Seconds for which the database is not asked again for what it did not have. Before them a change counter says that it
# has new values; this is for the case that no counter can be read.
ABSENT_FOR = 60.0
MOST_ABSENT = 10_000  # keys

Key = tuple[str, str]


class LocalCache:
    """Rows by account and key; bounded in bytes, the least recently used are dropped first.

    Ticks order reads and changes. A thread may read rows from the database, be suspended while another thread commits
    newer ones and drops the account here, and only then call `put`: without a check it would bring the old rows back.
    So a reader notes the tick before it reads, and `put` refuses rows whose account has changed since that tick.
    """

    def __init__(self, max_bytes: int = LOCAL_CACHE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._rows: OrderedDict[Key, dict[str, HeldRow]] = OrderedDict()
        self._bytes = 0
        self._changed_at: dict[str, int] = {}
        self._added_at: dict[str, int] = {}  # when values came to what was absent
        self._read_at: dict[Key, float] = {}  # when all parts of a key were read last, monotonic
        self._tick = 0

    @property
    def tick(self) -> int:
        """The number of changes so far."""
        return self._tick

    def last_change(self, account: str) -> int:
        """Return the tick at which an account was last dropped, or 0."""
        return self._changed_at.get(account, 0)

    def get(self, account: str, cache_keys: Iterable[CacheKey]) -> dict[CacheKey, HeldRow]:
        """Return those rows of some keys that are here."""
        found: dict[CacheKey, HeldRow] = {}
        with self._lock:
            for cache_key in cache_keys:
                address = account, cache_key.key
                parts = self._rows.get(address)
                if parts is not None:
                    self._rows.move_to_end(address)
                    if cache_key.part in parts:
                        found[cache_key] = parts[cache_key.part]
        return found

    def put(self, account: str, rows: Mapping[CacheKey, HeldRow], *, read_at: int) -> None:
        """Add rows that were read at a tick, unless the account has changed since."""
        with self._lock:
            if self._changed_at.get(account, 0) > read_at:
                return
            for cache_key, row in rows.items():
                parts = self._rows.setdefault((account, cache_key.key), {})
                self._bytes += _size(row) - (_size(parts[cache_key.part]) if cache_key.part in parts else 0)
                parts[cache_key.part] = row
                self._rows.move_to_end((account, cache_key.key))
            while self._bytes > self._max_bytes and self._rows:
                key, dropped = self._rows.popitem(last=False)
                self._read_at.pop(key, None)
                self._bytes -= sum(map(_size, dropped.values()))

    def is_whole(self, account: str, key: str) -> bool:
        """Return whether all that the database has of a key was read, so that what is not here is absent there."""
        read_at = self._read_at.get((account, key))
        return read_at is not None and time.monotonic() - read_at < ABSENT_FOR

    def note_read(self, account: str, keys: Collection[str], *, read_at: int) -> None:
        """Note that all parts of some keys were read at a tick."""
        with self._lock:
            if max(self._changed_at.get(account, 0), self._added_at.get(account, 0)) > read_at:
                return
            if len(self._read_at) + len(keys) > MOST_ABSENT:
                self._read_at.clear()
            now = time.monotonic()
            self._read_at |= {(account, key): now for key in keys}

    def drop(self, account: str) -> None:
        """Drop all rows of an account, because one of its values was replaced."""
        with self._lock:
            self._tick += 1
            self._changed_at[account] = self._tick
            self._forget_reads(account)
            for key in [key for key in self._rows if key[0] == account]:
                self._bytes -= sum(map(_size, self._rows.pop(key).values()))

    def drop_absences(self, account: str) -> None:
        """Forget what was absent of an account, because there are new values; those that are here stay."""
        with self._lock:
            self._tick += 1
            self._added_at[account] = self._tick
            self._forget_reads(account)

    def _forget_reads(self, account: str) -> None:
        for key in [key for key in self._read_at if key[0] == account]:
            del self._read_at[key]


def _size(held: HeldRow) -> int:
    return len(held.row.value) * READ_FACTOR + ROW_OVERHEAD
