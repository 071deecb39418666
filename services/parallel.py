"""The one executor of a process, on which all provider calls of all requests run."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

from services.errors import ProviderError

T = TypeVar("T")


class Parallel:
    """Runs provider calls side by side. What runs here must never start more here, or the places could run out."""

    def __init__(self, places: int) -> None:
        self._executor = ThreadPoolExecutor(places, thread_name_prefix="provider")

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Begin one call, in the context (request id) of the caller."""
        return self._executor.submit(contextvars.copy_context().run, call)

    def gather(
        self, calls: Sequence[Callable[[], T]], *, fatal: Callable[[ProviderError], bool]
    ) -> list[T | ProviderError]:
        """Return what each call returned or, if it is not fatal, the failure it raised, in the order of the calls.

        The first fatal failure is raised at once, and what has not begun by then is not begun any more.
        """
        futures = [self.start(call) for call in calls]
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not (isinstance(error, ProviderError) and not fatal(error)):
                    raise error
        finally:
            for future in futures:
                future.cancel()
        return [error if (error := _failure(future)) else future.result() for future in futures]


def _failure(future: Future[T]) -> ProviderError | None:
    error = future.exception()
    return error if isinstance(error, ProviderError) else None
