"""Reports that were answered lately, as they are shown, so that most requests read none of them again."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from services.cache.cache import Cache
from services.cache.policies import MINUTE
from services.reports.report_answers import ShownReport
from services.store.reports import KeptReport

RECENT_AT_MOST = 5 * 1024 * 1024  # bytes: about 2,000 reports of the sandbox
ENTRY_OVERHEAD = 1_000  # bytes of the objects of an entry


class ServedReport(NamedTuple):
    """The newest report of a creator, of which `name` is the one name: without its body, and as it is shown."""

    name: str
    report: KeptReport
    shown: ShownReport


@dataclass(frozen=True, slots=True)
class RecentReport:
    """A report as it was read, and the change after which it was still the newest of its creator."""

    served: ServedReport
    read_at: float  # monotonic
    change: int

    @property
    def is_old(self) -> bool:
        """Return whether it has to be read again, because an operator may have repaired it in the database."""
        return time.monotonic() - self.read_at >= MINUTE


class RecentReports:
    """Reports by the names that callers gave; bounded in bytes, the least recently used are dropped first.

    Each is known for a minute. When a report of the source changes within that time, it has to be looked up whether
    this one is still the newest of its creator; it need not be read again for that.

    A thread notes the change that was the last one before it reads the database. So what it has read does not count as
    current where another change comes in between.
    """

    def __init__(self, source: str, cache: Cache) -> None:
        """Build it; `cache` announces every change of a source's reports, by this process or another."""
        self._source = source
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, RecentReport] = OrderedDict()
        self._bytes = 0
        self._change = 0
        cache.on_change(self._note_change)

    @property
    def change(self) -> int:
        """The number of the last change; to be taken before the database is read."""
        return self._change

    def current(self, creator: str) -> ServedReport | None:
        """Return a report that is known to be the newest of its creator."""
        entry = self._entries.get(creator)
        if entry is None or entry.change != self._change or entry.is_old:
            return None
        with self._lock:
            if creator in self._entries:
                self._entries.move_to_end(creator)
        return entry.served

    def last(self, creator: str) -> RecentReport | None:
        """Return the report that was the newest of its creator when it was looked up last."""
        return self._entries.get(creator)

    def put(self, creator: str, report: RecentReport) -> None:
        """Keep a report that was the newest of its creator after a change."""
        with self._lock:
            self._drop(creator)
            self._entries[creator] = report
            self._bytes += _size(creator, report.served)
            while self._bytes > RECENT_AT_MOST:
                self._drop(next(iter(self._entries)))

    def _drop(self, creator: str) -> None:
        entry = self._entries.pop(creator, None)
        if entry is not None:
            self._bytes -= _size(creator, entry.served)

    def _note_change(self, account: str) -> None:
        if account == self._source:
            with self._lock:
                self._change += 1


def _size(creator: str, served: ServedReport) -> int:
    return ENTRY_OVERHEAD + len(creator) + served.shown.size
