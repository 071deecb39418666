"""One fetch under its leases: what is led is fetched, committed as it comes, and finished whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from services.cache.entries import CacheEntries, CacheEntry
from services.cache.fetch_request import FetchRequest, FetchResult, Found, Single
from services.cache.part_writer import WRITERS, K, PartWriter, V
from services.cache.policies import RETRY_FAILED_AFTER, Json
from services.cache.single_flight import Flight, SingleFlight
from services.cache.values import HeldRow, bare
from services.clock import Clock
from services.errors import ProviderError
from services.store.cache_entries import CacheKey


@dataclass
class FetchAttempt:
    """One fetch under its leases: what it has brought so far, and what of that is written already."""

    request: FetchRequest
    flights: Collection[Flight]
    fetched_at: float
    cached: Mapping[CacheKey, CacheEntry]
    entries: CacheEntries
    single_flight: SingleFlight
    writers: ThreadPoolExecutor
    _rows: dict[CacheKey, tuple[Json, HeldRow]] = field(default_factory=dict)  # by key, with what each was made of
    _kept: dict[CacheKey, HeldRow] = field(default_factory=dict)
    _parts: PartWriter[CacheKey, HeldRow] = field(init=False)

    def __post_init__(self) -> None:
        self._parts = PartWriter(self._write, self.writers)

    def keep(self, values: Mapping[CacheKey, Json]) -> None:
        """Have a part of what was fetched committed within moments."""
        rows = {cache_key: self.row(cache_key, value) for cache_key, value in values.items()}
        for cache_key, row in rows.items():
            self.entry(cache_key, row)  # Decoded beside the calls that go on, not when the last one was answered.
        self._kept |= rows
        self._parts.add(rows)

    def _write(self, rows: Mapping[CacheKey, HeldRow]) -> None:
        keys, version = self.single_flight.keep(self.flights, bare(rows))
        self.written(rows, keys, version)

    def written(self, rows: Mapping[CacheKey, HeldRow], keys: Collection[str], version: int | None) -> None:
        """Take over into this process the rows that were written: those of keys whose lease was not taken over.

        `version` is the account's new one, if they replaced others in the database.
        """
        committed = {cache_key: row for cache_key, row in rows.items() if cache_key.key in keys}
        replaced = version is not None or bool(self.cached.keys() & rows.keys())
        self.entries.committed(self.request.account, committed, replaced=replaced, version=version)

    def row(self, cache_key: CacheKey, value: Json) -> HeldRow:
        """Return a fetched value as a row, with the known part of what is newly unknown.

        What was kept as it came is returned once more by a fetch that ends, and has its row already.
        """
        made = self._rows.get(cache_key)
        if made is None or made[0] != value:
            known, policy = self.cached.get(cache_key), self.request.policies[cache_key]
            row = HeldRow(self.entries.merged(known, value, policy, self.fetched_at))
            made = self._rows[cache_key] = value, row
        return made[1]

    def failed_row(self, cache_key: CacheKey) -> HeldRow | None:
        """Return the row of a fresh value that could not be read again: from now on it is stale."""
        known = self.cached.get(cache_key)
        if known is None or known.stale or cache_key in self._kept:
            return None
        policy, retry_at = self.request.policies[cache_key], self.fetched_at + RETRY_FAILED_AFTER
        return HeldRow(self.entries.stale_row(known, policy, self.fetched_at, retry_at=retry_at))

    def entry(self, cache_key: CacheKey, row: HeldRow) -> CacheEntry | None:
        """Return a row as its policy sees it now, or None if that does not let it serve."""
        return self.entries.entry(row, self.request.policies[cache_key])

    def usable(self, cache_key: CacheKey) -> CacheEntry | None:
        """Return what was kept of a key whose fetch then failed, if its policy lets that serve."""
        row = self._kept.get(cache_key)
        return None if row is None else self.entry(cache_key, row)

    def rest(self, rows: Mapping[CacheKey, HeldRow]) -> dict[CacheKey, HeldRow]:
        """Return all rows of the fetch but those that are in the database already; from now on no part is written."""
        written = self._parts.finish()
        return {key: row for key, row in (self._kept | dict(rows)).items() if written.get(key) is not row}


class Fetching:
    """Fetches what one caller leads, and waits for what other processes are fetching."""

    def __init__(self, entries: CacheEntries, single_flight: SingleFlight, clock: Clock) -> None:
        self._entries = entries
        self._single_flight = single_flight
        self._clock = clock
        self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="part writer")

    def part_writer(self, write: Callable[[Mapping[K, V]], object]) -> PartWriter[K, V]:
        """Return a writer for what a fetch brings besides cached values."""
        return PartWriter(write, self._writers)

    def close(self) -> None:
        """Write no further part."""
        self._writers.shutdown(wait=False, cancel_futures=True)

    def lead(
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
                cached = self._entries.look_up(
                    request.account, wanted, unusable=unusable, under_lease=True, not_before=request.not_before
                )
                fetched_at = self._clock.timestamp()  # Before the call: the provider's answer may be as old as that.
                found |= {key: each for key, each in cached.items() if request.accepts_as_fresh(each, now=fetched_at)}
                needed = [key for key in wanted if key not in found]
                attempt = FetchAttempt(
                    request, leased, fetched_at, cached, self._entries, self._single_flight, self._writers
                )
                results: Mapping[CacheKey, FetchResult] = {}
                try:
                    if needed:
                        begin_with = {key: each for key, each in (unusable | cached).items() if key in needed}
                        if isinstance(request.fetch, Single):
                            (key,) = needed
                            results = {key: request.fetch.fetch(begin_with.get(key))}
                        else:
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
        self, attempt: FetchAttempt, results: Mapping[CacheKey, FetchResult]
    ) -> tuple[Found, dict[str, ProviderError]]:
        """Write what was fetched, end the leases, finish the flights; return the entries, and the failures by key."""
        found: Found = {}
        failures: dict[str, ProviderError] = {}
        rows: dict[CacheKey, HeldRow] = {}
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
                entry = attempt.entry(cache_key, row)
                # A value that its policy would not serve again still answers the request that fetched it.
                found[cache_key] = entry or CacheEntry(result, attempt.fetched_at, attempt.fetched_at)
            rows = attempt.rest(rows)
        finally:
            keys, version = self._single_flight.commit(attempt.flights, bare(rows), failures)
        # Before the flights are finished: the threads that wake up then find the new values in this process.
        attempt.written(rows, keys, version)
        self._single_flight.finish(attempt.flights, failures)
        return found, failures
