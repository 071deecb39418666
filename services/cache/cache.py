"""The cache in front of every provider read.

What `get_or_fetch` returns for a value that is

- fresh: the value, from this process or else from the database
- expired, within its policy's stale-while-revalidate: the value, at once; one refresh begins in the background
- expired for longer: the value that a refresh brings within moments, else the expired one, marked stale
- absent, or older than a request with `refresh=true` accepts: what one caller fetches while all others wait, over
  threads, processes and machines (`services.cache.single_flight`)
- not fetched because the provider failed: the last good value, marked stale, up to `STALE_IF_ERROR` after its expiry;
  without one, the failure
- known, but left out, refused or unreadable when it was fetched again: the known value, marked stale, and asked for
  again after `RETRY_UNKNOWN_AFTER` (the policy's `merge`)

A fetch of several calls hands over each answer as it comes (`services.cache.fetch_request.Keep`). What was answered is
then kept, whatever becomes of the later calls, and the next attempt fetches only the rest (`services.cache.fetching`).

A newer value is never replaced by an older one, and a value that was fetched under a lease that another process has
taken over meanwhile is not written at all (`services.store.cache_leases`).
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from time import monotonic

from services import request_context
from services.cache.background_refresh import BackgroundRefresh
from services.cache.entries import CacheEntries, CacheEntry
from services.cache.fetch_request import Fetch, FetchOne, FetchRequest, Found, Single, only_entry
from services.cache.fetching import Fetching
from services.cache.part_writer import K, PartWriter, V
from services.cache.policies import REFRESH_WAIT, FreshnessPolicy, Json
from services.cache.single_flight import MAX_WAIT_FOR_FETCH, SingleFlight
from services.clock import Clock
from services.errors import BusyError, ProviderError
from services.store.cache_entries import CacheEntryTable, CacheKey
from services.store.cache_leases import LeaseTable


class Cache:
    """The cached values of all accounts, and the one way to fetch them."""

    def __init__(
        self,
        table: CacheEntryTable,
        leases: LeaseTable,
        clock: Clock,
        *,
        may_refresh: Callable[[str], bool],
        redact: Callable[[str], str],
        on_use: Callable[[], object],
    ) -> None:
        """Build a cache; no thread and no connection begins before its first use.

        `may_refresh` says whether the provider of an account may be called in the background now. `on_use` starts
        what has to run beside a used cache, unless it runs: `extend_leases` every `EXTENSION_INTERVAL`,
        `invalidate_changed` every second or so.
        """
        self._clock = clock
        self._may_refresh = may_refresh
        self._on_use = on_use
        self._entries = CacheEntries(table, clock, redact=redact)
        self._single_flight = SingleFlight(table, leases, holder=uuid.uuid4().hex)
        self._lock = threading.Lock()
        self._is_used = False
        self._fetching = Fetching(self._entries, self._single_flight, clock)
        self._background = BackgroundRefresh(self._fetching, self._single_flight, clock)

    def get_or_fetch(
        self, account: str, key: str, policy: FreshnessPolicy, fetch: FetchOne, *, provider: str | None = None
    ) -> CacheEntry:
        """Return the value of a key; `fetch` gets the cached one. Raises the failure if there is no value at all."""
        return only_entry(self.get_or_fetch_many(account, {CacheKey(key): policy}, Single(fetch), provider=provider))

    def get_or_fetch_many(
        self,
        account: str,
        policies: Mapping[CacheKey, FreshnessPolicy],
        fetch: Fetch | Single,
        *,
        provider: str | None = None,
    ) -> Found:
        """Return the value of each key, or the failure if there is none.

        What is cached is returned if it will do; else it is fetched, or another caller's fetch is waited for. Raises
        `BusyError` if the request would have to wait, may not, and a value is missing.
        """
        request = FetchRequest(account, policies, fetch, provider, request_context.not_before())
        self._prepare()
        found, last_good = self._cached(request)
        pending = [key for key in policies if key not in found]
        if len(last_good) == len(pending) and not request.not_before:
            return found | last_good | self._refreshed_within_moments(request, pending)
        if not pending or not self._may_wait(request, is_needed=len(last_good) < len(pending)):
            return found | last_good
        deadline = monotonic() + min(MAX_WAIT_FOR_FETCH, request_context.remaining())
        while pending:
            led, joined = self._single_flight.join(account, {key.key for key in pending})
            failures: dict[str, ProviderError] = {}
            if led:
                fetched, failures = self._fetching.lead(request, led, pending, deadline)
                found |= fetched
            for flight in joined:
                if not flight.wait(max(0.0, deadline - monotonic())):
                    failures[flight.key] = request.timed_out()
                elif flight.failure is not None:
                    failures[flight.key] = flight.failure
            # A flight without a failure may still have brought nothing that this caller accepts: it began before
            # `not_before`, or its process died. Then the key stays pending, and the next round leads its flight.
            found |= self._fresh(request, [key for key in pending if key not in found])
            found |= {key: failures[key.key] for key in pending if key not in found and key.key in failures}
            pending = [key for key in pending if key not in found]
        failed = {key: each for key, each in found.items() if isinstance(each, ProviderError)}
        return found | {key: replace(entry, failure=failed[key]) for key, entry in last_good.items() if key in failed}

    def refresh(
        self, account: str, key: str, policy: FreshnessPolicy, fetch: FetchOne, *, provider: str | None = None
    ) -> None:
        """Fetch a key in the background, unless it is being fetched or has just failed."""
        self._prepare()
        cache_key = CacheKey(key)
        request = FetchRequest(account, {cache_key: policy}, Single(fetch), provider)
        self._background.start(request, [cache_key])

    def peek(
        self, account: str, policies: Mapping[CacheKey, FreshnessPolicy], *, not_before: float = 0.0
    ) -> dict[CacheKey, CacheEntry]:
        """Return the fresh values of some keys, without fetching anything.

        The database is not asked again for what it did not have, before it has new values of the account: one that
        another process has put within the last second may be missing. With `not_before` (Unix seconds) the values are
        those since that moment, and the database is asked for each that this process does not have.
        """
        found = self._entries.look_up(account, policies, trusts_absence=not not_before, not_before=not_before)
        return {
            key: entry
            for key, entry in found.items()
            if (not entry.stale or entry.asked_at is not None) and not entry.is_older_than(not_before)
        }

    def known(self, account: str, policies: Mapping[CacheKey, FreshnessPolicy]) -> dict[CacheKey, CacheEntry]:
        """Return the last values of some keys, fresh or stale, without fetching anything."""
        return self._entries.look_up(account, policies, trusts_absence=True)

    def put(self, account: str, values: Mapping[CacheKey, tuple[Json, FreshnessPolicy]]) -> None:
        """Cache values that were learned from the fetch of others."""
        now = self._clock.timestamp()
        rows = {cache_key: self._entries.row(value, policy, now) for cache_key, (value, policy) in values.items()}
        self._entries.put(account, rows)

    def part_writer(self, write: Callable[[Mapping[K, V]], object]) -> PartWriter[K, V]:
        """Return what writes in parts, beside a fetch, what it brings besides cached values."""
        return self._fetching.part_writer(write)

    def forget(self, account: str) -> None:
        """Drop this process's copy of an account's values; the database has newer ones, or none."""
        self._entries.forget(account)

    def now(self) -> float:
        """Return the present moment (Unix seconds) by the clock of this cache."""
        return self._clock.timestamp()

    def announce_change(self, account: str) -> None:
        """Have every process drop what it made of an account's data, which has changed outside of the cache."""
        self._entries.announce_change(account)

    @property
    def tick(self) -> int:
        """The number of changes that this process has seen.

        A reply that was made while a value changed may rest on the old one. So a cache of replies notes the tick
        before one is made, and keeps it only if `last_change` of the account is not later.
        """
        return self._entries.tick

    def last_change(self, account: str) -> int:
        """Return the tick at which an account's values were last replaced."""
        return self._entries.last_change(account)

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Call a listener with each account whose values were replaced, by this process or another."""
        self._entries.on_change(listener)

    def extend_leases(self) -> None:
        """Extend the leases of all fetches of this process; raises `DatabaseUnavailableError`."""
        self._single_flight.extend_leases()

    def invalidate_changed(self) -> None:
        """Drop the accounts whose values another process has replaced; raises `DatabaseUnavailableError`."""
        self._entries.invalidate_changed()

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until this process fetches nothing; return whether that came in time."""
        return self._single_flight.wait_until_quiet(seconds)

    def close(self) -> None:
        """Stop all threads."""
        self._single_flight.close()
        self._background.close()
        self._fetching.close()

    def _prepare(self) -> None:
        """Begin what has to run beside a used cache."""
        if not self._is_used:
            with self._lock:
                if not self._is_used:
                    self._entries.note_versions()
                    self._is_used = True
        self._on_use()  # With each use: where the system had no thread left, it has not begun.

    def _cached(self, request: FetchRequest) -> tuple[Found, dict[CacheKey, CacheEntry]]:
        """Return what will do without waiting, and the last good values of the other keys.

        What has expired is refreshed in the background.
        """
        cached = self._entries.look_up(request.account, request.policies, trusts_absence=True)
        now = self._clock.timestamp()
        found: Found = {key: entry for key, entry in cached.items() if request.accepts_at_once(key, entry, now=now)}
        expired = [key for key, entry in cached.items() if key in found and entry.stale and now >= entry.retry_at]
        if expired and self._may_refresh(request.account):
            self._background.start(request, expired)
        last_good = {
            key: replace(entry, stale=True, expires_at=min(entry.expires_at, now))
            for key, entry in cached.items()
            if key not in found
        }
        return found, last_good

    def _look_up(self, request: FetchRequest, cache_keys: Collection[CacheKey]) -> dict[CacheKey, CacheEntry]:
        policies = {key: request.policies[key] for key in cache_keys}
        return self._entries.look_up(request.account, policies, not_before=request.not_before)

    def _fresh(self, request: FetchRequest, cache_keys: Collection[CacheKey]) -> dict[CacheKey, CacheEntry]:
        cached, now = self._look_up(request, cache_keys), self._clock.timestamp()
        return {key: entry for key, entry in cached.items() if request.accepts_as_fresh(entry, now=now)}

    def _may_wait(self, request: FetchRequest, *, is_needed: bool) -> bool:
        """Take a waiting slot for the request being served; if none is free, return False, or raise if it is needed."""
        context = request_context.current.get()
        try:
            if context is not None:
                context.wait(request.provider or request_context.INSTAGRAM, request.account)
        except BusyError:
            if is_needed:
                raise
            return False
        return True

    def _refreshed_within_moments(
        self, request: FetchRequest, cache_keys: Collection[CacheKey]
    ) -> dict[CacheKey, CacheEntry]:
        """Refresh in the background and return what that brings within `REFRESH_WAIT` of its beginning.

        A provider that fails is not waited for: `may_refresh` or the last refresh of a key says so.
        """
        if not cache_keys or not self._may_refresh(request.account):
            return {}
        request_context.give_way()
        for flight in self._background.start(request, cache_keys):
            flight.wait(max(0.0, flight.begun_at + REFRESH_WAIT - monotonic()))
        return {key: entry for key, entry in self._look_up(request, cache_keys).items() if not entry.stale}
