"""The metrics that many media are asked for at once, without those that Instagram refuses by name.

Such a refusal names the place of a metric in the list. Instagram checks names before it looks at any media, so the
refusal holds for all of them: asking single media would only repeat it. A metric that Instagram has was seen to be
refused like this where the metric type was missing, so it is asked for as a total before it is given up.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Collection, Mapping, Sequence

from services.errors import ProviderError, ProviderRefusedError, RetryStrategy
from services.media.known_refusals import MediaRefusal, MediaRefusals
from services.media.values import MediaValue

NAMED_BY_PLACE = re.compile(r"metric\[(\d{1,3})\]")  # in the refusal of a list in which one name is not accepted


def metric_by_place(error: ProviderError, metrics: Sequence[str]) -> str | None:
    """Return the metric that a refusal names by its place in the list, or None where it names none."""
    is_refusal = isinstance(error, ProviderRefusedError) and error.retry_strategy is RetryStrategy.SPLIT
    found = NAMED_BY_PLACE.search(error.words or "") if is_refusal and error.reason is None else None
    return None if found is None or int(found[1]) >= len(metrics) else metrics[int(found[1])]


class MetricNames:
    """The metrics of one reading, and whether they are asked for as totals; safe to use from several threads.

    What was learned is remembered once a call is answered that goes by it.
    """

    def __init__(
        self, refusals: MediaRefusals, account: str, product_types: Collection[str], metrics: Sequence[str]
    ) -> None:
        """Begin with what is known of media of some types."""
        self._refusals, self._account, self._product_types = refusals, account, product_types
        known = set().union(*(refusals.answered(account, each).as_totals for each in product_types))
        self.metrics = tuple(metrics)
        self.as_totals = bool(known & set(metrics))
        self.refused: dict[str, tuple[str, str]] = {}  # with the reason and Instagram's words
        self._by_name: set[str] = set()  # of those
        self._tried_as_totals: set[str] = set()
        self._is_news = False
        self._lock = threading.Lock()

    def learn(self, error: ProviderError, metrics: Sequence[str], *, as_totals: bool) -> bool:
        """Take from a refused call what it says of a name; return whether it says anything, so that asking again helps.

        `metrics` and `as_totals` are those of the call.
        """
        metric = metric_by_place(error, metrics)
        if metric is None:
            return False
        with self._lock:
            if as_totals != self.as_totals or metric not in self.metrics:
                return True  # Another call that was under way has found it out.
            self._is_news = True
            if not as_totals and metric not in self._tried_as_totals:
                self._tried_as_totals.add(metric)
                self.as_totals = True
                return True
            self.metrics = tuple(each for each in self.metrics if each != metric)
            self._by_name.add(metric)
            self.refused[metric] = ("refused", error.words or error.message)
            self._tried_as_totals.discard(metric)
            self.as_totals = as_totals and bool(self._tried_as_totals)
        return True

    def confirm(self, product_types: Collection[str]) -> None:
        """Note that a call was answered for media of some types; remember what had to be learned for that."""
        with self._lock:
            if not self._is_news:
                return
            self._is_news = False
            refused = {metric: self.refused[metric] for metric in self._by_name}
            only_as_totals = sorted(self._tried_as_totals) if self.as_totals else []
        for product_type in self._product_types:
            self._refusals.note_metrics(self._account, product_type, refused)
        for product_type in product_types if only_as_totals else ():
            self._refusals.note_answered(self._account, product_type, only_as_totals, as_totals=only_as_totals)

    def drop(self, refused: Mapping[str, MediaRefusal]) -> None:
        """Ask no more for metrics that are refused for other reasons than their names."""
        with self._lock:
            self.metrics = tuple(each for each in self.metrics if each not in refused)
            self.refused |= {metric: (each.reason, each.message) for metric, each in refused.items()}

    def unknown(self) -> dict[str, MediaValue]:
        """Return the values of the metrics that are not asked for."""
        return {metric: MediaValue(None, reason, message) for metric, (reason, message) in self.refused.items()}
