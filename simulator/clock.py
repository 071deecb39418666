"""The simulator's clock: the real one, one that runs ahead, or one that stands still."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

from simulator.messages import BadInputError

EARLIEST = datetime(2024, 6, 1, tzinfo=UTC).timestamp()
LATEST = datetime(2029, 1, 1, tzinfo=UTC).timestamp()


class Clock:
    """What time it is in the simulated world."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frozen: float | None = None
        self._offset = 0.0

    def now(self) -> float:
        """Return the time in Unix seconds."""
        with self._lock:
            return time.time() + self._offset if self._frozen is None else self._frozen

    def freeze(self, moment: float) -> None:
        """Stand still at a moment."""
        _check(moment)
        with self._lock:
            self._frozen = moment

    def advance(self, seconds: float) -> None:
        """Move ahead (or back); a clock that runs goes on running from there."""
        _check(self.now() + seconds)
        with self._lock:
            if self._frozen is None:
                self._offset += seconds
            else:
                self._frozen += seconds

    def release(self) -> None:
        """Go back to the real time."""
        with self._lock:
            self._frozen, self._offset = None, 0.0

    def describe(self) -> dict[str, Any]:
        """Return the JSON of the clock."""
        now = self.now()
        with self._lock:
            frozen, offset = self._frozen is not None, self._offset
        return {"now": round(now, 3), "iso": iso_z(now), "frozen": frozen, "offset": offset}


def iso_z(moment: float) -> str:
    """Return a moment as ISO text in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def moment_of(value: Any) -> float:
    """Read a moment from JSON: Unix seconds or ISO text (UTC where it names no zone)."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise BadInputError("now must be Unix seconds, ISO text or null") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _check(moment: float) -> None:
    if not EARLIEST <= moment < LATEST:
        raise BadInputError(f"the clock goes from {iso_z(EARLIEST)} to {iso_z(LATEST)}")
