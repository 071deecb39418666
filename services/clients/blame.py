"""Whose trouble it is when calls fail in a row: the provider's, or that of one account."""

from __future__ import annotations

from collections import OrderedDict

FEW = 3  # accounts; where so many fail together it is not theirs
LATELY = 60.0  # seconds


class Blame:
    """Knows which accounts failed since something was last answered, and who was answered lately.

    Not safe for threads: its gate holds the lock.
    """

    def __init__(self) -> None:
        self._failing: set[str] = set()
        self._answered: OrderedDict[str, float] = OrderedDict()  # the last few, the one of longest ago first

    def answered(self, account: str, now: float) -> None:
        """Take note that the provider lives (`now` by the monotonic clock)."""
        self._failing.clear()
        if not account:  # It was about nobody in particular.
            return
        self._answered[account] = now
        self._answered.move_to_end(account)
        if len(self._answered) > FEW:
            self._answered.popitem(last=False)

    def is_the_provider_s(self, account: str, now: float) -> bool:
        """Take note of a fault, and return whether it speaks against the provider.

        One or two accounts that fail do not, while others are answered.
        """
        self._failing.add(account)
        if len(self._failing) >= FEW:
            return True
        others = (at for other, at in self._answered.items() if other not in self._failing)
        return not any(now - at < LATELY for at in others)
