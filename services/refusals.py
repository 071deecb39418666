"""Remembers which metrics Instagram refused an account, so that they are not asked for again at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from services.memory import Memory
from services.memory.rules import REFUSED
from services.store.memories import Slot

KEY = "refused"
Pair = tuple[str, tuple[str, ...]]
"""A metric and the dimensions of its breakdown."""


class Refusals:
    """What was refused, by account, metric and breakdown."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def remember(self, account: str, metric: str, breakdown: tuple[str, ...], message: str) -> None:
        """Note that a metric was refused, while others of the same call were answered."""
        self._memory.note(account, {_slot(metric, breakdown): ({"message": message}, REFUSED)})

    def of(self, account: str, pairs: Collection[Pair]) -> Mapping[Pair, str]:
        """Return what the provider said when it refused some metrics; those that may be asked are left out."""
        slots = {_slot(metric, breakdown): (metric, breakdown) for metric, breakdown in pairs}
        found = self._memory.peek(account, dict.fromkeys(slots, REFUSED))
        return {slots[slot]: str(memo.value["message"]) for slot, memo in found.items()}


def _slot(metric: str, breakdown: tuple[str, ...]) -> Slot:
    return Slot(KEY, f"{metric}/{'+'.join(breakdown)}")
