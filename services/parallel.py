"""The one executor of a process, on which all provider calls of all requests run."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextvars import ContextVar
from typing import Any, TypeVar

from services.errors import ProviderError

T = TypeVar("T")

behind: ContextVar[bool] = ContextVar("behind", default=False)
"""Whether what is done here is background work, which shares the places with callers but never outnumbers them."""


class Parallel:
    """Runs provider calls side by side; who has many waiting does not keep others from their turn.

    What runs here must never start more here, or the places could run out.
    """

    def __init__(self, places: int) -> None:
        self._executor = ThreadPoolExecutor(places, thread_name_prefix="provider")
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, bool], deque[tuple[Future[Any], Callable[[], None]]]] = {}
        self._is_closed = False

    def start(self, call: Callable[[], T], *, lane: str) -> Future[T]:
        """Begin one call as soon as it is the turn of its lane (an account), in the context of the caller."""
        future: Future[T] = Future()
        context = contextvars.copy_context()
        with self._lock:
            if self._is_closed:
                raise RuntimeError("Nothing is begun any more.")
            waiting = self._lanes.setdefault((lane, behind.get()), deque())
            waiting.append((future, lambda: context.run(_complete, future, call)))
        self._executor.submit(self._next)
        return future

    def gather(
        self, calls: Sequence[Callable[[], T]], *, lane: str, fatal: Callable[[ProviderError], bool]
    ) -> list[T | ProviderError]:
        """Return what each call returned or, if it is not fatal, the failure it raised, in the order of the calls.

        The first fatal failure is raised at once, and what has not begun by then is not begun any more.
        """
        futures = [self.start(call, lane=lane) for call in calls]
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not (isinstance(error, ProviderError) and not fatal(error)):
                    raise error
        finally:
            for future in futures:
                future.cancel()
        return [error if (error := _failure(future)) else future.result() for future in futures]

    def close(self) -> None:
        """End the threads; what has not begun is not begun any more, and who waits for it is told."""
        with self._lock:
            self._is_closed = True
            waiting = [future for lane in self._lanes.values() for future, _ in lane]
            self._lanes.clear()
        for future in waiting:
            future.cancel()
            future.set_running_or_notify_cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _next(self) -> None:
        """Run the first call of the lane whose turn it is, and put that lane at the end of the queue."""
        with self._lock:
            lane = next(iter(self._lanes), None)
            if lane is None:
                return
            waiting = self._lanes.pop(lane)
            _, run = waiting.popleft()
            if waiting:
                self._lanes[lane] = waiting
        run()


class Beside:
    """Threads for the parts of one answer that are read side by side; these may use `Parallel` and wait for it."""

    def __init__(self, places: int) -> None:
        self._executor = ThreadPoolExecutor(places, thread_name_prefix="beside")

    def start(self, part: Callable[[], T]) -> Future[T]:
        """Begin one part, in the context (request id) of the caller.

        If the answer fails meanwhile, a part that has begun is read to its end, and is remembered for the next time.
        """
        return self._executor.submit(contextvars.copy_context().run, part)

    def close(self) -> None:
        """End the threads; what has not begun is not begun any more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def _complete(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001  # Whoever waits for the result gets it, as from any executor.
        future.set_exception(error)


def _failure(future: Future[T]) -> ProviderError | None:
    error = future.exception()
    return error if isinstance(error, ProviderError) else None
