"""Cached values: looked up in this process first, then in the shared database."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from services.cache.local import LocalCache
from services.cache.policies import (
    FINAL_VALUE_KEPT_FOR,
    FOR_EVER,
    RETRY_UNKNOWN_AFTER,
    STALE_IF_ERROR,
    FreshnessPolicy,
    Json,
)
from services.cache.values import ASKED, HeldRow
from services.clock import Clock, is_ahead
from services.errors import ProviderError
from services.store.cache_entries import ADDED, CacheEntryTable, CacheKey, EntryRow
from services.store.database import DatabaseUnavailableError

LATEST_READING = 4_102_444_800  # The year 2100, in Unix seconds: a row that was read later is damaged.
# What reading a row may raise that is damaged, or was written by another version of this program.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """A cached value: when it was fetched, when it expires (Unix seconds), and whether it is stale.

    It is stale once it has expired, or once the provider was asked again and did not know it any more. Then `asked_at`
    is the moment of that call, and before `retry_at` nothing is asked again. `failure` says why it could not be fetched
    for a caller who gets it all the same. Of one whose time lies ahead (`is_ahead`) it is not known how old it is.
    """

    value: Json
    fetched_at: float
    expires_at: float
    stale: bool = False
    asked_at: float | None = None
    retry_at: float = 0.0
    failure: ProviderError | None = None
    is_ahead: bool = False

    @property
    def last_asked(self) -> float:
        """When the provider was last asked for the value."""
        return self.fetched_at if self.asked_at is None else self.asked_at

    def without_value(self) -> CacheEntry:
        """Return the same with an empty value, for what keeps something else that was made of it."""
        # Each field by itself: `replace` takes five times as long, and there is one entry for each value.
        return CacheEntry(
            {},
            self.fetched_at,
            self.expires_at,
            self.stale,
            self.asked_at,
            self.retry_at,
            self.failure,
            self.is_ahead,
        )

    def is_older_than(self, moment: float) -> bool:
        """Return whether the provider was last asked before a moment (Unix seconds) for a value that may change."""
        return self.is_ahead or (self.last_asked < moment and self.expires_at != FOR_EVER)


class CacheEntries:
    """The cached values of all accounts, in this process and in the database."""

    def __init__(self, table: CacheEntryTable, clock: Clock, *, redact: Callable[[str], str]) -> None:
        self._table = table
        self._clock = clock
        self._redact = redact
        self._local = LocalCache()
        self._versions: dict[str, int] = {}  # whose changes this process has seen, or made
        self._listeners: list[Callable[[str], None]] = []

    @property
    def tick(self) -> int:
        """The number of changes that this process has seen."""
        return self._local.tick

    def last_change(self, account: str) -> int:
        """Return the tick at which an account's values were last replaced."""
        return self._local.last_change(account)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call a listener with each account whose values were replaced, by this process or another."""
        self._listeners.append(listener)

    def look_up(
        self,
        account: str,
        policies: Mapping[CacheKey, FreshnessPolicy],
        *,
        unusable: dict[CacheKey, CacheEntry] | None = None,
        under_lease: bool = False,
        trusts_absence: bool = False,
        not_before: float = 0.0,
    ) -> dict[CacheKey, CacheEntry]:
        """Return the cached values of some keys, marked stale if they have expired.

        The database is read only for keys that are absent from this process, or of which its value has expired or is
        older than `not_before` (Unix seconds): for those another process may have fetched a newer one. With
        `trusts_absence` it is not asked again for what it did not have, before it has new values of the account.
        `unusable` gets the values that their policy does not let serve.
        """
        rows = self._local.get(account, policies)
        found = self._entries(policies, policies, rows)
        outdated = {key.key for key, entry in found.items() if entry.stale or entry.is_older_than(not_before)}
        if len(found) < len(policies):
            absent = {cache_key.key for cache_key in policies if cache_key not in found}
            if trusts_absence:
                absent = {key for key in absent if not self._local.is_whole(account, key)}
            outdated |= absent
        if outdated:
            stored = self._read(account, outdated, under_lease=under_lease)
            found |= self._entries([each for each in policies if each.key in outdated], policies, stored)
            if unusable is not None:
                rest = [each for each in policies if each not in found]
                unusable |= self._entries(rest, policies, {**rows, **stored}, unusable=True)
        return found

    def entry(self, held: HeldRow, policy: FreshnessPolicy) -> CacheEntry | None:
        """Return a row as its policy sees it now, or None if it may not serve."""
        return self._entry(held, policy, now=self._clock.timestamp(), unusable=False)

    def _entry(self, held: HeldRow, policy: FreshnessPolicy, *, now: float, unusable: bool) -> CacheEntry | None:
        row = held.row
        if row.kept_until <= now:
            return None
        try:
            value = held.value
            asked_at, retry_at = value.asked
            expires_at = policy.expires_at(value, row.fetched_at)
        except UNREADABLE:
            return None
        if not 0 < row.fetched_at <= LATEST_READING:
            return None
        if expires_at is None:
            return CacheEntry(value, row.fetched_at, row.fetched_at, stale=True) if unusable else None
        ahead = is_ahead(row.fetched_at if asked_at is None else asked_at, now)
        if asked_at is not None and not ahead:
            return CacheEntry(value, row.fetched_at, min(expires_at, asked_at), True, asked_at, retry_at)
        expires_at = min(expires_at, now) if ahead else expires_at
        return CacheEntry(value, row.fetched_at, expires_at, stale=now >= expires_at, is_ahead=ahead)

    def merged(self, known: CacheEntry | None, value: Json, policy: FreshnessPolicy, fetched_at: float) -> EntryRow:
        """Return a fetched value as a row; of a known one it keeps what is newly unknown, marked as stale.

        The row then says when the known part was fetched, so its age is true; and it is asked for again soon.
        """
        kept = value if known is None else policy.merge(known.value, value)
        if known is None or kept == value:
            return self.row(value, policy, fetched_at)
        return self.stale_row(replace(known, value=kept), policy, fetched_at, retry_at=fetched_at + RETRY_UNKNOWN_AFTER)

    def stale_row(self, known: CacheEntry, policy: FreshnessPolicy, asked_at: float, *, retry_at: float) -> EntryRow:
        """Return the row of a known value that was asked for again in vain."""
        fetched_at = min(known.fetched_at, asked_at)  # Also where the clock was set back since.
        row = self.row({**known.value, ASKED: (asked_at, retry_at)}, policy, fetched_at)
        return replace(row, kept_until=max(row.kept_until, retry_at))

    def row(self, value: Json, policy: FreshnessPolicy, fetched_at: float) -> EntryRow:
        """Return a value as a row."""
        expires_at = policy.expires_at(value, fetched_at)
        if expires_at is None or expires_at == FOR_EVER:
            kept_until = fetched_at + FINAL_VALUE_KEPT_FOR
        else:
            kept_until = max(expires_at, fetched_at) + STALE_IF_ERROR
        # A provider may echo a credential, which must not be written to a file.
        text = self._redact(json.dumps(value, separators=(",", ":")))
        return EntryRow(text.encode(), fetched_at, kept_until)

    def committed(self, account: str, rows: Mapping[CacheKey, HeldRow], *, replaced: bool, version: int | None) -> None:
        """Copy rows that were committed to the database; if they replace others, report the change to listeners.

        `version` is the account's new one, if they replaced others in the database.
        """
        if replaced:
            self.forget(account)
        if version is not None:
            self._made_change(account, version)
        self._local.put(account, rows, read_at=self._local.tick)

    def put(self, account: str, rows: Mapping[CacheKey, EntryRow]) -> None:
        """Write rows without a lease; if they replace others, report the change to listeners."""
        held = {cache_key: HeldRow(row) for cache_key, row in rows.items()}
        self._local.put(account, held, read_at=self._local.tick)
        try:
            version = self._table.put(account, rows)
        except DatabaseUnavailableError:
            return  # This process has them.
        if version is not None:
            self.committed(account, held, replaced=True, version=version)

    def announce_change(self, account: str) -> None:
        """Have every process drop what it knows of an account."""
        self.forget(account)
        with suppress(DatabaseUnavailableError):
            self._made_change(account, self._table.raise_version(account))

    def note_versions(self) -> None:
        """Take what has changed until now as seen: every value is read afterwards."""
        with suppress(DatabaseUnavailableError):
            self._versions = self._table.versions()

    def invalidate_changed(self) -> None:
        """Drop the accounts whose values another process has replaced; raises `DatabaseUnavailableError`.

        Of an account that has new values, only that they were absent is forgotten.
        """
        versions = self._table.versions()
        known, self._versions = self._versions, versions
        for name, version in versions.items():
            if version == known.get(name, 0):
                continue
            if name.endswith(ADDED):
                self._local.drop_absences(name.removesuffix(ADDED))
            else:
                self.forget(name)

    def forget(self, account: str) -> None:
        """Drop this process's copy of an account's values, and everything that listeners made of them."""
        self._local.drop(account)
        for listener in self._listeners:
            listener(account)

    def _made_change(self, account: str, version: int) -> None:
        """Note a change that this process has made, so that it does not drop later what it has read since.

        Where another process has made one in between, the versions differ by more, and the account is dropped.
        """
        if self._versions.get(account, 0) == version - 1:
            self._versions[account] = version

    def _read(self, account: str, keys: Collection[str], *, under_lease: bool) -> Mapping[CacheKey, HeldRow]:
        read_at = self._local.tick
        read = self._table.read_under_lease if under_lease else self._table.read
        try:
            rows = {cache_key: HeldRow(row) for cache_key, row in read(account, keys).items()}
        except DatabaseUnavailableError:
            return {}
        rows |= self._newer_here(account, rows)
        self._local.put(account, rows, read_at=read_at)
        self._local.note_read(account, keys, read_at=read_at)
        return rows

    def _newer_here(self, account: str, rows: Mapping[CacheKey, HeldRow]) -> dict[CacheKey, HeldRow]:
        """Return the rows of this process that are newer than those of the database, into which it could not write."""
        now = self._clock.timestamp()
        return {
            cache_key: held
            for cache_key, held in self._local.get(account, rows).items()
            if rows[cache_key].row.fetched_at < held.row.fetched_at and not is_ahead(held.row.fetched_at, now)
        }

    def _entries(
        self,
        cache_keys: Collection[CacheKey],
        policies: Mapping[CacheKey, FreshnessPolicy],
        rows: Mapping[CacheKey, HeldRow],
        *,
        unusable: bool = False,
    ) -> dict[CacheKey, CacheEntry]:
        now = self._clock.timestamp()
        found: dict[CacheKey, CacheEntry] = {}
        for cache_key in cache_keys:
            held = rows.get(cache_key)
            entry = None if held is None else self._entry(held, policies[cache_key], now=now, unusable=unusable)
            if entry is not None:
                found[cache_key] = entry
        return found
