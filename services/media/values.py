"""Numbers of one media: read out of Instagram's insights, kept in the cache, known ones before unknown ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.cache.policies import Json, merge
from services.cache.values import read_once
from services.clients.graph.models import Number, as_number
from services.insights.values import read_total
from services.media.catalogue import MEDIA_BREAKDOWNS

Buckets = Mapping[str, Number | None]


@dataclass(frozen=True)
class MediaValue:
    """One number of a media, or None with the reason; the numbers of its buckets, where they were requested.

    Buckets have the provider's names in lower case, as its answers have them.
    """

    value: Number | None
    reason: str | None = None
    message: str | None = None
    buckets: Buckets | None = None

    @property
    def is_known(self) -> bool:
        """Whether any number is known, of the total or of a bucket."""
        return self.value is not None or any(count is not None for count in (self.buckets or {}).values())

    def bucket(self, name: str) -> MediaValue:
        """Return the number of one bucket as a value of its own; upper and lower case mean the same."""
        if self.buckets is None:
            return replace(self, value=None, reason=self.reason or "not_answered")
        value = self.buckets.get(name.lower())
        return MediaValue(value, None if value is not None else "bucket_unknown")


def read_item(item: Mapping[str, object] | None, breakdown: str | None = None) -> MediaValue:
    """Read one metric of an insights answer; `item` is None where the metric is not in the answer.

    The number stands under `total_value.value` or under `values[0].value`. Buckets are found by the name of the
    breakdown. A bucket that is not listed is 0 only where the catalogue knows every listed one and they add up.
    """
    found = read_total(item, () if breakdown is None else (breakdown,), listed=MEDIA_BREAKDOWNS)
    buckets = None if found.buckets is None else {name.lower(): count for (name,), count in found.buckets.items()}
    return MediaValue(found.value, found.reason, found.message, buckets)


def merge_media_values(known: MediaValue, new: MediaValue) -> MediaValue:
    """Return a new value in which the known one fills each number that is newly unknown."""
    buckets = new.buckets
    if known.buckets is not None and (buckets is None or None in buckets.values()):
        buckets = merge(known.buckets, buckets or {})
    if new.value is None and known.value is not None:
        return MediaValue(known.value, buckets=buckets)
    return replace(new, buckets=buckets)


def add_media_values(parts: Mapping[str, MediaValue]) -> MediaValue:
    """Return the sum of several metrics; one unknown part makes it unknown, for that part's reason."""
    unknown = next((part for part in parts.values() if part.value is None), None)
    if unknown is not None:
        return replace(unknown, buckets=None)
    return MediaValue(sum(part.value for part in parts.values() if part.value is not None))


def media_value_as_json(value: MediaValue) -> Json:
    """Return a value as JSON, without what is None."""
    fields = {"reason": value.reason, "message": value.message, "buckets": value.buckets}
    return {"value": value.value} | {name: each for name, each in fields.items() if each is not None}


def media_value_of(json: Json) -> MediaValue:
    """Return the value of a cached one, as `media_value_read`; read once for all requests."""
    return read_once(json, media_value_read)


def media_value_read(json: Any) -> MediaValue:
    """Read what `media_value_as_json` wrote; raise `ValueError`, `TypeError` or `KeyError` for anything else."""
    buckets = json.get("buckets")
    numbers = [json["value"], *(() if buckets is None else buckets.values())]
    if any(number is not None and as_number(number) is None for number in numbers):
        raise ValueError("not a number")
    return MediaValue(json["value"], json.get("reason"), json.get("message"), buckets)
