"""A circuit breaker: what keeps failing is left alone for a while, then tried with one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from services.clients.probe import Entry, Moment, Turn
from services.errors import ProviderError

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class BreakerState:
    """How a breaker stands: `account` is "" for the whole provider, `code` that of the failure which opened it.

    `opens_again_in` are the seconds until a call is let through, 0 where one may try now.
    """

    account: str
    state: State
    opens_again_in: float
    code: str | None


class Breaker:
    """Opens after `threshold` failures in a row, for the first of `pauses`; each probe that fails makes the next count.

    Not safe for threads: its gate holds the lock.
    """

    def __init__(self, threshold: int, pauses: Sequence[float]) -> None:
        self._threshold = threshold
        self._pauses = pauses
        self._in_row = 0
        self._pause = 0  # which of the pauses
        self._until = 0.0  # by the monotonic clock
        self._failure: ProviderError | None = None  # None while closed
        self._turn = Turn()

    @property
    def is_closed(self) -> bool:
        """Whether every call may pass."""
        return self._failure is None

    def refusal(self, now: Moment) -> ProviderError | None:
        """Return what a call is refused with, or None where it may pass."""
        if self._failure is None or (now.monotonic >= self._until and self._turn.is_free(now)):
            return None
        tells_wait = self._failure.usual_wait is not None
        wait = max(1, ceil(self._until - now.monotonic)) if tells_wait else self._failure.retry_after
        return self._failure.unsent(retry_after=wait)

    def admit(self, entry: Entry, now: Moment) -> None:
        """Let a call pass that was not refused: as the probe unless closed."""
        if self._failure is not None:
            self._turn.take(entry, now)

    def succeeded(self, entry: Entry) -> bool:
        """Close, whichever call it was; return whether that changes anything."""
        self._turn.leave(entry)
        was_open = self._failure is not None
        self._failure, self._in_row, self._pause = None, 0, 0
        return was_open

    def failed(self, entry: Entry, error: ProviderError, now: Moment) -> bool:
        """Count a failure; return whether it opens what was closed. Only the probe's makes the pause longer."""
        was_probe = self._turn.leave(entry)
        if self._failure is not None and not was_probe:
            return False  # It was under way when others had failed enough.
        opens = self._failure is None
        if opens:
            self._in_row += 1
            if self._in_row < self._threshold:
                return False
        else:
            self._pause = min(self._pause + 1, len(self._pauses) - 1)
        self._failure = error
        self._until = now.monotonic + self._pauses[self._pause]
        return opens

    def undecided(self, entry: Entry) -> None:
        """Take note of a call whose outcome says nothing here; if it was the probe, the next one is."""
        self._turn.leave(entry)

    def described(self, account: str, now: Moment) -> BreakerState:
        """Return how the breaker stands."""
        if self._failure is None:
            return BreakerState(account, "closed", 0.0, None)
        wait = max(0.0, self._until - now.monotonic)
        return BreakerState(account, "open" if wait else "half_open", wait, self._failure.code)
