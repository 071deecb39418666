"""Fetches what is not kept: once for all who want it, by one thread of one process."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic

from services.clock import Clock
from services.errors import ProviderError
from services.memory.flights import Flight, Flights, waited_in_vain
from services.memory.records import Memo, Records
from services.memory.rules import FOR_EVER, Json, Rule
from services.parallel import behind
from services.store.memories import Row, Slot

log = logging.getLogger(__name__)

WAIT_AT_MOST = 90.0  # seconds that a caller waits for others
REFRESHERS = 4  # threads
REFRESHES_AT_MOST = 64  # waiting for such a thread; the others come again with the next request
REST = 3.0  # seconds for which a key that could not be refreshed is left alone
RESTING_AT_MOST = 10_000


@dataclass(frozen=True)
class Passing:
    """A value for those who wait for it now, which is not worth remembering."""

    value: Json


Outcome = Json | Passing | ProviderError
Fetch = Callable[[Collection[Slot], Mapping[Slot, Memo]], Mapping[Slot, Outcome]]
"""Gets the slots to fetch and what is kept of them; gives an outcome for each, or raises the failure of all."""


@dataclass(frozen=True)
class Errand:
    """What one caller wants of an account, and how it is got."""

    account: str
    rules: Mapping[Slot, Rule]
    fetch: Fetch
    not_before: float = 0.0  # Unix seconds; what was fetched earlier will not do, unless it is final

    def is_outdated(self, memo: Memo) -> bool:
        """Return whether a memo is older than the caller accepts."""
        return memo.fetched_at < self.not_before and memo.expires_at != FOR_EVER

    def accepts(self, memo: Memo) -> bool:
        """Return whether a memo will do without being fetched anew."""
        return not memo.stale and not self.is_outdated(memo)


class Fetching:
    """The flights of this process: those that callers wait for, and those in the background."""

    def __init__(self, records: Records, flights: Flights, clock: Clock) -> None:
        self._records = records
        self._flights = flights
        self._clock = clock
        self._refreshers = ThreadPoolExecutor(REFRESHERS, thread_name_prefix="refresh")
        self._refreshes = threading.BoundedSemaphore(REFRESHES_AT_MOST)
        self._resting: dict[tuple[str, str], float] = {}

    def obtain(self, errand: Errand, wanted: Collection[Slot]) -> dict[Slot, Memo | ProviderError]:
        """Fetch, or wait until another thread or process has fetched; return a value or a failure for each slot."""
        found: dict[Slot, Memo | ProviderError] = {}
        pending = list(wanted)
        deadline = monotonic() + WAIT_AT_MOST
        while pending:
            led, joined = self._flights.board(errand.account, {slot.key for slot in pending})
            failures: dict[str, ProviderError] = {}
            if led:
                keys = {flight.key for flight in led}
                mine, failures = self._lead(errand, led, [slot for slot in pending if slot.key in keys], deadline)
                found |= mine
            for flight in joined:
                if not flight.wait(max(0.0, deadline - monotonic())):
                    failures[flight.key] = waited_in_vain()
                elif flight.failure is not None:
                    failures[flight.key] = flight.failure
                found |= {slot: flight.passed[slot] for slot in pending if slot in flight.passed}
            found |= self._fresh(errand, [slot for slot in pending if slot not in found])
            found |= {slot: failures[slot.key] for slot in pending if slot not in found and slot.key in failures}
            pending = [slot for slot in pending if slot not in found]
        return found

    def refresh(self, errand: Errand, wanted: Collection[Slot]) -> list[Flight]:
        """Fetch in the background what nobody fetches yet and what may not rest.

        Returns the flights that are worth waiting for: not those of keys whose last refresh has failed.
        """
        now = monotonic()
        failed = {slot.key for slot in wanted if (errand.account, slot.key) in self._resting}
        keys = {slot.key for slot in wanted if self._resting.get((errand.account, slot.key), 0.0) <= now}
        if not keys or not self._refreshes.acquire(blocking=False):
            return []
        led, joined = self._flights.board(errand.account, keys)
        if not led:
            self._refreshes.release()
            return [flight for flight in joined if flight.key not in failed]
        slots = [slot for slot in wanted if slot.key in {flight.key for flight in led}]
        # A context of its own: what is fetched here is not on the account of the request that saw the need.
        self._refreshers.submit(contextvars.Context().run, self._refresh, errand, led, slots)
        return [flight for flight in led + joined if flight.key not in failed]

    def close(self) -> None:
        """End the threads."""
        self._refreshers.shutdown(wait=False, cancel_futures=True)

    def _refresh(self, errand: Errand, led: Collection[Flight], slots: Collection[Slot]) -> None:
        behind.set(True)
        try:
            _, failures = self._lead(errand, led, slots, deadline=monotonic())
        except Exception:
            log.exception("A refresh failed by a bug")
            raise
        finally:
            self._refreshes.release()
        if len(self._resting) > RESTING_AT_MOST:
            self._resting.clear()
        for key in {slot.key for slot in slots} - failures.keys():
            self._resting.pop((errand.account, key), None)
        self._resting |= {(errand.account, key): monotonic() + REST for key in failures}
        for error in {error.code: error for error in failures.values()}.values():
            log.warning("What has expired could not be fetched anew", extra={"code": error.code})

    def _lead(
        self, errand: Errand, led: Collection[Flight], slots: Collection[Slot], deadline: float
    ) -> tuple[dict[Slot, Memo | ProviderError], dict[str, ProviderError]]:
        """Fetch what no other process does and wait (until a deadline) for what one does; end all flights."""
        failures: dict[str, ProviderError] = {}
        try:
            taken, held = self._flights.take(led)
            found: dict[Slot, Memo | ProviderError] = {}
            if taken:
                keys = {flight.key for flight in taken}
                found, failures = self._fetch(errand, taken, [slot for slot in slots if slot.key in keys])
                self._flights.land(taken, failures, _passing(found))
            if held and deadline > monotonic():
                failures |= self._flights.await_others(held, max(0.0, deadline - monotonic()))
            return found, failures
        finally:
            self._flights.land(led, failures)

    def _fetch(
        self, errand: Errand, taken: Collection[Flight], slots: Collection[Slot]
    ) -> tuple[dict[Slot, Memo | ProviderError], dict[str, ProviderError]]:
        """Fetch under flights that were taken, write what came, and end the flights in the store."""
        rows: dict[Slot, Row] = {}
        failures: dict[str, ProviderError] = {}
        found: dict[Slot, Memo | ProviderError] = {}
        try:
            # Somebody may have delivered between our look and our take.
            kept = self._records.look(errand.account, {slot: errand.rules[slot] for slot in slots})
            fresh = {slot: memo for slot, memo in kept.items() if errand.accepts(memo)}
            found |= fresh
            needed = [slot for slot in slots if slot not in fresh]
            now = self._clock.now().timestamp()
            outcomes = self._ask(errand, needed, kept)
            for slot in needed:
                outcome = outcomes[slot]
                if isinstance(outcome, ProviderError):
                    found[slot] = failures[slot.key] = outcome
                elif isinstance(outcome, Passing):
                    found[slot] = Memo(outcome.value, now, now, passing=True)
                else:
                    rows[slot] = self._records.row(outcome, errand.rules[slot], now)
                    memo = self._records.memo(rows[slot], errand.rules[slot])
                    found[slot] = memo if memo is not None else Memo(outcome, now, now)
        finally:
            ours, counter = self._flights.deliver(taken, rows, failures)
        delivered = {slot: row for slot, row in rows.items() if slot.key in ours}
        self._records.learn(errand.account, delivered, replaced=counter is not None or bool(kept.keys() & rows.keys()))
        return found, failures

    def _ask(self, errand: Errand, needed: Collection[Slot], kept: Mapping[Slot, Memo]) -> Mapping[Slot, Outcome]:
        if not needed:
            return {}
        try:
            return errand.fetch(needed, {slot: kept[slot] for slot in needed if slot in kept})
        except ProviderError as error:
            return dict.fromkeys(needed, error)

    def _fresh(self, errand: Errand, slots: Collection[Slot]) -> dict[Slot, Memo]:
        kept = self._records.look(errand.account, {slot: errand.rules[slot] for slot in slots})
        return {slot: memo for slot, memo in kept.items() if errand.accepts(memo)}


def _passing(found: Mapping[Slot, Memo | ProviderError]) -> Mapping[Slot, Memo]:
    return {slot: memo for slot, memo in found.items() if isinstance(memo, Memo) and memo.passing}
