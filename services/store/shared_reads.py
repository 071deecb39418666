"""Equal reads of many threads at once: one query for all that wait.

A thread that asks while an equal query runs may need rows that were committed after that query began. So it takes part
in the next one, which begins when the running one has ended, and which serves all that have come meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class SharedReads(Generic[Result]):
    """Reads by key; a result is given to several threads, so none may change it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[Result]] = {}
        self._next: dict[Hashable, Future[Result]] = {}

    def read(self, key: Hashable, query: Callable[[], Result]) -> Result:
        """Return the result of a query that begins after this call; raises what it raises."""
        with self._lock:
            before = self._running.get(key)
            mine: Future[Result] | None = None
            if before is None:
                mine = self._running[key] = Future()
            elif key in self._next:
                shared = self._next[key]
            else:
                mine = self._next[key] = Future()
        if mine is None:
            return shared.result()
        if before is not None:
            before.exception()  # Waits; how it ended is no matter here.
            with self._lock:
                self._running[key] = self._next.pop(key)
        try:
            mine.set_result(query())
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                if self._running.get(key) is mine:
                    del self._running[key]
        return mine.result()
