"""A circuit breaker: after failures in a row no call is made for a while, then one call as a probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from services.clients.guard.probe import Moment, Permit, ProbeSlot
from services.errors import ProviderError

FAULTS_IN_ROW = 5  # that open the breaker of a provider or, if others are answered, of an account
REJECTIONS_IN_ROW = 1  # that open the breaker of an account: the next call has the same token
PROVIDER_PAUSES = (1, 2, 4, 8)  # seconds
ACCOUNT_PAUSES = (5, 10, 15)  # seconds

State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True)
class BreakerState:
    """The state of a breaker: `account` is "" for the whole provider, `code` that of the failure which opened it.

    `opens_again_in` are the seconds until the next call (the probe) is admitted, 0 where one is admitted now.
    """

    account: str
    state: State
    opens_again_in: float
    code: str | None


class Breaker:
    """Opens after `threshold` failures in a row, for the first of `pauses`; each failed probe moves to the next pause.

    Not safe for threads: its guard holds the lock.
    """

    def __init__(self, threshold: int, pauses: Sequence[float]) -> None:
        self._threshold = threshold
        self._pauses = pauses
        self._in_row = 0
        self._pause = 0  # which of the pauses
        self._until = 0.0  # by the monotonic clock
        self._failure: ProviderError | None = None  # None while closed
        self._slot = ProbeSlot()

    @property
    def is_closed(self) -> bool:
        """Whether every call may pass."""
        return self._failure is None

    def refusal(self, now: Moment) -> ProviderError | None:
        """Return the failure that a call is refused with, or None where it may pass."""
        if self._failure is None or (now.monotonic >= self._until and self._slot.is_free(now)):
            return None
        has_wait = self._failure.usual_wait is not None
        wait = max(1, ceil(self._until - now.monotonic)) if has_wait else self._failure.retry_after
        return self._failure.unsent(retry_after=wait)

    def admit(self, permit: Permit, now: Moment) -> None:
        """Admit a call that was not refused: as the probe unless closed."""
        if self._failure is not None:
            self._slot.occupy(permit, now)

    def succeeded(self, permit: Permit) -> bool:
        """Close, whichever call succeeded; return whether the breaker was open."""
        self._slot.release(permit)
        was_open = self._failure is not None
        self._failure, self._in_row, self._pause = None, 0, 0
        return was_open

    def failed(self, permit: Permit, error: ProviderError, now: Moment) -> bool:
        """Count a failure; return whether it opens the breaker. Only a failed probe makes the pause longer."""
        was_probe = self._slot.release(permit)
        if self._failure is not None and not was_probe:
            return False  # The call was under way when the breaker opened.
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

    def undecided(self, permit: Permit) -> None:
        """Note a call whose end says nothing here; if it was the probe, the next call becomes the probe."""
        self._slot.release(permit)

    def described(self, account: str, now: Moment) -> BreakerState:
        """Return the state of the breaker."""
        if self._failure is None:
            return BreakerState(account, "closed", 0.0, None)
        wait = max(0.0, self._until - now.monotonic)
        return BreakerState(account, "open" if wait else "half_open", wait, self._failure.code)
