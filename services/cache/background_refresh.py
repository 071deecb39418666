"""Refreshes in the background: of expired values that were served at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic

from services import request_context
from services.cache.fetch_request import FetchRequest
from services.cache.fetching import Fetching
from services.cache.policies import RETRY_FAILED_AFTER
from services.cache.single_flight import Flight, SingleFlight
from services.clock import Clock
from services.errors import log_fields
from services.executors import submit_if_possible
from services.request_context import RequestContext
from services.store.cache_entries import CacheKey

log = logging.getLogger(__name__)

REFRESH_THREADS = 4
MAX_REFRESHES = 64  # queued or running in this process; those beyond are started by later requests
MAX_FAILED_REFRESHES = 10_000  # remembered


class BackgroundRefresh:
    """The refreshes that run in this process, and those that failed moments ago."""

    def __init__(self, fetching: Fetching, single_flight: SingleFlight, clock: Clock) -> None:
        self._fetching = fetching
        self._single_flight = single_flight
        self._clock = clock
        self._threads = ThreadPoolExecutor(REFRESH_THREADS, thread_name_prefix="refresh")
        self._free = threading.BoundedSemaphore(MAX_REFRESHES)
        self._failed: dict[tuple[str, str], float] = {}  # when each may be tried again, monotonic

    def start(self, request: FetchRequest, cache_keys: Collection[CacheKey]) -> list[Flight]:
        """Fetch on another thread what is not being fetched yet and has not failed within moments.

        Returns the flights that are worth waiting for: not those of keys whose last refresh failed.
        """
        now = monotonic()
        retry_at = {key.key: self._failed.get((request.account, key.key)) for key in cache_keys}
        due = {key for key, at in retry_at.items() if at is None or at <= now}
        if not due or not self._free.acquire(blocking=False):
            return []
        led, joined = self._single_flight.join(request.account, due)
        if led:
            keys = {flight.key for flight in led}
            of_led = [key for key in cache_keys if key.key in keys]
            if not submit_if_possible(self._threads, partial(self._run, request, led, of_led)):
                # What is there is answered; a later request tries again.
                self._single_flight.finish(led, {})
                self._free.release()
                log.warning("A background refresh could not be started: no thread", extra={"account": request.account})
                return [flight for flight in joined if retry_at[flight.key] is None]
        else:
            self._free.release()
        return [flight for flight in led + joined if retry_at[flight.key] is None]

    def close(self) -> None:
        """Start no refresh any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _run(self, request: FetchRequest, led: Collection[Flight], cache_keys: Collection[CacheKey]) -> None:
        request_context.current.set(RequestContext(started_at=self._clock.timestamp(), is_background=True))
        try:
            # What another process is fetching needs no second fetch, and no thread that waits for it.
            _, failures = self._fetching.lead(request, led, cache_keys, deadline=None)
        except Exception:
            log.exception("A background refresh failed with an unexpected error")
            raise
        finally:
            self._free.release()
        if len(self._failed) > MAX_FAILED_REFRESHES:
            self._failed.clear()
        for key in {cache_key.key for cache_key in cache_keys} - failures.keys():
            self._failed.pop((request.account, key), None)
        self._failed |= {(request.account, key): monotonic() + RETRY_FAILED_AFTER for key in failures}
        for error in {error.code: error for error in failures.values()}.values():
            log.warning("A background refresh failed", extra=log_fields(error, account=request.account))
