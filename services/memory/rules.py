"""For how long what was fetched may serve, by its kind."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

HOUR, DAY = 3600.0, 86_400.0  # seconds
STALE_IF_ERROR = 7 * DAY  # for which the last good value serves while there is no newer one
FOR_EVER = math.inf

Json = Mapping[str, object]


class Rule(Protocol):
    """How long one kind of value is fresh, and how long beyond that it serves at once while a new one is fetched."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a value expires (Unix seconds, infinite for never), or None if it is not what is wanted."""

    def grace(self, value: Json) -> float:
        """Return the seconds beyond its expiry for which nobody waits for a newer value."""


@dataclass(frozen=True)
class Lasting:
    """A value that is fresh for a number of seconds, whatever it is."""

    seconds: float
    at_once: float = 0.0  # seconds more for which it serves while a newer one is fetched
    needs: tuple[str, ...] = ()  # without these it is nothing

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return the end of the value's time."""
        return fetched_at + self.seconds if value.keys() >= set(self.needs) else None

    def grace(self, value: Json) -> float:
        """Return for how long an expired value serves at once."""
        return self.at_once


PROFILE = Lasting(HOUR, at_once=6 * HOUR)
"""The number of followers; the text beside it would do for longer."""

PROFILE_TEXT = Lasting(DAY)
"""The username."""

OWNER = Lasting(DAY, needs=("id",))
"""Which account belongs to a page or token."""

REFUSED = Lasting(HOUR, needs=("message",))
"""That Instagram does not answer a metric."""
