"""Single flight: one fetch of a key at a time, over the threads of this process and over all processes.

Within a process the first thread that joins leads the flight, and the others wait on its event. Over processes the
leader takes a lease in the database. A process that does not get the lease polls until it has ended, then looks up
what the other one committed, or fetches itself if the other one died.

The lease is short (`LEASE`), so that a dead process blocks a key only for moments, and a fetch may take longer than
that; so the heartbeat of the process extends all its leases, on its next beat after a fifth of their length. Two missed
extensions are tolerated. `services.store.cache_leases` explains why a lease alone is not enough, and what a fence adds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from services.cache.failure_text import deserialize, serialize
from services.errors import DeadlineExceededError, ProviderError
from services.executors import start_if_possible
from services.store.cache_entries import CacheEntryTable, CacheKey, EntryRow
from services.store.cache_leases import LEASE, LeaseTable
from services.store.database import DatabaseUnavailableError

MAX_WAIT_FOR_FETCH = 90.0  # seconds that a caller waits for another one's, and not beyond its request's deadline
POLL_INTERVAL = 0.025  # seconds
CLOSE_TIMEOUT = 2.0  # seconds
EXTENSION_INTERVAL = LEASE / 5  # seconds

Key = tuple[str, str]


class Flight:
    """One key that is being fetched, by this process or by another one for which it waits."""

    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key
        self.failure: ProviderError | None = None
        self.begun_at = time.monotonic()
        self.fence: int | None = None  # None while another process holds the lease, or without a database
        self._finished = threading.Event()

    def finish(self, failure: ProviderError | None) -> None:
        """Wake up every thread that waits; only the first call counts."""
        if not self._finished.is_set():
            self.failure = failure
            self._finished.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return whether it came in time."""
        return self._finished.wait(seconds)


@dataclass
class WatchedLease:
    """A lease of another process, polled once for all threads that wait for its end."""

    ended: threading.Event = field(default_factory=threading.Event)
    failure: str | None = None


class SingleFlight:
    """The flights of this process, and the leases of other processes for which it waits."""

    def __init__(self, table: CacheEntryTable, leases: LeaseTable, *, holder: str) -> None:
        self._table = table
        self._leases = leases
        self._holder = holder
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._flights: dict[Key, Flight] = {}
        self._watched: dict[Key, WatchedLease] = {}
        self._poller: threading.Thread | None = None
        self._closed = threading.Event()

    def join(self, account: str, keys: Collection[str]) -> tuple[list[Flight], list[Flight]]:
        """Return the flights that the caller leads from now on, and those that another thread of this process leads."""
        led, joined = [], []
        with self._lock:
            for key in sorted(keys):
                flight = self._flights.get((account, key))
                if flight is not None:
                    joined.append(flight)
                    continue
                flight = self._flights[account, key] = Flight(account, key)
                led.append(flight)
        return led, joined

    def lease(self, led: Collection[Flight]) -> tuple[list[Flight], list[Flight]]:
        """Lease led flights, all of one account; return those leased, and those that another process holds.

        Without a database every process fetches for itself: a second provider call is better than no answer.
        """
        flights = list(led)
        try:
            fences = self._leases.acquire(flights[0].account, [flight.key for flight in flights], self._holder)
        except DatabaseUnavailableError:
            return flights, []
        for flight in flights:
            flight.fence = fences.get(flight.key)
        return [each for each in flights if each.fence is not None], [each for each in flights if each.fence is None]

    def commit(
        self, flights: Collection[Flight], rows: Mapping[CacheKey, EntryRow], failures: Mapping[str, ProviderError]
    ) -> tuple[set[str], int | None]:
        """End the leases of flights and write what was fetched.

        Returns the keys whose rows may be used from now on: not those that another process has taken over. With them,
        the account's new version if a value was replaced.
        """
        fences = {flight.key: flight.fence for flight in flights if flight.fence is not None}
        if not fences:
            return {flight.key for flight in flights}, None
        account = next(iter(flights)).account
        texts = {key: serialize(error) for key, error in failures.items() if _is_for_all(error)}
        try:
            return self._table.commit(account, fences, self._holder, rows, failures=texts)
        except DatabaseUnavailableError:
            # The leases end by themselves. This process keeps the values; another one fetches them again.
            return set(fences), None

    def keep(self, flights: Collection[Flight], rows: Mapping[CacheKey, EntryRow]) -> tuple[set[str], int | None]:
        """Write a part of what was fetched, while the flights go on; return as `commit` does.

        Raises `DatabaseUnavailableError`; `commit` then tries again.
        """
        keys = {cache_key.key for cache_key in rows}
        fences = {each.key: each.fence for each in flights if each.fence is not None and each.key in keys}
        if not fences:
            return keys, None  # Without a database there is no lease, and nothing to write to.
        return self._table.keep(next(iter(flights)).account, fences, self._holder, rows)

    def finish(self, flights: Iterable[Flight], failures: Mapping[str, ProviderError]) -> None:
        """End flights of this process and wake up the threads that wait for them."""
        for flight in flights:
            with self._lock:
                # A later flight of the same key may have begun since this one was finished.
                if self._flights.get((flight.account, flight.key)) is flight:
                    del self._flights[flight.account, flight.key]
                if not self._flights:
                    self._quiet.notify_all()
            failure = failures.get(flight.key)
            flight.finish(failure if failure is not None and _is_for_all(failure) else None)

    def wait_for_others(
        self, flights: Collection[Flight], seconds: float
    ) -> tuple[dict[str, ProviderError], list[Flight]]:
        """Wait until other processes have ended their leases; return their failures, and the flights still held."""
        deadline = time.monotonic() + seconds
        watched = [(flight, self._watch(flight)) for flight in flights]
        failures: dict[str, ProviderError] = {}
        timed_out: list[Flight] = []
        for flight, lease in watched:
            if not lease.ended.wait(max(0.0, deadline - time.monotonic())):
                timed_out.append(flight)
            elif lease.failure is not None:
                with suppress(ValueError):  # A text of another version of this program; this process fetches itself.
                    failures[flight.key] = deserialize(lease.failure)
        return failures, timed_out

    def extend_leases(self) -> None:
        """Extend every lease of this process; raises `DatabaseUnavailableError`."""
        with self._lock:
            holds = any(flight.fence is not None for flight in self._flights.values())
        if holds:
            self._leases.extend(self._holder)

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until this process fetches nothing; return whether that came in time."""
        with self._lock:
            return self._quiet.wait_for(lambda: not self._flights, seconds)

    def close(self) -> None:
        """Stop polling, so that no connection is opened after the database was closed."""
        self._closed.set()
        poller = self._poller
        if poller is not None:
            poller.join(CLOSE_TIMEOUT)

    def _watch(self, flight: Flight) -> WatchedLease:
        with self._lock:
            watched = self._watched.setdefault((flight.account, flight.key), WatchedLease())
            if self._poller is None:
                self._poller = start_if_possible(self._poll, name="lease poller")  # If not, by the next wait.
        return watched

    def _poll(self) -> None:
        """Poll all watched leases with one query each time, until none is left."""
        while not self._closed.is_set():
            with self._lock:
                keys = list(self._watched)
                if not keys:
                    self._poller = None
                    return
            try:
                states = self._leases.states(keys)
            except DatabaseUnavailableError:
                states = {}  # Nothing can be waited for, so the waiting threads fetch for themselves.
            for key in keys:
                state = states.get(key)
                if state is not None and state.held:
                    continue
                with self._lock:
                    watched = self._watched.pop(key)
                watched.failure = None if state is None else state.failure
                watched.ended.set()
            self._closed.wait(POLL_INTERVAL)


def _is_for_all(failure: ProviderError) -> bool:
    """Return whether a failure concerns those who waited: they have a deadline of their own, and fetch themselves."""
    return not isinstance(failure, DeadlineExceededError)
