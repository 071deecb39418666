"""How many requests may wait for a provider at once (`MAX_WAITING_REQUESTS`); one that gets no slot is busy."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

RETRIES_PER_SECOND = 10  # of requests that were refused in this process
LONGEST_RETRY = 10  # seconds
ACCOUNTS_AT_ONCE = 2  # that may use up their slots before those of a provider are used up


class WaitingSlots:
    """The requests of a process that may wait at once: for each account of a provider, and for each provider.

    So requests that wait for one provider, or for one account, never make the requests for another one busy.

    A request without a slot costs about 3 ms of processor time, for it may be answered from what the database keeps.
    Callers that were refused together and came back together, each second, made a reply from the cache take ten times
    as long: up to 80 threads share one interpreter lock. So `retry_after` gives them turns one after another.
    """

    def __init__(self, per_account: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._per_account = per_account
        self._monotonic = monotonic
        self._next_turn = 0.0
        self._of_account: Counter[tuple[str, str]] = Counter()
        self._of_provider: Counter[str] = Counter()
        self._lock = threading.Lock()

    @staticmethod
    def total(per_account: int) -> int:
        """Return how many requests may wait at once in all: for Modash, which has one key, and for Instagram."""
        return (1 + ACCOUNTS_AT_ONCE) * per_account

    def acquire(self, provider: str, account: str) -> bool:
        """Take a slot; return whether one was free."""
        with self._lock:
            is_free = (
                self._of_account[provider, account] < self._per_account
                and self._of_provider[provider] < ACCOUNTS_AT_ONCE * self._per_account
            )
            if is_free:
                self._of_account[provider, account] += 1
                self._of_provider[provider] += 1
            return is_free

    def retry_after(self) -> int:
        """Return in how many seconds a request that got no slot may be repeated: 1 for the first few of a second."""
        with self._lock:
            now = self._monotonic()
            turn = min(max(self._next_turn, now + 1), now + LONGEST_RETRY)
            self._next_turn = turn + 1 / RETRIES_PER_SECOND
            return round(turn - now)

    def release(self, provider: str, account: str) -> None:
        """Give a slot back."""
        with self._lock:
            self._of_provider[provider] -= 1
            self._of_account[provider, account] -= 1
            if not self._of_account[provider, account]:
                del self._of_account[provider, account]  # There may be very many accounts.
