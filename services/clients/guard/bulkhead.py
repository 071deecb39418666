"""A bulkhead: bounds the calls that one process makes to a provider at once, and shares the places fairly.

How many places there are is the setting `PROVIDER_PARALLEL`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from services import request_context
from services.errors import BusyError
from services.request_context import is_background


class _Waiter:
    """One call that waits for a place."""

    def __init__(self) -> None:
        self.decided = threading.Event()
        self.has_place = False


class _Lanes:
    """The waiting calls by account: accounts take turns, and the calls of one account go in the order they came."""

    def __init__(self) -> None:
        self._by_account: OrderedDict[str, deque[_Waiter]] = OrderedDict()  # the account whose turn it is comes first

    def __bool__(self) -> bool:
        return bool(self._by_account)

    def append(self, account: str, waiter: _Waiter) -> None:
        """Add a call at the end of its account's lane."""
        self._by_account.setdefault(account, deque()).append(waiter)

    def pop(self) -> _Waiter:
        """Remove and return the first call of the account whose turn it is; the account goes to the end."""
        account, lane = self._by_account.popitem(last=False)
        waiter = lane.popleft()
        if lane:
            self._by_account[account] = lane
        return waiter

    def remove(self, account: str, waiter: _Waiter) -> None:
        """Remove a call that does not wait any more."""
        lane = self._by_account[account]
        lane.remove(waiter)
        if not lane:
            del self._by_account[account]

    def clear(self) -> list[_Waiter]:
        """Remove and return every call."""
        waiters = [waiter for lane in self._by_account.values() for waiter in lane]
        self._by_account.clear()
        return waiters


class Bulkhead:
    """A bounded number of places, one for each call under way; safe for threads.

    A call that releases its place hands it over to the next call in the same critical section. So a place is only free
    while no call that may have it waits, and a call that comes later can never overtake one that waits.

    Two rules keep the sharing fair. Accounts take turns, so an account with 93 waiting calls delays another one by
    one call, not by 93. Calls of requests and of background work take turns too, and background work never holds
    more than half of the places: a place in use cannot be taken back, so without that bound a burst of background
    work would make the next request wait until calls end, up to a whole timeout.
    """

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._free_for_background = max(1, places // 2)  # at most; these are among the free ones, not beside them
        self._requests = _Lanes()
        self._background = _Lanes()
        self._last_was_background = False
        self._is_closed = False

    @contextmanager
    def place(self, account: str) -> Iterator[None]:
        """Hold a place for one call of an account, for which the call may have to wait.

        Raises `BusyError` if closed, `DeadlineExceededError` if no place came within the request's time.
        """
        background = is_background()
        self._acquire(account, background=background)
        try:
            yield
        finally:
            self._release(background=background)

    def close(self) -> None:
        """Admit no more calls; those that wait raise `BusyError`, those under way go on."""
        with self._lock:
            self._is_closed = True
            for waiter in [*self._requests.clear(), *self._background.clear()]:
                waiter.decided.set()

    def _acquire(self, account: str, *, background: bool) -> None:
        lanes = self._background if background else self._requests
        waiter = _Waiter()
        with self._lock:
            if not self._is_closed:
                lanes.append(account, waiter)
                self._hand_over()
        try:
            has_to_wait = not waiter.has_place and not self._is_closed
            if has_to_wait and not waiter.decided.wait(request_context.timeout()):
                raise request_context.deadline_exceeded()
        except BaseException:
            # The deadline is over, or the thread was interrupted (a signal, the end of the process). Its place may
            # have come in this moment.
            with self._lock:
                if waiter.has_place:
                    self._give_back(background=background)
                elif not self._is_closed:
                    lanes.remove(account, waiter)
            raise
        if not waiter.has_place:
            raise BusyError("The gateway is shutting down.", hint="Try again in a second.")

    def _release(self, *, background: bool) -> None:
        with self._lock:
            self._give_back(background=background)

    def _give_back(self, *, background: bool) -> None:
        """Free a place and hand it over. The caller holds the lock."""
        self._free += 1
        self._free_for_background += background
        self._hand_over()

    def _hand_over(self) -> None:
        """Give free places to waiting calls, as long as there are both. The caller holds the lock."""
        while self._free and (self._requests or (self._background and self._free_for_background)):
            may_be_background = bool(self._background) and self._free_for_background > 0
            background = may_be_background and not (self._requests and self._last_was_background)
            waiter = (self._background if background else self._requests).pop()
            self._free -= 1
            self._free_for_background -= background
            self._last_was_background = background
            waiter.has_place = True
            waiter.decided.set()
