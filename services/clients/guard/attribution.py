"""Attributes faults in a row: to the provider, or to one account."""

from __future__ import annotations

from collections import OrderedDict

ENOUGH_ACCOUNTS = 3  # so many accounts that fail together show that the provider is at fault
RECENT = 60.0  # seconds


class FaultAttribution:
    """Which accounts have failed since the last answer, and which were answered recently.

    Not safe for threads: its guard holds the lock.
    """

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._answered: OrderedDict[str, float] = OrderedDict()  # by the monotonic clock; the oldest first

    def answered(self, account: str, now: float) -> None:
        """Note that the provider is up (`now` by the monotonic clock)."""
        self._failing.clear()
        if not account:  # The call was for no account, so no account is shown to work.
            return
        self._answered[account] = now
        self._answered.move_to_end(account)
        if len(self._answered) > ENOUGH_ACCOUNTS:
            self._answered.popitem(last=False)

    def is_provider_fault(self, account: str, now: float) -> bool:
        """Note a fault, and return whether the provider is at fault.

        It is not while only one or two accounts fail and others are answered.
        """
        self._failing.add(account)
        if len(self._failing) >= ENOUGH_ACCOUNTS:
            return True
        others = (at for other, at in self._answered.items() if other not in self._failing)
        return not any(now - at < RECENT for at in others)
