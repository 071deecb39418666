"""What the memory knows of calls for reports: who waits for one, and that there is no such creator."""

from __future__ import annotations

from dataclasses import dataclass

from services.memory import Json
from services.memory.failures import from_text
from services.memory.rules import HOUR

CREATOR_UNKNOWN_FOR = HOUR
LOOKED_UP_FOR = 1.0  # seconds after a call for which everybody who waited for it looks up what came


@dataclass(frozen=True)
class CallRule:
    """For how long it is remembered that there was a call: what came of it, the store tells."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a creator is looked for again, or until when those who waited look up what came."""
        if "failure" in value:
            from_text(str(value["failure"]))  # What is none must not be taken for one.
            return fetched_at + CREATOR_UNKNOWN_FOR
        ended_at = value["ended_at"]
        return ended_at + LOOKED_UP_FOR if isinstance(ended_at, int | float) else None

    def grace(self, value: Json) -> float:
        """Return for how long an expired value serves at once."""
        return 0.0


CALL = CallRule()


def flight_key(creator: str) -> str:
    """Return the key under which a creator's report is asked for once for all."""
    return f"report/{creator}"
