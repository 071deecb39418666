"""Media insights as replies show them: each metric of a media once for all requests that want it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import NotRequired

from typing_extensions import TypedDict

from services.answers import BreakdownOfValue, BucketValue, Substitution, rows_with_buckets
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import MINUTE
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.media.catalogue import STORY
from services.media.reader import MediaInsights
from services.media.request import ResolvedMediaMetric
from services.media.values import MediaValue
from services.reasons import Unavailable, explain
from services.rendering.csv_cells import cells, csv_lines
from services.rendering.prepared_json import json_text
from services.rendering.prepared_parts import PreparedPart
from services.store.media import MediaRow

PERIOD = "lifetime"
COLUMNS = ("media_id", "name", "breakdown", "bucket", "value", "unit", "reason")
MOST_SHOWN = 1_000  # metrics, of about 1.5 kB each


class LifetimeValue(TypedDict):
    """The number of a media's whole life; null where it is unknown, and `reason` says why."""

    value: float | None
    reason: NotRequired[str]


class MediaTotal(TypedDict):
    """A number with its breakdowns."""

    value: float | None
    breakdowns: list[BreakdownOfValue]


class MediaInsight(TypedDict):
    """One metric, under the requested name.

    `unit` says what is counted; `milliseconds` and `percent` are no counts. `family` says which interactions are in it,
    and `estimated` that Meta calls its numbers estimates.
    """

    name: str
    period: str
    values: list[LifetimeValue]
    title: str
    description: str
    id: str
    unit: str
    family: str
    estimated: NotRequired[bool]
    answered_by: NotRequired[str]
    total_value: NotRequired[MediaTotal]


class ShownMetric:
    """A metric of a media as JSON and as CSV; requests share it, so nothing may change it.

    `entries` are those that its age and its expiry depend on; `refusals` do so where a reply has no other ones.
    """

    __slots__ = ("_lines", "entries", "insight", "media_id", "refusals", "substitution", "unavailable")

    def __init__(
        self,
        media_id: str,
        insight: MediaInsight,
        *,
        entries: Sequence[CacheEntry],
        refusals: Sequence[CacheEntry],
        unavailable: Unavailable | None,
        substitution: Substitution | None,
    ) -> None:
        self.media_id = media_id
        self.insight = PreparedPart(json_text(insight))
        self.entries = entries
        self.refusals = refusals
        self.unavailable = unavailable
        self.substitution = substitution
        self._lines: PreparedPart | None = None

    @property
    def lines(self) -> PreparedPart:
        """The metric as lines of CSV, which are made once."""
        if self._lines is None:
            rows = rows_of(self.media_id, json.loads(self.insight.text))
            self._lines = PreparedPart(csv_lines(cells(map(row.get, COLUMNS)) for row in rows).encode())
        return self._lines

    def is_fresh(self, now: float) -> bool:
        """Return whether it can still be shown."""
        return all(now < entry.expires_at for entry in (*self.entries, *self.refusals))


MetricKey = tuple[str, str | None, float | None, str]  # the media's id, type and age, and the requested metric
KnownMetrics = ReadsOfAccount[MetricKey, ShownMetric]


class ShownMetrics:
    """What replies showed moments ago, so that others over the same media are made of it without reading anything.

    A metric is kept where a later request would be answered by the same: by fresh values, or by refusals that last.
    """

    def __init__(self, cache: Cache) -> None:
        self._recent: RecentReads[MetricKey, ShownMetric] = RecentReads(MINUTE, MOST_SHOWN)
        cache.on_change(self._recent.forget)

    def begin(self, account: str) -> KnownMetrics:
        """Return what `known` and `add` need; to be taken before the values are read."""
        return self._recent.of(account)

    @staticmethod
    def known(
        reading: KnownMetrics, media: MediaRow, metrics: Sequence[str], *, now: float
    ) -> list[ShownMetric] | None:
        """Return some metrics, or None unless all of them were shown before and have not expired."""
        shown = []
        for name in metrics:
            metric = reading.get(_key(media, name))
            if metric is None or not metric.is_fresh(now):
                return None
            shown.append(metric)
        return shown

    def add(
        self,
        reading: KnownMetrics,
        media: MediaRow,
        values: Mapping[ResolvedMediaMetric, MediaValue],
        insights: MediaInsights,
    ) -> list[ShownMetric]:
        """Return metrics that were read, and keep those that can be shown again."""
        shown = {resolved: _shown(media, resolved, value, insights) for resolved, value in values.items()}
        kept = {
            _key(media, resolved.metric.name): metric
            for resolved, metric in shown.items()
            # A story ends at a moment that no value knows.
            if media.product_type != STORY and all(source in insights.lasting for source in resolved.sources)
        }
        self._recent.put(media.account, reading, kept)
        return list(shown.values())


def _key(media: MediaRow, name: str) -> MetricKey:
    return media.id, media.product_type, media.created_at, name


def _shown(media: MediaRow, resolved: ResolvedMediaMetric, value: MediaValue, insights: MediaInsights) -> ShownMetric:
    lasting = [insights.lasting[source] for source in resolved.sources if source in insights.lasting]
    answered_by, successor = answering(resolved, insights), resolved.metric.successor
    return ShownMetric(
        media.id,
        insight_of(resolved, value, media.id, answered_by),
        entries=[each.entry.without_value() for each in lasting if not each.is_refusal],
        refusals=[each.entry for each in lasting if each.is_refusal],
        unavailable=_unavailable(resolved, value, insights),
        substitution=None
        if answered_by is None or successor is None
        else {"requested": resolved.metric.name, "answered_by": answered_by, "since": successor.since},
    )


def answering(resolved: ResolvedMediaMetric, insights: MediaInsights) -> str | None:
    """Return the metrics whose numbers answer, if they are others than the requested one."""
    found = [insights.answered_by(source) or source for source in resolved.sources]
    return "+".join(found) if found and found != [resolved.metric.name] else None


def insight_of(
    resolved: ResolvedMediaMetric, value: MediaValue, media_id: str, answered_by: str | None
) -> MediaInsight:
    """Return a number of a media as callers see it."""
    metric, source = resolved.metric, resolved.described_by
    number: LifetimeValue = {"value": value.value}
    if value.reason is not None:
        number["reason"] = value.reason
    insight: MediaInsight = {
        "name": metric.name,
        "period": PERIOD,
        "values": [number],
        "title": metric.title,
        "description": metric.description,
        "id": f"{media_id}/insights/{metric.name}/{PERIOD}",
        "unit": metric.unit,
        "family": source.family,
    }
    if source.estimated:
        insight["estimated"] = True
    if answered_by is not None:
        insight["answered_by"] = answered_by
    if value.buckets is not None:
        results: list[BucketValue] = [
            {"dimension_values": [name], "value": count} for name, count in sorted(value.buckets.items())
        ]
        breakdowns: list[BreakdownOfValue] = [{"dimension_keys": list(metric.breakdowns), "results": results}]
        insight["total_value"] = {"value": value.value, "breakdowns": breakdowns}
    return insight


def _unavailable(resolved: ResolvedMediaMetric, value: MediaValue, insights: MediaInsights) -> Unavailable | None:
    name = resolved.metric.name
    if value.reason is not None:
        failure = next((insights.failures[each] for each in resolved.sources if each in insights.failures), None)
        waits = [insights.waits[each] for each in resolved.sources if each in insights.waits]
        wait = failure.retry_after if failure is not None else max(waits, default=None)
        return explain(name, value.reason, value.message, retry_after=wait, of_media=True)
    if value.buckets is not None and None in value.buckets.values():
        return explain(name, "bucket_unknown")
    return None


def rows_of(media_id: str, insight: MediaInsight) -> Iterator[Mapping[str, object]]:
    """Yield one row for a metric and, below it, one for each of its buckets."""
    (value,) = insight["values"]
    row = {"media_id": media_id, "name": insight["name"], "unit": insight["unit"]}
    breakdowns = insight["total_value"]["breakdowns"] if "total_value" in insight else ()
    return rows_with_buckets(row, value["value"], value.get("reason"), breakdowns)
