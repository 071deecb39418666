"""The context of the work in hand, a request or background work, in every thread that does a part of it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar, cast

from services.caller import ANONYMOUS, Caller
from services.errors import BusyError, DeadlineExceededError
from services.waiting_slots import WaitingSlots

RATE_LIMIT_PATIENCE = 3.0  # seconds that a request waits for its turn under a rate limit
BACKGROUND_DEADLINE = 600.0  # seconds for one piece of background work, for which no caller waits

MODASH, INSTAGRAM = "modash", "instagram"
LONGEST_TURN = 0.01  # seconds that a request waits for the turn of another one
PATIENT_TURN = 0.25  # seconds that the next part of a stream waits for the turns of requests

T = TypeVar("T")


class Turns:
    """Has the requests of a process work one after another while they wait for nothing.

    Threads share the interpreter lock, so side by side they make no reply sooner. But each system call of a thread
    passes the lock on to another one, on another core, and a reply then takes up to a fifth more processor time.

    A request gives its turn back before it waits for a provider or for another request. One that keeps it longer than
    `LONGEST_TURN`, because of a slow database for example, holds up no more than those that wait for it then: all
    others go on without a turn until it is given back.

    A stream takes a turn for each of its parts: it works for seconds, and would else slow down all requests meanwhile,
    each of which gets the interpreter lock back up to 5 ms later, at each of its system calls.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_late = False

    def acquire(self) -> bool:
        """Wait for the turn, for a moment at most; return whether it was taken."""
        if self._lock.acquire(timeout=0 if self._is_late else LONGEST_TURN):
            return True
        self._is_late = True
        return False

    def release(self) -> None:
        """End a turn that was taken."""
        self._is_late = False
        self._lock.release()

    def each(self, parts: Iterator[T]) -> Iterator[T]:
        """Yield the parts of a stream, each made in a turn, or without one where that does not come for long."""
        while True:
            has_turn = self._lock.acquire(timeout=0 if self._is_late else PATIENT_TURN)
            try:
                part = next(parts)
            except StopIteration:
                return
            finally:
                if has_turn:
                    self.release()
            yield part


class RequestContext:
    """One request, or one piece of background work; safe for threads.

    Threads that work for it run in a copy of the `contextvars` context, so they all share this object.
    Background work needs no slot to wait in.

    All of it has to be done within `seconds`: every wait (for a place, a turn, another request's fetch, a retry) and
    every provider call is cut to what is left of them. Only a call that is paid for goes on to its end.
    """

    def __init__(
        self,
        request_id: str = "",
        *,
        started_at: float,
        waiting_slots: WaitingSlots | None = None,
        is_background: bool = False,
        caller: Caller = ANONYMOUS,
        seconds: float | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.id = request_id
        self.started_at = started_at  # Unix seconds
        self.is_background = is_background
        self.caller = caller
        self.not_before: float | None = None  # Unix seconds; values fetched earlier do not serve
        self.provider_calls = 0
        self._accounts: set[str] = set()
        self.provider_seconds = 0.0  # of all calls together
        self._monotonic = monotonic
        usual = BACKGROUND_DEADLINE if is_background else math.inf
        self._deadline = monotonic() + (usual if seconds is None else seconds)
        self._waiting_slots = waiting_slots
        self._lock = threading.Lock()
        self._slot: tuple[str, str] | None = None  # the provider and the account
        self._turns: Turns | None = None  # of which this request has the turn
        self._parts: dict[type, object] = {}
        self._ended = False

    @property
    def account(self) -> str | None:
        """The id of the account that the work is about; None for none and for several."""
        accounts = tuple(self._accounts)
        return accounts[0] if len(accounts) == 1 else None

    def is_about(self, account: str) -> None:
        """Note that the work is about an account, for its log lines."""
        if account:
            self._accounts.add(account)

    def refresh(self) -> None:
        """Accept no value that was fetched before the request came."""
        self.not_before = self.started_at

    def remaining(self) -> float:
        """Return the seconds that are left until the deadline, 0 after it; infinity without one."""
        return max(0.0, self._deadline - self._monotonic())

    def count_call(self, seconds: float) -> None:
        """Count one provider call."""
        with self._lock:
            self.provider_calls += 1
            self.provider_seconds += seconds

    def part(self, kind: type[T]) -> T:
        """Return the one object of a class that this request has; it is made at first.

        So a client may count something over all calls of a request, of which this module knows nothing.
        """
        with self._lock:
            if kind not in self._parts:
                self._parts[kind] = kind()
            return cast("T", self._parts[kind])

    def take_turn(self, turns: Turns) -> None:
        """Wait for the turn to work, for a moment at most; it is given back before the request waits or ends."""
        if turns.acquire():
            self._turns = turns

    def give_way(self) -> None:
        """Give the turn back before a wait."""
        with self._lock:
            self._end_turn()

    def _end_turn(self) -> None:
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.release()

    def wait(self, provider: str, account: str) -> None:
        """Take a slot to wait in, at most one and until the end; raise `BusyError` where none is free.

        A request that waits for several accounts occupies one thread, so it needs only the slot of the first.
        """
        with self._lock:
            self._end_turn()
            # A part may go on after its request has failed; a slot that it took then would never be given back.
            if self._waiting_slots is None or self._slot is not None or self._ended:
                return
            if not self._waiting_slots.acquire(provider, account):
                hint = "Try again after `retry_after` seconds; what is cached is answered at once."
                raise BusyError("The gateway is busy.", hint=hint, retry_after=self._waiting_slots.retry_after())
            self._slot = provider, account

    def end(self) -> None:
        """Give the slot and the turn back."""
        with self._lock:
            self._end_turn()
            if self._slot is not None and self._waiting_slots is not None:
                self._waiting_slots.release(*self._slot)
            self._slot = None
            self._ended = True


current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)
"""What this thread works for; None in commands and in threads that serve the whole process."""


def is_about(account: str) -> None:
    """Note that the work in hand is about an account (id), for its log lines."""
    context = current.get()
    if context is not None:
        context.is_about(account)


def give_way() -> None:
    """Let other requests work while this thread waits."""
    context = current.get()
    if context is not None:
        context.give_way()


def is_background() -> bool:
    """Return whether this thread does background work, for which no caller waits."""
    context = current.get()
    return context is not None and context.is_background


def caller() -> Caller:
    """Return for whom the work in hand is done; background work and commands may see everything."""
    context = current.get()
    return ANONYMOUS if context is None else context.caller


def not_before() -> float:
    """Return the moment before which values were fetched too early for the work in hand (Unix seconds), or 0."""
    context = current.get()
    return 0.0 if context is None or context.not_before is None else context.not_before


_latest_start: ContextVar[Callable[[], float]] = ContextVar("latest_start", default=lambda: math.inf)


@contextmanager
def starts_within(seconds: float, *, monotonic: Callable[[], float]) -> Iterator[None]:
    """Within the block, let the paid call of this thread leave within some seconds, or not at all.

    Every wait before it is cut to them, as to the deadline of the request, whichever comes first.
    """
    latest = monotonic() + seconds
    reset = _latest_start.set(lambda: max(0.0, latest - monotonic()))
    try:
        yield
    finally:
        _latest_start.reset(reset)


def _left_of_request() -> float:
    context = current.get()
    return math.inf if context is None else context.remaining()


def remaining() -> float:
    """Return the seconds that the work in hand may still take; infinity without a deadline."""
    return min(_left_of_request(), _latest_start.get()())


def timeout() -> float | None:
    """Return the same as the timeout of a wait, for which None is no bound."""
    left = remaining()
    return None if math.isinf(left) else left


def require(seconds: float = 0.0) -> None:
    """Raise `DeadlineExceededError` unless the work in hand may still take more than so many seconds."""
    if remaining() <= seconds:
        raise deadline_exceeded()


def deadline_exceeded() -> DeadlineExceededError:
    """Return the failure of work that may not go on; no provider is at fault, so it names none."""
    if _latest_start.get()() < _left_of_request():
        return DeadlineExceededError(
            "The call waited for its turn for too long, and was not made.",
            provider=None,
            hint="Ask again; nothing was charged. PROVIDER_PARALLEL and MODASH_RATE bound the calls to Modash.",
            reached=False,
        )
    return DeadlineExceededError(
        "The request took longer than it may.",
        provider=None,
        hint="Ask again: what was answered until now is kept. The limit is REQUEST_DEADLINE.",
        reached=False,
    )


def accept_only_new(*, refresh: bool) -> None:
    """Make the current request accept only values fetched after it came, if its caller asked for a `refresh`."""
    context = current.get()
    if refresh and context is not None:
        context.refresh()


def accept_since(moment: float) -> None:
    """Make the work in hand accept only values that were fetched since a moment (Unix seconds)."""
    context = current.get()
    if context is not None:
        context.not_before = moment


def patience() -> float | None:
    """Return the seconds that a turn under a rate limit is waited for; None without a bound."""
    context = current.get()
    return None if context is None or context.is_background else min(RATE_LIMIT_PATIENCE, remaining())
