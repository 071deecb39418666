"""What the providers still allow: how much of each limit is used, and who is left alone for a while."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from typing_extensions import TypedDict

from services.clients.gate import Gate
from services.clients.pace import Turns
from services.clients.quota import Usage
from services.days import our_time
from services.store import StoreAway, Usages
from services.store.paces import Paces
from services.store.usages import UsageRow


class Limit(TypedDict):
    """One limit, as a provider last told it; `account` is null for that of the whole app."""

    provider: str
    account: str | None
    percent: float
    kinds: dict[str, float]
    read_at: str
    blocked_until: str | None


class Breaking(TypedDict):
    """Whether calls are let through; `account` is null for the whole provider, `code` is why they are not."""

    provider: str
    account: str | None
    state: Literal["closed", "open", "half_open"]
    opens_again_in: float
    code: str | None


class Limits:
    """The gates of all providers, and what other processes know of them."""

    def __init__(self, gates: Mapping[str, Gate], usages: Usages) -> None:
        self._gates = gates
        self._usages = usages
        self._shared: dict[tuple[str, str], Usage] = {}

    def share(self) -> None:
        """Tell other processes what changed here, and learn what they know; raises `StoreAway`."""
        for provider, gate in self._gates.items():
            for row in self._usages.read(provider):
                gate.learn(Usage(*row))
            known = gate.usages()
            changed = [usage for usage in known if self._is_news(provider, usage)]
            if changed:
                self._usages.write(provider, [UsageRow(**vars(usage)) for usage in changed])
            self._shared |= {(provider, usage.account): usage for usage in changed}

    def limits(self) -> list[Limit]:
        """Return every limit that is known."""
        return [
            {
                "provider": provider,
                "account": usage.account or None,
                "percent": usage.percent,
                "kinds": dict(usage.kinds),
                "read_at": _time(usage.read_at),
                "blocked_until": None if usage.blocked_until is None else _time(usage.blocked_until),
            }
            for provider, gate in self._gates.items()
            for usage in gate.usages()
        ]

    def breakers(self) -> list[Breaking]:
        """Return how each provider's breaker stands, and those of accounts that are not closed."""
        return [
            {
                "provider": provider,
                "account": each.account or None,
                "state": each.state,
                "opens_again_in": round(each.opens_again_in, 1),
                "code": each.code,
            }
            for provider, gate in self._gates.items()
            for each in gate.breakers()
        ]

    def _is_news(self, provider: str, usage: Usage) -> bool:
        told = self._shared.get((provider, usage.account))
        return told is None or (told.percent, told.blocked_until) != (usage.percent, usage.blocked_until)


def shared_turns(provider: str, paces: Paces) -> Turns:
    """Return how the calls to a provider take turns over all processes, as long as the store is there."""

    def take(spacing: float, most: float) -> float | None:
        try:
            return paces.take(provider, spacing, most)
        except StoreAway:
            return None

    return take


def _time(moment: float) -> str:
    return our_time(datetime.fromtimestamp(moment, UTC))
