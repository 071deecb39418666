"""What a guard knows of one account, or of the whole app and its provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from services.clients.guard.breaker import Breaker
from services.clients.guard.probe import Moment, Permit
from services.clients.guard.throttle import Throttle
from services.clients.guard.usage import Usage
from services.errors import ProviderError

USAGE_COUNTS_FOR = 3600  # seconds; the limits are over rolling hours


@dataclass(frozen=True)
class GuardedProvider:
    """What a guard has to know of its provider: its name, and what a throttle by a usage is raised as."""

    name: str
    throttled: Callable[[Usage], ProviderError]


@dataclass
class GuardState:
    """The state of one account, or of the app. Not safe for threads: its guard holds the lock."""

    breaker: Breaker
    throttle: Throttle = field(default_factory=Throttle)
    usage: Usage | None = None
    faults: int = 0  # in a row; those of the app are counted by its breaker

    def has_used(self, percent: float, now: Moment) -> bool:
        """Return whether so much of a limit was used by the last report, if that is recent."""
        usage = self.usage
        return usage is not None and usage.percent >= percent and abs(now.unix - usage.read_at) < USAGE_COUNTS_FOR

    def usage_reported(self, account: str, now: Moment) -> Usage | None:
        """Return the usage together with the throttle, or None where neither is known."""
        until = self.throttle.next_call(now)
        if until is None:
            return self.usage and replace(self.usage, blocked_until=None)
        usage = self.usage or Usage(account, 0.0, {}, None, self.throttle.since)
        return replace(usage, blocked_until=until, read_at=max(usage.read_at, self.throttle.since))


def refusal(states: Iterable[GuardState], now: Moment) -> ProviderError | None:
    """Return the failure that a call is refused with, throttles before breakers, or None where it may pass."""
    return next((found for each in _checks(states) if (found := each.refusal(now)) is not None), None)


def admit(states: Iterable[GuardState], permit: Permit, now: Moment) -> None:
    """Admit a call that was not refused: as the probe of each throttle in force and each open breaker."""
    for each in _checks(states):
        each.admit(permit, now)


def _checks(states: Iterable[GuardState]) -> list[Throttle | Breaker]:
    known = list(states)
    return [*(each.throttle for each in known), *(each.breaker for each in known)]
