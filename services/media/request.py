"""What is requested of one media: callers' metrics, resolved to those that Instagram has now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from services.media.catalogue import (
    EVERY_TYPE,
    IMPRESSIONS_END,
    MEDIA_METRICS,
    PROFILE_ACTIVITY_START,
    RECOMMENDED,
    MediaMetric,
)
from services.media.values import MediaValue, add_media_values
from services.store.media import MediaRow


@dataclass(frozen=True, eq=False)
class ResolvedMediaMetric:
    """A metric as a caller requested it, and the metrics that Instagram is asked for in its place.

    `reason` is set where nothing is asked. A request has each once, so it is found by its identity: the hash of all its
    fields would take longer than to make it.
    """

    metric: MediaMetric
    sources: tuple[str, ...]
    bucket: str | None = None
    reason: str | None = None

    def kept_under_its_name(self) -> ResolvedMediaMetric:
        """Return the requested metric itself, where a number was kept under its own name."""
        return ResolvedMediaMetric(self.metric, (self.metric.name,))

    @property
    def described_by(self) -> MediaMetric:
        """The metric whose family and label hold for the number."""
        return MEDIA_METRICS[self.sources[0]] if self.sources else self.metric

    def value(self, values: Mapping[str, MediaValue]) -> MediaValue:
        """Return the number: as it came, as a sum, or as one bucket."""
        if self.reason is not None:
            return MediaValue(None, self.reason)
        if len(self.sources) > 1:
            return add_media_values({source: values[source] for source in self.sources})
        value = values[self.sources[0]]
        return value if self.bucket is None else value.bucket(self.bucket)


def resolve_media_metric(metric: MediaMetric, media: MediaRow) -> ResolvedMediaMetric:
    """Return what is asked for a metric of a media: itself, or its successor."""
    successor = metric.successor
    if metric.name == "profile_activity" and _is_before(media, PROFILE_ACTIVITY_START):
        return ResolvedMediaMetric(metric, (), reason="not_for_this_media")
    if successor is None or (metric.name == "impressions" and _is_before(media, IMPRESSIONS_END)):
        return ResolvedMediaMetric(metric, (metric.name,))
    if not successor.metrics:
        return ResolvedMediaMetric(metric, (), reason="no_successor")
    return ResolvedMediaMetric(metric, successor.metrics, successor.bucket)


def recommended_metrics(product_type: str | None) -> tuple[str, ...]:
    """Return the metrics for a type of media; of an unknown type those that every type has."""
    if product_type is not None and product_type in RECOMMENDED:
        return RECOMMENDED[product_type]
    of_all = [metric.name for metric in MEDIA_METRICS.values() if metric.product_types == EVERY_TYPE]
    return tuple(name for name in RECOMMENDED[EVERY_TYPE[0]] if name in of_all)


def _is_before(media: MediaRow, day: date) -> bool:
    """Return whether a media is known to be older than a day; Meta does not say in which zone its days begin."""
    return media.created_at is not None and datetime.fromtimestamp(media.created_at, UTC).date() < day
