"""Who fetches what: one thread for each key in this process, one process for each key among all."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Mapping

from services.errors import ProviderError, ProviderTimeoutError
from services.memory.failures import as_text, from_text
from services.memory.records import Memo
from services.store import StoreAway
from services.store.memories import LEASE, Memories, Row, Slot

POLLED_EVERY = 0.025  # seconds
RENEWED_EVERY = LEASE / 3
Key = tuple[str, str]


class Flight:
    """One key being fetched, by this process or by another one for which it waits."""

    def __init__(self, account: str, key: str) -> None:
        self.account = account
        self.key = key
        self.failure: ProviderError | None = None
        self.passed: Mapping[Slot, Memo] = {}  # what is not remembered, for those who wait
        self.begun_at = time.monotonic()
        self.fence: int | None = None  # None while another process holds it, or the store is away
        self._landed = threading.Event()

    def land(self, failure: ProviderError | None, passed: Mapping[Slot, Memo]) -> None:
        """Tell everybody who waits that it is over."""
        if not self._landed.is_set():
            self.failure, self.passed = failure, passed
            self._landed.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the end; return whether it came in time."""
        return self._landed.wait(seconds)


def waited_in_vain() -> ProviderError:
    """Return the failure of those who waited for somebody else's call for too long."""
    return ProviderTimeoutError(
        "Somebody else's call for the same did not come back in time.", provider="instagram", hint="Try again."
    )


class Flights:
    """The flights that this process leads or waits for."""

    def __init__(self, memories: Memories, holder: str) -> None:
        self._memories = memories
        self._holder = holder
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._local: dict[Key, Flight] = {}
        self._watched: dict[Key, tuple[threading.Event, list[str | None]]] = {}
        self._poller: threading.Thread | None = None

    def board(self, account: str, keys: Collection[str]) -> tuple[list[Flight], list[Flight]]:
        """Return the flights that the caller has to lead now, and those that another thread leads already."""
        led, joined = [], []
        with self._lock:
            for key in sorted(keys):
                flight = self._local.get((account, key))
                if flight is not None:
                    joined.append(flight)
                    continue
                flight = self._local[account, key] = Flight(account, key)
                led.append(flight)
        return led, joined

    def take(self, led: Iterable[Flight]) -> tuple[list[Flight], list[Flight]]:
        """Take the led flights among all processes; return those taken, and those that another process holds.

        While the store is away every process is alone.
        """
        flights = list(led)
        try:
            fences = self._memories.take(flights[0].account, [flight.key for flight in flights], self._holder)
        except StoreAway:
            return flights, []
        for flight in flights:
            flight.fence = fences.get(flight.key)
        return [each for each in flights if each.fence is not None], [each for each in flights if each.fence is None]

    def deliver(
        self, flights: Collection[Flight], rows: dict[Slot, Row], failures: dict[str, ProviderError]
    ) -> tuple[set[str], int | None]:
        """End taken flights in the store; return the keys that were still ours, and the account's new counter."""
        fences = {flight.key: flight.fence for flight in flights if flight.fence is not None}
        if not fences:
            return {flight.key for flight in flights}, None
        account = next(iter(flights)).account
        texts = {key: as_text(error) for key, error in failures.items()}
        try:
            return self._memories.deliver(account, fences, self._holder, rows, failures=texts)
        except StoreAway:
            return set(fences), None

    def land(
        self,
        flights: Iterable[Flight],
        failures: Mapping[str, ProviderError],
        passed: Mapping[Slot, Memo] | None = None,
    ) -> None:
        """Forget flights of this process and tell who waits for them."""
        for flight in flights:
            with self._lock:
                if self._local.get((flight.account, flight.key)) is flight:
                    del self._local[flight.account, flight.key]
                if not self._local:
                    self._quiet.notify_all()
            flight.land(failures.get(flight.key), passed or {})

    def await_others(self, flights: Collection[Flight], seconds: float) -> dict[str, ProviderError]:
        """Wait until no other process holds some flights; return how they failed, or that they did not end in time."""
        deadline = time.monotonic() + seconds
        watched = [(flight, self._watch(flight)) for flight in flights]
        failures: dict[str, ProviderError] = {}
        for flight, (event, told) in watched:
            if not event.wait(max(0.0, deadline - time.monotonic())):
                failures[flight.key] = waited_in_vain()
            elif told and told[0] is not None:
                failures[flight.key] = from_text(told[0])
        return failures

    def renew(self) -> None:
        """Hold on to what this process has taken."""
        with self._lock:
            holds = any(flight.fence is not None for flight in self._local.values())
        if holds:
            self._memories.renew(self._holder)

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until this process fetches nothing; return whether that came in time."""
        with self._lock:
            return self._quiet.wait_for(lambda: not self._local, seconds)

    def _watch(self, flight: Flight) -> tuple[threading.Event, list[str | None]]:
        with self._lock:
            watched = self._watched.setdefault((flight.account, flight.key), (threading.Event(), []))
            if self._poller is None:
                self._poller = threading.Thread(target=self._poll, name="flights", daemon=True)
                self._poller.start()
        return watched

    def _poll(self) -> None:
        """Look after all watched flights at once, until there are none."""
        while True:
            with self._lock:
                wanted = list(self._watched)
                if not wanted:
                    self._poller = None
                    return
            try:
                flown = self._memories.flown(wanted)
            except StoreAway:
                flown = {}
            for key in wanted:
                state = flown.get(key)
                if state is not None and state.held:
                    continue
                with self._lock:
                    event, told = self._watched.pop(key)
                told.append(None if state is None else state.failure)
                event.set()
            time.sleep(POLLED_EVERY)
