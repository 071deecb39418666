"""Probing a provider that failed: one call at a time may find out whether things are better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

PROBE_GIVEN_UP_AFTER = 60  # seconds; the thread of a probe may have been killed, and nobody would ever probe again


class Moment(NamedTuple):
    """One moment by both clocks: `monotonic` for what lasts a while here, `unix` for what providers name."""

    monotonic: float
    unix: float

    def after(self, seconds: float) -> Moment:
        """Return the moment so many seconds later."""
        return Moment(self.monotonic + seconds, self.unix + seconds)

    def seconds_to(self, later: Moment) -> float:
        """Return the seconds that remain until a later moment, by the clock which says fewer."""
        # The machine may have slept, which its monotonic clock does not see, or its other clock may have been set back.
        return min(later.monotonic - self.monotonic, later.unix - self.unix)


@dataclass(eq=False)
class Entry:
    """One call that was let through, for an account; whoever makes it puts the headers of its answer here."""

    account: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Turn:
    """The one place of a probe."""

    def __init__(self) -> None:
        self._holder: Entry | None = None
        self._since = 0.0

    def is_free(self, now: Moment) -> bool:
        """Return whether a call may take the turn."""
        return self._holder is None or now.monotonic - self._since >= PROBE_GIVEN_UP_AFTER

    def take(self, entry: Entry, now: Moment) -> None:
        """Make a call the probe."""
        self._holder, self._since = entry, now.monotonic

    def leave(self, entry: Entry) -> bool:
        """Free the turn if it was this call's, and return whether it was."""
        if self._holder is not entry:
            return False
        self._holder = None
        return True
