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

A fetch of several calls hands over each answer as it comes (`Keep`). What was answered is then kept, whatever becomes
of the later calls, and the next attempt fetches only the rest.

A newer value is never replaced by an older one, and a value that was fetched under a lease that another process has
taken over meanwhile is not written at all (`services.store.leases`).
"""

from __future__ import annotations

import contextvars
import logging
import threading
import uuid
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic

from services import request_context
from services.cache.entries import CacheEntries, CacheEntry
from services.cache.policies import FOR_EVER, RETRY_FAILED_AFTER, FreshnessPolicy, Json
from services.cache.single_flight import Flight, SingleFlight
from services.clock import Clock
from services.errors import BusyError, DeadlineExceededError, ProviderError
from services.request_context import RequestContext
from services.store.cache_entries import CacheEntryTable, CacheKey, EntryRow
from services.store.database import DatabaseUnavailableError
from services.store.leases import LeaseTable

log = logging.getLogger(__name__)

MAX_WAIT = 90.0  # seconds that a caller waits for a fetch of another one, and not beyond its request's deadline
REFRESH_WAIT = 2.0  # seconds that a caller waits for a newer value when it could have an expired one
REFRESH_THREADS = 4
MAX_REFRESHES = 64  # queued or running in this process; those beyond are started by later requests
MAX_FAILED_REFRESHES = 10_000  # remembered

FetchResult = Json | ProviderError

Keep = Callable[[Mapping[CacheKey, Json]], None]
"""Commits a part of what a fetch has brought, at once; safe for threads. The fetch goes on as one single flight: the
callers that wait for it get their values when it ends, whichever way.

A value that grows with each call, as a list that is read page by page, is committed as far as it goes, and replaces
what is cached: give only a value that has all that the cached one has. If the fetch then fails, raise the failure:
callers get the kept value where its policy lets it serve, else the failure. The next fetch continues from what was
kept, even if its policy does not let it serve (then it is stale)."""

Fetch = Callable[[Collection[CacheKey], Mapping[CacheKey, CacheEntry], Keep], Mapping[CacheKey, FetchResult]]
"""Gets the keys to fetch, what is cached of them, and `Keep`; returns a result for each key, or raises the failure of
all that it has not kept."""

FetchOne = Callable[[CacheEntry | None], FetchResult]
"""The same for a single key that one call fetches."""

Found = dict[CacheKey, CacheEntry | ProviderError]


@dataclass(frozen=True)
class FetchRequest:
    """What one caller needs of an account, and how to fetch it."""

    account: str
    policies: Mapping[CacheKey, FreshnessPolicy]
    fetch: Fetch
    provider: str | None  # that `fetch` calls; the cache only passes it on in the failure of a wait
    not_before: float = 0.0  # Unix seconds; an older value is not accepted, unless it is final

    def rejects(self, entry: CacheEntry) -> bool:
        """Return whether an entry is older than the caller accepts."""
        return entry.last_asked < self.not_before and entry.expires_at != FOR_EVER

    def accepts_as_fresh(self, entry: CacheEntry, *, now: float) -> bool:
        """Return whether an entry will do without a fetch: it is fresh, or was asked for in vain moments ago."""
        return (not entry.stale or now < entry.retry_at) and not self.rejects(entry)

    def accepts_at_once(self, cache_key: CacheKey, entry: CacheEntry, *, now: float) -> bool:
        """Return whether an entry will do without waiting, fresh or not."""
        usual = entry.expires_at + self.policies[cache_key].stale_while_revalidate(entry.value)
        may_serve_until = max(usual, entry.retry_at)
        return not self.rejects(entry) and now < may_serve_until

    def timed_out(self) -> DeadlineExceededError:
        """Return the failure of a caller that has waited for another one's fetch for too long."""
        return DeadlineExceededError(
            "Timed out while waiting for another request that is fetching the same data.",
            provider=self.provider,
            hint="Try again.",
            reached=False,
        )


@dataclass
class _Attempt:
    """One fetch under its leases: what it has brought so far, and what of that is written already."""

    request: FetchRequest
    flights: Collection[Flight]
    fetched_at: float
    cached: Mapping[CacheKey, CacheEntry]
    entries: CacheEntries
    single_flight: SingleFlight
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _waiting: dict[CacheKey, EntryRow] = field(default_factory=dict)
    _is_writing: bool = False
    _kept: dict[CacheKey, EntryRow] = field(default_factory=dict)
    _written: dict[CacheKey, EntryRow] = field(default_factory=dict)  # to the database

    def keep(self, values: Mapping[CacheKey, Json]) -> None:
        """Commit a part of what was fetched.

        One thread writes at a time, and takes along what others bring meanwhile: sixty answers that come at once are a
        few transactions, not sixty.
        """
        rows = {cache_key: self.row(cache_key, value) for cache_key, value in values.items()}
        with self._lock:
            self._waiting |= rows
            self._kept |= rows
            if self._is_writing:
                return
            self._is_writing = True
        while True:
            with self._lock:
                rows, self._waiting = self._waiting, {}
                self._is_writing = bool(rows)
            if not rows:
                return
            # Without the database this process still has the values, and `commit` tries again.
            keys, version = {cache_key.key for cache_key in rows}, None
            with suppress(DatabaseUnavailableError):
                keys, version = self.single_flight.keep(self.flights, rows)
                self._written |= rows
            self.written(rows, keys, replaced=version is not None)

    def written(self, rows: Mapping[CacheKey, EntryRow], keys: Collection[str], *, replaced: bool) -> None:
        """Take over into this process the rows that were written: those of keys whose lease was not taken over."""
        committed = {cache_key: row for cache_key, row in rows.items() if cache_key.key in keys}
        replaced = replaced or bool(self.cached.keys() & rows.keys())
        self.entries.committed(self.request.account, committed, replaced=replaced)

    def row(self, cache_key: CacheKey, value: Json) -> EntryRow:
        """Return a fetched value as a row, with the known part of what is newly unknown."""
        known, policy = self.cached.get(cache_key), self.request.policies[cache_key]
        return self.entries.merged(known, value, policy, self.fetched_at)

    def failed_row(self, cache_key: CacheKey) -> EntryRow | None:
        """Return the row of a fresh value that could not be read again: from now on it is stale."""
        known = self.cached.get(cache_key)
        if known is None or known.stale or cache_key in self._kept:
            return None
        policy, retry_at = self.request.policies[cache_key], self.fetched_at + RETRY_FAILED_AFTER
        return self.entries.stale_row(known, policy, self.fetched_at, retry_at=retry_at)

    def usable(self, cache_key: CacheKey) -> CacheEntry | None:
        """Return what was kept of a key whose fetch then failed, if its policy lets that serve."""
        row = self._kept.get(cache_key)
        return None if row is None else self.entries.entry(row, self.request.policies[cache_key])

    def rest(self, rows: Mapping[CacheKey, EntryRow]) -> dict[CacheKey, EntryRow]:
        """Return all rows of the fetch but those that are in the database already."""
        return {key: row for key, row in (self._kept | dict(rows)).items() if self._written.get(key) != row}


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
        on_first_use: Callable[[], None],
    ) -> None:
        """Build a cache; no thread and no connection begins before its first use.

        `may_refresh` says whether the provider of an account may be called in the background now. `on_first_use` starts
        what has to run beside a used cache: `extend_leases` every `EXTENSION_INTERVAL`, `invalidate_changed` every
        second or so.
        """
        self._table = table
        self._clock = clock
        self._may_refresh = may_refresh
        self._on_first_use = on_first_use
        self._entries = CacheEntries(table, clock, redact=redact)
        self._single_flight = SingleFlight(table, leases, holder=uuid.uuid4().hex)
        self._lock = threading.Lock()
        self._is_used = False
        self._versions: Mapping[str, int] = {}
        self._refreshers = ThreadPoolExecutor(REFRESH_THREADS, thread_name_prefix="refresh")
        self._free_refreshes = threading.BoundedSemaphore(MAX_REFRESHES)
        self._failed_refreshes: dict[tuple[str, str], float] = {}  # when each may be tried again, monotonic

    def get_or_fetch(
        self, account: str, key: str, policy: FreshnessPolicy, fetch: FetchOne, *, provider: str | None = None
    ) -> CacheEntry:
        """Return the value of a key; `fetch` gets the cached one. Raises the failure if there is no value at all."""
        cache_key = CacheKey(key)
        return _found(self._get(self._request(account, {cache_key: policy}, _single(cache_key, fetch), provider)))

    def get_or_fetch_many(
        self,
        account: str,
        policies: Mapping[CacheKey, FreshnessPolicy],
        fetch: Fetch,
        *,
        provider: str | None = None,
    ) -> Found:
        """Return the value of each key, or the failure if there is none.

        Raises `BusyError` if the request would have to wait, may not, and a value is missing.
        """
        return self._get(self._request(account, policies, fetch, provider))

    def refresh(
        self, account: str, key: str, policy: FreshnessPolicy, fetch: FetchOne, *, provider: str | None = None
    ) -> None:
        """Fetch a key in the background, unless it is being fetched or has just failed."""
        self._prepare()
        cache_key = CacheKey(key)
        request = FetchRequest(account, {cache_key: policy}, _single(cache_key, fetch), provider)
        self._refresh_in_background(request, [cache_key])

    def peek(self, account: str, policies: Mapping[CacheKey, FreshnessPolicy]) -> dict[CacheKey, CacheEntry]:
        """Return the fresh values of some keys, without fetching anything."""
        found = self._entries.look_up(account, policies)
        return {key: entry for key, entry in found.items() if not entry.stale or entry.asked_at is not None}

    def known(self, account: str, policies: Mapping[CacheKey, FreshnessPolicy]) -> dict[CacheKey, CacheEntry]:
        """Return the last values of some keys, fresh or stale, without fetching anything."""
        return self._entries.look_up(account, policies)

    def put(self, account: str, values: Mapping[CacheKey, tuple[Json, FreshnessPolicy]]) -> None:
        """Cache values that were learned from the fetch of others."""
        now = self._clock.timestamp()
        rows = {cache_key: self._entries.row(value, policy, now) for cache_key, (value, policy) in values.items()}
        self._entries.put(account, rows)

    def forget(self, account: str) -> None:
        """Drop this process's copy of an account's values; the database has newer ones, or none."""
        self._entries.forget(account)

    def now(self) -> float:
        """Return the present moment (Unix seconds) by the clock of this cache."""
        return self._clock.timestamp()

    def announce_change(self, account: str) -> None:
        """Have every process drop what it made of an account's data, which has changed outside of the cache."""
        self.forget(account)
        self._entries.raise_version(account)

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
        versions = self._table.versions()
        known, self._versions = self._versions, versions
        for account, version in versions.items():
            if version != known.get(account, 0):
                self.forget(account)

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until this process fetches nothing; return whether that came in time."""
        return self._single_flight.wait_until_quiet(seconds)

    def close(self) -> None:
        """Stop all threads."""
        self._single_flight.close()
        self._refreshers.shutdown(wait=False, cancel_futures=True)

    def _request(
        self, account: str, policies: Mapping[CacheKey, FreshnessPolicy], fetch: Fetch, provider: str | None
    ) -> FetchRequest:
        return FetchRequest(account, policies, fetch, provider, request_context.not_before())

    def _prepare(self) -> None:
        """Begin what has to run beside a used cache, once."""
        if self._is_used:
            return
        with self._lock:
            if not self._is_used:
                # Every value is read after these versions, so later versions mean changes that it may not have.
                with suppress(DatabaseUnavailableError):
                    self._versions = self._table.versions()
                self._on_first_use()
                self._is_used = True

    def _get(self, request: FetchRequest) -> Found:
        """Return what is cached if that will do, else fetch it or wait for another caller's fetch."""
        self._prepare()
        cached = self._entries.look_up(request.account, request.policies)
        now = self._clock.timestamp()
        found: Found = {key: entry for key, entry in cached.items() if request.accepts_at_once(key, entry, now=now)}
        expired = [key for key, entry in cached.items() if key in found and entry.stale and now >= entry.retry_at]
        if expired and self._may_refresh(request.account):
            self._refresh_in_background(request, expired)
        pending = [key for key in request.policies if key not in found]
        last_good: Found = {
            key: replace(entry, stale=True, expires_at=min(entry.expires_at, now))
            for key, entry in cached.items()
            if key not in found
        }
        if len(last_good) == len(pending) and not request.not_before:
            return found | last_good | self._refreshed_within_moments(request, pending)
        if not pending or not self._may_wait(request, is_needed=len(last_good) < len(pending)):
            return found | last_good
        deadline = monotonic() + min(MAX_WAIT, request_context.remaining())
        while pending:
            led, joined = self._single_flight.join(request.account, {key.key for key in pending})
            failures: dict[str, ProviderError] = {}
            if led:
                fetched, failures = self._lead(request, led, pending, deadline)
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
        failed = {key for key, each in found.items() if isinstance(each, ProviderError)}
        return found | {key: entry for key, entry in last_good.items() if key in failed}

    def _lead(
        self, request: FetchRequest, led: Collection[Flight], cache_keys: Collection[CacheKey], deadline: float | None
    ) -> tuple[Found, dict[str, ProviderError]]:
        """Fetch the keys that no other process is fetching; wait for the others until a deadline (monotonic), if any.

        Returns what was fetched, and the failures by key. All led flights are finished, whatever happens: a flight
        that is never finished would make every later caller of its key wait in vain.
        """
        found: Found = {}
        failures: dict[str, ProviderError] = {}
        try:
            leased, held = self._single_flight.lease(led)
            if leased:
                keys = {flight.key for flight in leased}
                # Another thread or process may have committed between the look-up and the lease.
                wanted = {key: request.policies[key] for key in cache_keys if key.key in keys}
                unusable: dict[CacheKey, CacheEntry] = {}
                cached = self._entries.look_up(request.account, wanted, unusable=unusable, under_lease=True)
                fetched_at = self._clock.timestamp()  # Before the call: the provider's answer may be as old as that.
                found |= {key: each for key, each in cached.items() if request.accepts_as_fresh(each, now=fetched_at)}
                needed = [key for key in wanted if key not in found]
                attempt = _Attempt(request, leased, fetched_at, cached, self._entries, self._single_flight)
                results: Mapping[CacheKey, FetchResult] = {}
                try:
                    if needed:
                        begin_with = {key: each for key, each in (unusable | cached).items() if key in needed}
                        fetched = request.fetch(needed, begin_with, attempt.keep)
                        results = {key: fetched[key] for key in needed}
                except ProviderError as error:
                    results = dict.fromkeys(needed, error)
                finally:
                    # After an unexpected error as well: the leases have to end.
                    committed, failures = self._commit(attempt, results)
                found |= committed
            if held and deadline is not None:
                # Also when the deadline is over: without its failure the caller would try again at once, without end.
                left = max(0.0, deadline - monotonic())
                failed, timed_out = self._single_flight.wait_for_others(held, left)
                failures |= failed | {flight.key: request.timed_out() for flight in timed_out}
            return found, failures
        finally:
            self._single_flight.finish(led, failures)

    def _commit(
        self, attempt: _Attempt, results: Mapping[CacheKey, FetchResult]
    ) -> tuple[Found, dict[str, ProviderError]]:
        """Write what was fetched, end the leases, finish the flights; return the entries, and the failures by key."""
        found: Found = {}
        failures: dict[str, ProviderError] = {}
        rows: dict[CacheKey, EntryRow] = {}
        try:
            for cache_key, result in results.items():
                if isinstance(result, ProviderError):
                    if (kept := attempt.usable(cache_key)) is not None:
                        found[cache_key] = kept
                        continue
                    found[cache_key] = failures[cache_key.key] = result
                    if (stale := attempt.failed_row(cache_key)) is not None:
                        rows[cache_key] = stale
                    continue
                row = rows[cache_key] = attempt.row(cache_key, result)
                entry = self._entries.entry(row, attempt.request.policies[cache_key])
                # A value that its policy would not serve again still answers the request that fetched it.
                found[cache_key] = entry or CacheEntry(result, attempt.fetched_at, attempt.fetched_at)
            rows = attempt.rest(rows)
        finally:
            keys, version = self._single_flight.commit(attempt.flights, rows, failures)
        # Before the flights are finished: the threads that wake up then find the new values in this process.
        attempt.written(rows, keys, replaced=version is not None)
        self._single_flight.finish(attempt.flights, failures)
        return found, failures

    def _look_up(self, request: FetchRequest, cache_keys: Collection[CacheKey]) -> dict[CacheKey, CacheEntry]:
        return self._entries.look_up(request.account, {key: request.policies[key] for key in cache_keys})

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
        for flight in self._refresh_in_background(request, cache_keys):
            flight.wait(max(0.0, flight.begun_at + REFRESH_WAIT - monotonic()))
        return {key: entry for key, entry in self._look_up(request, cache_keys).items() if not entry.stale}

    def _refresh_in_background(self, request: FetchRequest, cache_keys: Collection[CacheKey]) -> list[Flight]:
        """Fetch on another thread what is not being fetched yet and has not failed within moments.

        Returns the flights that are worth waiting for: not those of keys whose last refresh failed.
        """
        now = monotonic()
        retry_at = {key.key: self._failed_refreshes.get((request.account, key.key)) for key in cache_keys}
        due = {key for key, at in retry_at.items() if at is None or at <= now}
        if not due or not self._free_refreshes.acquire(blocking=False):
            return []
        led, joined = self._single_flight.join(request.account, due)
        if led:
            keys = {flight.key for flight in led}
            of_led = [key for key in cache_keys if key.key in keys]
            # A new context, so that provider calls made here are not counted for the request that is being served.
            self._refreshers.submit(contextvars.Context().run, self._run_refresh, request, led, of_led)
        else:
            self._free_refreshes.release()
        return [flight for flight in led + joined if retry_at[flight.key] is None]

    def _run_refresh(self, request: FetchRequest, led: Collection[Flight], cache_keys: Collection[CacheKey]) -> None:
        request_context.current.set(RequestContext(started_at=self._clock.timestamp(), is_background=True))
        try:
            # What another process is fetching needs no second fetch, and no thread that waits for it.
            _, failures = self._lead(request, led, cache_keys, deadline=None)
        except Exception:
            log.exception("A background refresh failed with an unexpected error")
            raise
        finally:
            self._free_refreshes.release()
        if len(self._failed_refreshes) > MAX_FAILED_REFRESHES:
            self._failed_refreshes.clear()
        for key in {cache_key.key for cache_key in cache_keys} - failures.keys():
            self._failed_refreshes.pop((request.account, key), None)
        self._failed_refreshes |= {(request.account, key): monotonic() + RETRY_FAILED_AFTER for key in failures}
        for code in {error.code for error in failures.values()}:
            log.warning("A background refresh failed", extra={"code": code})


def _single(cache_key: CacheKey, fetch: FetchOne) -> Fetch:
    return lambda _keys, cached, _keep: {cache_key: fetch(cached.get(cache_key))}


def _found(by_key: Found) -> CacheEntry:
    """Return the entry of a single key, or raise its failure."""
    (found,) = by_key.values()
    if isinstance(found, ProviderError):
        raise found
    return found
