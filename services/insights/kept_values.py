"""What the history keeps of the values that the readers of insights request."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from services.answers import Origin
from services.cache.cache import Cache
from services.cache.policies import MINUTE
from services.cache.recent_reads import RecentReads
from services.clients.graph.models import Account
from services.days import ONE_DAY, pacific_day, utc
from services.insights.caching import as_history_value, history_key
from services.insights.request import ValueKey
from services.insights.values import MetricValue
from services.store.database import DatabaseUnavailableError
from services.store.history import History, HistoryKey, HistoryValue, KeptSum, Kind
from services.windows import Window

MOST_RECENT = 10_000  # values, of some hundred bytes each


class KeptValues:
    """The history by metric, breakdown and window; without the database nothing is found, and nothing kept."""

    def __init__(self, history: History, cache: Cache, origin: Origin) -> None:
        """`origin` is noted with each value."""
        self._history = history
        self._origin = origin
        self._recent: RecentReads[HistoryKey, HistoryValue | None] = RecentReads(MINUTE, MOST_RECENT)
        cache.on_change(self._recent.forget)

    def final(self, account: Account, keys: Collection[ValueKey]) -> Mapping[ValueKey, HistoryValue]:
        """Return the final values among some keys, as they were known within the last minute.

        What this process keeps meanwhile is seen at once. Where another one keeps a value, the cache has it as well.
        """
        reading = self._recent.of(account.id)
        by_history_key = {history_key(*key): key for key in keys}
        if unread := [key for key in by_history_key if key not in reading]:
            try:
                found = self._history.read(account.id, unread)
            except DatabaseUnavailableError:
                return {}
            self._recent.put(account.id, reading, {key: found.get(key) for key in unread})
        return {key: value for each, key in by_history_key.items() if (value := reading[each]) is not None}

    def sums(
        self, account: Account, metrics: Collection[str], windows: Collection[Window]
    ) -> Mapping[ValueKey, KeptSum]:
        """Return the sums of additive metrics over windows, where the final values are of consecutive days."""
        found: dict[ValueKey, KeptSum] = {}
        with suppress(DatabaseUnavailableError):
            for run in _consecutive(sorted(windows)):
                by_days = {(window.first.isoformat(), window.last.isoformat()): window for window in run}
                sums = self._history.sums(account.id, metrics, list(by_days))
                found |= {(metric, (), by_days[days]): each for (metric, days), each in sums.items()}
        return found

    def keep_present(self, account: Account, values: Mapping[Kind, MetricValue], read_at: float) -> None:
        """Keep values that describe the present, as those of the Pacific day on which they were read (Unix seconds)."""
        day = pacific_day(utc(read_at)).isoformat()
        kept = {
            HistoryKey(metric, breakdown, day, day): HistoryValue(
                value.value,
                value.buckets,
                read_at,
                value.reason,
                value.buckets is not None,
                self._origin.source,
                self._origin.api_version,
            )
            for (metric, breakdown), value in values.items()
        }
        with suppress(DatabaseUnavailableError):  # They are read again on the next day.
            self._history.keep(account.id, kept)
        self._recent.forget(account.id)

    def keep(self, account: Account, values: Mapping[ValueKey, MetricValue], read_at: float) -> None:
        """Keep values that were read at a moment (Unix seconds), as far as the history has a place for them."""
        kept = {
            history_key(*key): history_value
            for key, value in values.items()
            if (history_value := as_history_value(value, key, read_at, self._origin)) is not None
        }
        # Without the database the cache has the values; they are fetched and kept again when it has dropped them.
        with suppress(DatabaseUnavailableError):
            self._history.keep(account.id, kept)
        self._recent.forget(account.id)


def _consecutive(windows: Sequence[Window]) -> list[list[Window]]:
    """Return windows, in order, as runs in which each begins on the day after the one before it."""
    runs: list[list[Window]] = []
    for window in windows:
        if runs and runs[-1][-1].last + ONE_DAY == window.first:
            runs[-1].append(window)
        else:
            runs.append([window])
    return runs
