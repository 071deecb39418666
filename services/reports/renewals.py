"""Buys new reports in the background, for those that have expired and were answered stale."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from services import request_context
from services.caller import Caller
from services.clock import Clock
from services.errors import ProviderError
from services.executors import submit_if_possible
from services.reports.call_failures import CallFailures
from services.reports.purchasing import ReportPurchasing
from services.request_context import RequestContext

THREADS = 4
MAX_RENEWALS = 64  # that run or wait for a thread; the next request for one that found no room starts it

log = logging.getLogger(__name__)


class ReportRenewals:
    """At most one renewal of a creator's report in this process; the ledger sees to it among all processes."""

    def __init__(self, purchasing: ReportPurchasing, failures: CallFailures, clock: Clock) -> None:
        self._purchasing = purchasing
        self._failures = failures
        self._clock = clock
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="renewal")
        self._running: set[str] = set()
        self._changed = threading.Condition()

    def start(self, name: str, *, asked: str, caller: Caller) -> None:
        """Begin to buy a new report for a caller.

        Not if that is under way, has just failed, or too many others are under way.
        """
        if self._failures.since(name) is not None:
            return
        with self._changed:
            if name in self._running or len(self._running) >= MAX_RENEWALS:
                return
            self._running.add(name)
        if not submit_if_possible(self._executor, partial(self._buy, name, asked, caller)):
            # The kept report is answered; a later request tries again.
            self._end(name)
            log.warning("A renewal could not be started: no thread")

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until nothing is bought in the background; return whether that came in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def close(self) -> None:
        """Stop the threads; a renewal that has not begun is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _buy(self, name: str, asked: str, caller: Caller) -> None:
        context = RequestContext(started_at=self._clock.timestamp(), is_background=True, caller=caller)
        request_context.current.set(context)
        try:
            # `start` may not know of what another process has found out within the last second.
            if self._failures.latest(name) is None:
                self._purchasing.buy(name, asked=asked, caller=caller)
        except ProviderError as error:
            log.warning("An expired report could not be bought again", extra={"code": error.code})
        except Exception:
            log.exception("A renewal failed by an unexpected error")
        finally:
            self._end(name)

    def _end(self, name: str) -> None:
        with self._changed:
            self._running.discard(name)
            self._changed.notify_all()
