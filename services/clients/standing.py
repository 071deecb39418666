"""What a gate knows of one account, or of the whole app and its provider."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from services.clients.block import Block
from services.clients.breaker import Breaker
from services.clients.probe import Entry, Moment
from services.clients.quota import Usage
from services.errors import ProviderError

USAGE_COUNTS_FOR = 3600  # seconds; the limits are over rolling hours


@dataclass
class Standing:
    """How one account stands, or the app. Not safe for threads: its gate holds the lock."""

    breaker: Breaker
    block: Block = field(default_factory=Block)
    usage: Usage | None = None
    faults: int = 0  # in a row; those of the app are counted by its breaker

    def has_used(self, percent: float, now: Moment) -> bool:
        """Return whether so much of a limit was used when it was last told, if that was lately."""
        usage = self.usage
        return usage is not None and usage.percent >= percent and abs(now.unix - usage.read_at) < USAGE_COUNTS_FOR

    def told(self, account: str, now: Moment) -> Usage | None:
        """Return the usage together with the block, or None where neither is known."""
        until = self.block.next_call(now)
        if until is None:
            return self.usage and replace(self.usage, blocked_until=None)
        usage = self.usage or Usage(account, 0.0, {}, None, self.block.since)
        return replace(usage, blocked_until=until, read_at=max(usage.read_at, self.block.since))


def refusal(standings: Iterable[Standing], now: Moment) -> ProviderError | None:
    """Return what a call that all these concern is refused with, a wait before a failure; None where it may pass."""
    guards = _guards(standings)
    return next((found for guard in guards if (found := guard.refusal(now)) is not None), None)


def admit(standings: Iterable[Standing], entry: Entry, now: Moment) -> None:
    """Let a call pass that was not refused: as the probe of whatever is blocked or open."""
    for guard in _guards(standings):
        guard.admit(entry, now)


def _guards(standings: Iterable[Standing]) -> list[Block | Breaker]:
    known = list(standings)
    return [*(each.block for each in known), *(each.breaker for each in known)]
