"""The clock, injected wherever time matters, so that tests can move it."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The machine's clock."""

    def timestamp(self) -> float:
        """Return the present moment in Unix seconds."""
        return time.time()

    def now(self) -> datetime:
        """Return the same moment, in UTC."""
        return datetime.fromtimestamp(self.timestamp(), UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring how long something took."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let `seconds` pass."""
        time.sleep(seconds)
