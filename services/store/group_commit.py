"""Group commit: what several threads write at the same moment becomes one transaction."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from services.store.database import DatabaseUnavailableError, StatementRefusedError

MOST = 200  # items of one transaction

T = TypeVar("T")


class _PendingItem(Generic[T]):
    """An item of one thread, and how its transaction ended."""

    __slots__ = ("failure", "is_done", "item", "woken")

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_done = False
        self.failure: DatabaseUnavailableError | None = None
        self.woken = threading.Event()


class GroupCommit(Generic[T]):
    """Writes the items of all threads that wait, in the order in which they came.

    A commit waits for the disk, and a SQLite file takes one writer at a time. While one thread commits, the others
    queue; then the first of them writes everything that has queued up meanwhile. The others sleep until their item is
    written: a lock that each of them took in turn would hand the interpreter's own lock around as often.
    """

    def __init__(self, write: Callable[[list[T]], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._queue: deque[_PendingItem[T]] = deque()
        self._is_led = False

    def __call__(self, item: T) -> None:
        """Return once the item is committed; raise `DatabaseUnavailableError` if it is not."""
        entry = _PendingItem(item)
        with self._lock:
            self._queue.append(entry)
            leads, self._is_led = not self._is_led, True
        if not leads:
            entry.woken.wait()
        if not entry.is_done:  # It is the first of the queue, and no other thread writes.
            self._lead()
        if entry.failure is not None:
            # An exception of its own for each thread: a shared one would collect the tracebacks of all.
            raise type(entry.failure)(str(entry.failure))

    def _lead(self) -> None:
        """Write what has queued up, and hand over to the first thread that has come since."""
        with self._lock:
            entries = [self._queue.popleft() for _ in range(min(len(self._queue), MOST))]
        try:
            self._commit(entries)
        finally:
            with self._lock:
                following = [self._queue[0]] if self._queue else []
                self._is_led = bool(following)
            for entry in (*following, *entries):
                entry.woken.set()

    def _commit(self, entries: list[_PendingItem[T]]) -> None:
        failure: DatabaseUnavailableError | None = DatabaseUnavailableError("the write was interrupted")
        try:
            self._write([entry.item for entry in entries])
            failure = None
        except StatementRefusedError as error:
            failure = error
            if len(entries) > 1:
                # One value that the database refuses must not take the others with it.
                for entry in entries:
                    self._commit([entry])
                return
        except DatabaseUnavailableError as error:
            failure = error
        finally:
            for entry in entries:
                if not entry.is_done:
                    entry.failure, entry.is_done = failure, True
