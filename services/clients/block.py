"""A block by throttling: until the time the provider gave, or with a probe now and then where it gave none."""

from __future__ import annotations

from math import ceil

from services.clients.probe import Entry, Moment, Turn
from services.errors import ProviderError

PROBED_EVERY = 20  # seconds, where Instagram gave no time; the usual wait is a guess, and mostly too long


class Block:
    """What one account or the whole app is blocked by, if it is. Not safe for threads: its gate holds the lock."""

    def __init__(self) -> None:
        self._failure: ProviderError | None = None
        self._until = self._probed_at = Moment(0.0, 0.0)
        self.since = 0.0  # Unix seconds
        self._turn = Turn()

    def refusal(self, now: Moment) -> ProviderError | None:
        """Return what a call is refused with, or None where it may pass."""
        if self._failure is None or not self._is_in_force(now):
            return None
        if now.seconds_to(self._probed_at) <= 0 and self._turn.is_free(now):
            return None
        return self._failure.unsent(retry_after=max(1, ceil(round(now.seconds_to(self._until), 3))))

    def admit(self, entry: Entry, now: Moment) -> None:
        """Let a call pass that was not refused: as the probe while blocked."""
        if self._is_in_force(now):
            self._turn.take(entry, now)

    def begin(self, error: ProviderError, seconds: float, *, told: bool, now: Moment) -> bool:
        """Block for some seconds, with probes unless the provider told how many; return whether that is news."""
        was_blocked = self._is_in_force(now)
        was_told = self._probed_at == self._until
        # A call that was under way may bring no more than is known: a guess, or no longer wait.
        if was_blocked and was_told and (not told or seconds <= now.seconds_to(self._until)):
            return False
        self._failure, self._until, self.since = error, now.after(seconds), now.unix
        self._probed_at = self._until if told else now.after(min(seconds, PROBED_EVERY))
        return not was_blocked

    def lifted(self, entry: Entry) -> None:
        """Take note that a call was answered: if it was the probe, the block is over."""
        if self._turn.leave(entry):
            self._failure = None

    def undecided(self, entry: Entry, now: Moment) -> None:
        """Take note of a call whose outcome says nothing here; if it was the probe, the next one waits its time."""
        if self._turn.leave(entry):
            self._probed_at = now.after(PROBED_EVERY)

    def next_call(self, now: Moment) -> float | None:
        """Return the moment (Unix seconds) of the next call, or None where it may be now."""
        waits = self._is_in_force(now) and now.seconds_to(self._probed_at) > 0
        return self._probed_at.unix if waits else None

    def _is_in_force(self, now: Moment) -> bool:
        return self._failure is not None and now.seconds_to(self._until) > 0
