"""Probes of a provider that failed: one call at a time finds out whether it has recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from services.clients.guard.usage import Usage

PROBE_GIVEN_UP_AFTER = 60  # seconds; if the thread of a probe was killed, the slot must not stay occupied permanently


class Moment(NamedTuple):
    """One moment by both clocks: `monotonic` for durations in this process, `unix` for times that providers name."""

    monotonic: float
    unix: float

    def after(self, seconds: float) -> Moment:
        """Return the moment so many seconds later."""
        return Moment(self.monotonic + seconds, self.unix + seconds)

    def at(self, unix: float) -> Moment:
        """Return the moment at a time that is given in Unix seconds."""
        return self.after(unix - self.unix)

    def seconds_to(self, later: Moment) -> float:
        """Return the seconds that remain until a later moment, by the clock which says fewer."""
        # The machine may have slept, which its monotonic clock does not see, or its other clock may have been set back.
        return min(later.monotonic - self.monotonic, later.unix - self.unix)


@dataclass(eq=False)
class Permit:
    """One admitted call for an account; its client stores here what the answer reports of the limits."""

    account: str
    usages: Sequence[Usage] = ()


class ProbeSlot:
    """Holds at most one call as the probe."""

    def __init__(self) -> None:
        self._holder: Permit | None = None
        self._since = 0.0

    def is_free(self, now: Moment) -> bool:
        """Return whether a call may become the probe."""
        return self._holder is None or now.monotonic - self._since >= PROBE_GIVEN_UP_AFTER

    def occupy(self, permit: Permit, now: Moment) -> None:
        """Make a call the probe."""
        self._holder, self._since = permit, now.monotonic

    def is_held_by(self, permit: Permit) -> bool:
        """Return whether a call is the probe."""
        return self._holder is permit

    def release(self, permit: Permit) -> bool:
        """Free the slot if this call was the probe, and return whether it was."""
        if self._holder is not permit:
            return False
        self._holder = None
        return True
