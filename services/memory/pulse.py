"""The heartbeat of a process: holds its flights, hears of changes, shares what is known of limits, and tidies up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from services.memory.flights import RENEWED_EVERY, Flights
from services.store import Store, StoreAway

log = logging.getLogger(__name__)

BEAT = 0.5  # seconds
CHANGES_EVERY = 1.0  # seconds
SWEPT_EVERY = 600.0  # seconds, where no worker does it


class Pulse:
    """One thread, begun with the first recall, so never before a fork."""

    def __init__(self, store: Store, flights: Flights, forget: Callable[[str], None]) -> None:
        self._store = store
        self._flights = flights
        self._forget = forget
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._counters: dict[str, int] = {}
        self.chores: list[Callable[[], None]] = []  # what else is to be done once a second; may raise StoreAway

    def start(self) -> None:
        """Begin, if that was not done yet."""
        if self._thread is not None:
            return
        with self._lock:
            if self._thread is None:
                # Whatever is read from now on is newer than these.
                self._attempt(self._hear, first=True)
                self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def _run(self) -> None:
        due = {"renew": 0.0, "changes": 0.0, "sweep": time.monotonic() + SWEPT_EVERY}
        while not self._stopped.wait(BEAT):
            now = time.monotonic()
            if now >= due["renew"]:
                due["renew"] = now + RENEWED_EVERY
                self._attempt(self._flights.renew)
            if now >= due["changes"]:
                due["changes"] = now + CHANGES_EVERY
                self._attempt(self._hear)
                for chore in self.chores:
                    self._attempt(chore)
            if now >= due["sweep"]:
                due["sweep"] = now + SWEPT_EVERY
                self._attempt(self._store.sweep_alone)

    def _hear(self, *, first: bool = False) -> None:
        counters = self._store.memories.counters()
        changed = [account for account, counter in counters.items() if counter != self._counters.get(account, 0)]
        self._counters = counters
        for account in [] if first else changed:
            self._forget(account)

    def _attempt(self, chore: Callable[..., object], **options: bool) -> None:
        try:
            chore(**options)
        except StoreAway:
            return  # The database has logged it, and will log its return.
        except Exception:
            log.exception("A chore failed by a bug")  # The heart must go on beating.
