"""What the history keeps of the values that the readers of insights request."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from services.answers import Origin
from services.clients.graph.models import Account
from services.insights.caching import as_history_value, history_key
from services.insights.request import ValueKey
from services.insights.values import MetricValue
from services.store.database import DatabaseUnavailableError
from services.store.history import History, HistoryValue


class KeptValues:
    """The history by metric, breakdown and window; without the database nothing is found, and nothing kept."""

    def __init__(self, history: History, origin: Origin) -> None:
        """`origin` is noted with each value."""
        self._history = history
        self._origin = origin

    def final(self, account: Account, keys: Collection[ValueKey]) -> Mapping[ValueKey, HistoryValue]:
        """Return the final values among some keys."""
        by_history_key = {history_key(*key): key for key in keys}
        try:
            found = self._history.read(account.id, by_history_key)
        except DatabaseUnavailableError:
            return {}
        return {by_history_key[key]: value for key, value in found.items()}

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
