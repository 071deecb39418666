"""Numbers of one media in the cache: under which key, and for how long."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from services.cache.policies import (
    GROWING_MEDIA_AGE,
    METRIC_VALUE_SWR,
    MIDDLE_AGED_MEDIA_TTL,
    OLD_MEDIA_TTL,
    REFUSED_VALUE_TTL,
    YOUNG_MEDIA_AGE,
    YOUNG_MEDIA_TTL,
    Json,
)
from services.media.values import media_value_as_json, media_value_of, merge_media_values
from services.store.cache_entries import CacheKey

PASSING = frozenset({"refused", "insufficient_viewers"})
"""Reasons that are remembered on their own (`services.media.known_refusals`); the value must not outlive them."""


@dataclass(frozen=True)
class MediaValuePolicy:
    """How long a number of a media is fresh: the older the media, the longer."""

    created_at: float | None  # Unix seconds; unknown counts as young

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a value expires."""
        found = media_value_of(value)  # Raises for a damaged row, which must not serve as a value.
        if found.reason in PASSING:
            return fetched_at + REFUSED_VALUE_TTL
        age = 0.0 if self.created_at is None else fetched_at - self.created_at
        if age < YOUNG_MEDIA_AGE:
            return fetched_at + YOUNG_MEDIA_TTL
        return fetched_at + (MIDDLE_AGED_MEDIA_TTL if age < GROWING_MEDIA_AGE else OLD_MEDIA_TTL)

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how long an expired value serves at once; an unknown one does not serve at all."""
        return METRIC_VALUE_SWR if media_value_of(value).is_known else 0.0

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new value, with the known number of each total or bucket that is newly unknown."""
        return media_value_as_json(merge_media_values(media_value_of(known), media_value_of(new)))


def media_keys(media_id: str, metrics: Collection[str]) -> dict[CacheKey, str]:
    """Return the cache key of each metric of a media: all of them are fetched in one single flight."""
    return {CacheKey(f"media insights/{media_id}", metric): metric for metric in metrics}


def node_key(media_id: str) -> str:
    """Return the cache key of what a media is."""
    return f"media node/{media_id}"
