"""Retention: deletes history that is older than the settings keep it, a little at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from services.clock import Clock
from services.days import pacific_day
from services.store.deletion import Deletion
from services.store.exported_tables import SECTIONS
from services.store.transfer import Transfer


class Retention:
    """How long history is kept: days by the subject of a section (`DAYS`, `MEDIA`), 0 for ever."""

    def __init__(self, transfer: Transfer, deletion: Deletion, *, days: Mapping[str, int], clock: Clock) -> None:
        self._transfer = transfer
        self._deletion = deletion
        self._days = days
        self._clock = clock
        self._left: list[str] = []  # accounts of the round that is under way

    def run(self, *, seconds: float) -> bool:
        """Delete for some seconds; return whether the round is complete, so that the next one may wait for a day.

        Raises `DatabaseUnavailableError`.
        """
        kept = [section for section in SECTIONS if self._days[section.subject]]
        if not kept:
            return True
        deadline = self._clock.monotonic() + seconds
        self._left = self._left or self._transfer.accounts()
        while self._left:
            for section in kept:
                before = self._first_kept(self._days[section.subject])
                while self._deletion.expire(section, self._left[-1], before):
                    if self._clock.monotonic() >= deadline:
                        return False
            self._left.pop()
            if self._clock.monotonic() >= deadline:
                return not self._left
        return True

    def _first_kept(self, days: int) -> date:
        return pacific_day(self._clock.now()) - timedelta(days=days)
