"""Runs calls side by side on the threads of one pool; how many reach a provider at once, its bulkhead bounds.

Background work starts its threads here, where the system may have none left.
"""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar, cast, overload

from services.errors import BusyError, InsightsError, ProviderError
from services.request_context import deadline_exceeded

T = TypeVar("T")

E = TypeVar("E", bound=InsightsError)

OnResult = Callable[[int, T], None]


class _Batch(Generic[T]):
    """Calls that were started together, and what has come of them. The lock of its executor guards it."""

    def __init__(
        self,
        calls: Sequence[Callable[[], T]],
        is_fatal: Callable[[Any], bool],
        lock: threading.Lock,
        on_result: OnResult[T] | None = None,
        failures: type[InsightsError] = ProviderError,
    ) -> None:
        self.calls = calls
        self.on_result = on_result
        # One copy for each call: a context can only be entered by one thread at a time.
        self.contexts = [contextvars.copy_context() for _ in calls]
        self.not_begun = deque(range(len(calls)))
        self.results: dict[int, T | InsightsError] = {}
        self.failure: BaseException | None = None  # the first fatal one
        self.changed = threading.Condition(lock)
        self.is_fatal = is_fatal
        self.failures = failures  # Of these, one that is not fatal is the result of its call.

    def stop(self, error: InsightsError) -> None:
        """Give calls that have not begun the failure of another one as their result. The caller holds the lock."""
        self.results |= dict.fromkeys(self.not_begun, error)
        self.not_begun.clear()

    @property
    def is_over(self) -> bool:
        """Whether every call has ended, or one of them has failed fatally."""
        return self.failure is not None or len(self.results) == len(self.calls)


class _Run(Generic[T]):
    """One call of a batch while it runs; notes its result at the end, or what it raised, and lets nothing escape.

    A context manager and not a function around the call, so that the call stands right below its caller on the stack.
    """

    def __init__(self, batch: _Batch[T], index: int) -> None:
        self.result: T
        self._batch = batch
        self._index = index

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[True]:
        batch = self._batch
        if error is None and batch.on_result is not None:
            try:
                batch.on_result(self._index, self.result)
            except BaseException as raised:  # noqa: BLE001  # Raised again by the thread that waits for the batch.
                error = raised
        with batch.changed:
            if error is None:
                batch.results[self._index] = self.result
            elif isinstance(error, batch.failures) and (batch.on_result is not None or not batch.is_fatal(error)):
                batch.results[self._index] = error
                if batch.is_fatal(error):
                    batch.stop(error)
            else:
                batch.failure = batch.failure or error
            batch.changed.notify_all()
        return True


class Future(Generic[T]):
    """A call that was started on another thread, and whose result can be waited for."""

    def __init__(self, executor: Executor, batch: _Batch[T]) -> None:
        self._executor = executor
        self._batch = batch

    def result(self, *, within: float | None = None) -> T:
        """Return what the call returned, or raise what it raised; run it here if no thread has begun it.

        With `within` it is not run here, and `DeadlineExceededError` is raised after so many seconds. A call that has
        begun then goes on to its end.
        """
        batch = self._batch
        index = self._executor.take_over(batch) if within is None else None
        if index is not None:
            with _Run(batch, index) as run:
                run.result = batch.calls[index]()
        with batch.changed:
            batch.changed.wait_for(lambda: batch.is_over, within)
        if not batch.is_over and self._executor.withdraw(batch):
            raise deadline_exceeded()
        if batch.failure is not None:
            raise batch.failure
        return cast("T", batch.results[0])


class Executor:
    """A pool of threads for calls made side by side; calls may use it in turn and wait for what they started.

    Nested use cannot deadlock, however few threads there are. A thread that waits for a batch runs the calls of that
    batch itself while all threads of the pool are busy. So it is only ever blocked by calls that have begun, these
    only by calls that they started and that have begun, and so on down to calls that start nothing: provider calls,
    which end by their timeouts.

    A waiting thread runs no calls of other batches. One of these could wait for something that its own caller holds,
    a single flight for instance, which could then never be finished.

    Batches take turns at the threads, so that a batch of many calls does not hold up the next one.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._lock = threading.Lock()
        self._queue: deque[_Batch[Any]] = deque()  # the batches with calls that have not begun, in turn
        self._busy = 0  # threads of the pool that run a call
        self._quiet = threading.Condition(self._lock)
        self._is_closed = False

    @overload
    def gather(
        self,
        calls: Sequence[Callable[[], T]],
        *,
        fatal: Callable[[ProviderError], bool],
        on_result: OnResult[T] | None = None,
    ) -> list[T | ProviderError]: ...

    @overload
    def gather(
        self, calls: Sequence[Callable[[], T]], *, fatal: Callable[[E], bool], failures: type[E]
    ) -> list[T | E]: ...

    def gather(
        self,
        calls: Sequence[Callable[[], T]],
        *,
        fatal: Callable[[Any], bool],
        on_result: OnResult[T] | None = None,
        failures: type[InsightsError] = ProviderError,
    ) -> list[Any]:
        """Return what each call returned or, if it is not fatal, the failure it raised, in the order of the calls.

        The first fatal failure (or any other exception) is raised at once; calls that have not begun by then never
        begin. Raises `BusyError` where the executor is closed before all calls have begun. Failures are those of
        providers, or those of the class `failures`.

        `on_result` gets the index and the result of each call at once, on the thread that ran it. With it nothing that
        was answered is lost to a fatal failure: that failure is the result of its call and of those that then never
        begin, and calls under way are waited for.
        """
        batch = _Batch(calls, fatal, self._lock, on_result, failures)
        if len(calls) > 1:
            self._enqueue(batch)
        try:
            while not batch.is_over:
                with self._lock:
                    while self._has_to_wait(batch):
                        batch.changed.wait()
                    index = self._next_to_run_here(batch)
                if index is not None:
                    with _Run(batch, index) as run:
                        run.result = calls[index]()
        finally:
            with self._lock:
                self._withdraw(batch)
        if batch.failure is not None:
            raise batch.failure
        return [batch.results[index] for index in range(len(calls))]

    def start(self, call: Callable[[], T]) -> Future[T]:
        """Begin a call on another thread. It is run to its end even if its result is never waited for."""
        batch = _Batch([call], _always, self._lock)
        self._enqueue(batch)
        return Future(self, batch)

    def take_over(self, batch: _Batch[T]) -> int | None:
        """Take a started call away from the pool, to be run by the thread that waits for it; None if it has begun."""
        with self._lock:
            return self._next_to_run_here(batch) if batch.not_begun else None

    def withdraw(self, batch: _Batch[T]) -> bool:
        """See to it that a call that has not begun never begins; return whether the batch is not over."""
        with self._lock:
            self._withdraw(batch)
            return not batch.is_over

    def wait_until_quiet(self, seconds: float) -> bool:
        """Wait until no thread of the pool runs a call; return whether that came in time."""
        with self._quiet:
            return self._quiet.wait_for(lambda: not self._busy, seconds)

    def close(self) -> None:
        """Begin no more calls; threads that wait for calls which have not begun raise `BusyError`."""
        with self._lock:
            self._is_closed = True
            for batch in self._queue:
                batch.changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _enqueue(self, batch: _Batch[T]) -> None:
        with self._lock:
            if self._is_closed:
                raise _closed()
            self._queue.append(batch)
        try:
            # As many runs of `_work` as calls: each begins one call of the batch whose turn it is then, if any is left.
            for _ in batch.calls:
                self._pool.submit(self._work)
        except BaseException:
            with self._lock:
                self._withdraw(batch)
            raise

    def _work(self) -> None:
        """Run the next call of the batch whose turn it is, on a thread of the pool."""
        with self._lock:
            while self._queue and not self._queue[0].not_begun:
                self._queue.popleft()  # A fatal failure has stopped it.
            if not self._queue:
                return  # The threads that wait for the calls have run them.
            batch = self._queue[0]
            index = self._begin(batch)
            self._busy += 1
            if self._busy == self._threads:
                for waiting in self._queue:
                    waiting.changed.notify_all()
        with _Run(batch, index) as run:
            run.result = batch.contexts[index].run(batch.calls[index])
        with self._lock:
            self._busy -= 1
            if not self._busy:
                self._quiet.notify_all()

    def _has_to_wait(self, batch: _Batch[T]) -> bool:
        """Return whether others have to act first. The caller holds the lock."""
        if batch.is_over:
            return False
        if not batch.not_begun:
            return True
        # A call alone is not worth a thread. Of several, a free thread begins the next one; when the last thread of
        # the pool becomes busy, it wakes the threads that wait for what has not begun.
        return len(batch.calls) > 1 and self._busy < self._threads and not self._is_closed

    def _next_to_run_here(self, batch: _Batch[T]) -> int | None:
        """Return the call that the waiting thread has to run itself, if any. The caller holds the lock."""
        if batch.is_over:
            return None
        if self._is_closed:
            raise _closed()
        return self._begin(batch)

    def _begin(self, batch: _Batch[T]) -> int:
        """Take the next call of a batch, and put the batch at the end of the queue. The caller holds the lock."""
        index = batch.not_begun.popleft()
        if batch in self._queue:
            self._queue.remove(batch)
            if batch.not_begun:
                self._queue.append(batch)
        return index

    def _withdraw(self, batch: _Batch[T]) -> None:
        """See to it that what has not begun never begins. The caller holds the lock."""
        batch.not_begun.clear()
        if batch in self._queue:
            self._queue.remove(batch)


class SideCalls:
    """Calls that run beside what the block of a `with` does; at its end all of them are over.

    The first failure of them is raised then. Where no thread can be had, a call runs at once.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._futures: list[Future[object]] = []

    def __enter__(self) -> Self:
        return self

    def begin(self, call: Callable[[], object]) -> None:
        """Begin a call on another thread, in the context of this one."""
        try:
            self._futures.append(self._executor.start(call))
        except (BusyError, RuntimeError):
            call()

    def __exit__(self, *_raised: object) -> None:
        failures = []
        for future in self._futures:
            try:
                future.result()
            except Exception as error:  # noqa: BLE001  # Raised below, when no call runs any more.
                failures.append(error)
        if failures:
            raise failures[0]


def _always(_error: InsightsError) -> bool:
    return True


def _closed() -> BusyError:
    return BusyError("The gateway is shutting down.", hint="Try again in a second.")


def start_if_possible(work: Callable[[], object], *, name: str) -> threading.Thread | None:
    """Start a daemon thread with a name; return it, or None where the system has no thread left, which may pass."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    with suppress(RuntimeError):
        thread.start()
        return thread
    return None


def submit_if_possible(pool: ThreadPoolExecutor, work: Callable[[], object]) -> bool:
    """Have a pool run background work, in a new context; return False if it never will: no thread can be started.

    A pool queues the work before it starts a thread, so a thread that it already has may begin what was refused.
    Only the first of the two, that thread or this function, gets the work.
    """
    unclaimed = threading.Lock()

    def run() -> None:
        if unclaimed.acquire(blocking=False):
            work()

    try:
        # A new context, so that calls made here are not counted for the request that is being served.
        pool.submit(contextvars.Context().run, run)
    except RuntimeError:
        return not unclaimed.acquire(blocking=False)
    return True
