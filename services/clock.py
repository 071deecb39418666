"""The clock, injected wherever time matters, so that tests can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime

AHEAD = 300.0  # seconds by which the clocks of machines may differ; no call takes so long either


class Clock:
    """The machine's clock."""

    def timestamp(self) -> float:
        """Return the present moment in Unix seconds."""
        return time.time()

    def now(self) -> datetime:
        """Return the same moment, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def past(self, moment: float | None) -> float | None:
        """Return a kept moment (Unix seconds), or None for one that lies ahead: see `is_ahead`."""
        return None if moment is None or is_ahead(moment, self.timestamp()) else moment

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring how long something took."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)


def is_ahead(moment: float, now: float) -> bool:
    """Return whether a moment at which something has happened lies ahead of the present one (Unix seconds).

    It was noted before a clock that ran ahead was set back. When it really was is not known, so it does not count:
    nothing waits until it is past, and nothing loses against it. In statements it is `services.store.upsert.is_newer`.
    """
    return moment > now + AHEAD
