"""A pause after a failure of the database, at whose end one thread tries it again while the others go on without it.

A server that accepts connections and never answers costs seconds for every try.
"""

from __future__ import annotations

import threading
import time

DATABASE_RETRY_AFTER = 2.0  # seconds after a failure during which the database is not tried again
PROBE_TIMEOUT = 10.0  # seconds that one thread may take to find out whether the database is back


class Outage:
    """One kind of use that may be out of order: any use of the database, or writing alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fault: str | None = None
        self._retry_at = 0.0  # monotonic
        self._prober = 0  # the thread that tries the database after a failure

    @property
    def noted(self) -> str | None:
        """The fault of the last failure, or None if it has worked since."""
        return self._fault

    def fault(self) -> str | None:
        """Return the fault for which it is not tried now, or None: then this thread may try it."""
        if self._fault is None:
            return None
        with self._lock:
            if self._fault is None or self._prober == threading.get_ident():
                return None
            if time.monotonic() < self._retry_at:
                return self._fault
            self._prober, self._retry_at = threading.get_ident(), time.monotonic() + PROBE_TIMEOUT
            return None

    def begin(self, fault: str) -> None:
        """Pause after a failure."""
        with self._lock:
            self._fault, self._retry_at, self._prober = fault, time.monotonic() + DATABASE_RETRY_AFTER, 0

    def end(self) -> None:
        """Note that it works."""
        if self._fault is not None:
            with self._lock:
                self._fault, self._prober = None, 0

    def pass_on(self) -> None:
        """Let another thread try, if this one was to and could not."""
        with self._lock:
            if self._prober == threading.get_ident():
                self._prober, self._retry_at = 0, time.monotonic()
