"""A throttle: no call until the time that the provider gave, or probes at intervals where it gave none."""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from services.clients.guard.probe import Moment, Permit, ProbeSlot
from services.errors import ProviderError

ASSUMED_THROTTLE = 900  # seconds, where Meta gives no time; the platform's limit is a rolling hour
PROBED_EVERY = 20  # seconds, where Instagram gave no time; the usual wait is a guess, and mostly too long


class SharedThrottle(NamedTuple):
    """A throttle as all processes know it; times are Unix seconds."""

    began_at: float
    ends_at: float
    next_call_at: float  # the end, if the provider has given it, else the time of the next probe
    failure: ProviderError


class Throttle:
    """The throttle of one account or of the whole app. Not safe for threads: its guard holds the lock."""

    def __init__(self) -> None:
        self._failure: ProviderError | None = None
        self._until = self._probed_at = Moment(0.0, 0.0)
        self.since = 0.0  # Unix seconds
        self.is_changed = False  # since it was shared with other processes
        self._slot = ProbeSlot()

    def refusal(self, now: Moment) -> ProviderError | None:
        """Return the failure that a call is refused with, or None where it may pass."""
        if self._failure is None or not self._is_in_force(now):
            return None
        if now.seconds_to(self._probed_at) <= 0 and self._slot.is_free(now):
            return None
        return self._failure.unsent(retry_after=ceil(now.seconds_to(self._until)))

    def admit(self, permit: Permit, now: Moment) -> None:
        """Admit a call that was not refused: as the probe while the throttle is in force."""
        if self._is_in_force(now):
            self._slot.occupy(permit, now)

    def begin(self, error: ProviderError, seconds: float, *, usage_reported: bool, now: Moment) -> bool:
        """Begin or prolong, with probes unless the provider gave the seconds; return whether it begins."""
        was_in_force = self._is_in_force(now)
        was_reported = self._probed_at == self._until
        # A call that was under way must not replace the reported time by a guess, or by a shorter one.
        if was_in_force and was_reported and (not usage_reported or seconds <= now.seconds_to(self._until)):
            return False
        self._failure, self._until, self.since, self.is_changed = error, now.after(seconds), now.unix, True
        self._probed_at = self._until if usage_reported else now.after(min(seconds, PROBED_EVERY))
        return not was_in_force

    def lifted(self, permit: Permit) -> bool:
        """Note that a call was answered: if it was the probe, the throttle is over; return whether it was."""
        was_probe = self._slot.release(permit)
        if was_probe:
            self._failure, self.is_changed = None, True
        return was_probe

    def undecided(self, permit: Permit, now: Moment) -> None:
        """Note a call whose end says nothing here; if it was the probe, the next one comes after the interval."""
        if self._slot.release(permit):
            self._probed_at = now.after(PROBED_EVERY)

    def is_probed_by(self, permit: Permit) -> bool:
        """Return whether a call is the probe."""
        return self._slot.is_held_by(permit)

    def shared(self) -> SharedThrottle | None:
        """Return what other processes have to know of the throttle; None if it is over."""
        if self._failure is None:
            return None
        return SharedThrottle(self.since, self._until.unix, self._probed_at.unix, self._failure)

    def adopt(self, found: SharedThrottle | None, now: Moment) -> None:
        """Take over what other processes know; a change of this process that they do not know yet stays."""
        if self.is_changed:
            return
        if found is None:
            self._failure = None
            return
        self._failure, self.since = found.failure, found.began_at
        self._until, self._probed_at = now.at(found.ends_at), now.at(found.next_call_at)

    def next_call(self, now: Moment) -> float | None:
        """Return the moment (Unix seconds) of the next call, or None where it may be now."""
        waits = self._is_in_force(now) and now.seconds_to(self._probed_at) > 0
        return self._probed_at.unix if waits else None

    def _is_in_force(self, now: Moment) -> bool:
        return self._failure is not None and now.seconds_to(self._until) > 0
