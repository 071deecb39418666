"""The numbers of stories: from polling, from webhooks, and which of them counts where both have one.

A webhook reports a story about an hour after its end, over its complete 24 hours, so its number is the last word. But
it reports -1 for any value below 5, which is unknown: then the last number that was polled counts.

Of several deliveries the one with the newest time counts; of several readings the last one in which the number was
known, also if it is smaller, because people can take back what they did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from services.clock import is_ahead
from services.media.catalogue import MEDIA_BREAKDOWNS, MEDIA_METRICS
from services.media.live_story import LiveStory
from services.media.values import MediaValue
from services.store.stories import POLLING, TOTAL, WEBHOOK, StoryNumber, StoryRow

STORY_LIFE = 86_400.0  # seconds
MAX_NAME = 64  # characters
# The metric that a delivery may lack, and the one of Meta's older deliveries that answers it.
SUCCEEDED: Mapping[str, str] = {"views": "impressions"}


@dataclass(frozen=True)
class StoryValue:
    """A number of a story with its source and the moment at which it was true (Unix seconds).

    `bucket_sources` has the source of each bucket, which may be another one than that of the total.
    """

    value: MediaValue
    source: str
    read_at: float
    answered_by: str | None = None
    bucket_sources: Mapping[str, str] = field(default_factory=dict)


def ends_at(row: StoryRow) -> float:
    """Return when a story ends (Unix seconds), as far as that is known."""
    return (row.ordered_at if row.created_at is None else row.created_at) + STORY_LIFE


def polled(story: LiveStory, read_at: float) -> StoryRow:
    """Return a live story as it is kept; `read_at` is when its numbers were asked for."""
    return StoryRow(
        story.id,
        ordered_at=read_at if story.created_at is None else story.created_at,
        created_at=story.created_at,
        media_type=story.media_type,
        permalink=story.permalink,
        read_at=read_at if story.is_read else None,
        numbers=list(_polled_numbers(story.values, read_at)),
    )


def was_live(rows: Iterable[StoryRow], *, now: float) -> list[LiveStory]:
    """Return the stories of the last reading that are live still, as it has read them; the newest first."""
    live = [row for row in rows if row.created_at is not None and row.created_at <= now < row.created_at + STORY_LIFE]
    ordered = sorted(live, key=lambda row: (row.ordered_at, row.id), reverse=True)
    return [
        LiveStory(
            row.id,
            row.created_at,
            row.media_type,
            row.permalink,
            {
                number.metric: MediaValue(number.value, number.reason)
                for number in row.numbers
                if number.source == POLLING and number.bucket == TOTAL
            },
        )
        for row in ordered
    ]


def _polled_numbers(values: Mapping[str, MediaValue], read_at: float) -> Iterator[StoryNumber]:
    for metric, value in values.items():
        yield StoryNumber(
            metric, TOTAL, POLLING, value.value, None if value.value is not None else value.reason, read_at
        )
        for bucket, count in (value.buckets or {}).items():
            if 0 < len(bucket) <= MAX_NAME:  # Without a name it would be taken for the total.
                reason = None if count is not None else "bucket_unknown"
                yield StoryNumber(metric, bucket, POLLING, count, reason, read_at)


def newest(known: Sequence[StoryNumber], new: Sequence[StoryNumber], *, now: float = inf) -> list[StoryNumber]:
    """Return numbers as the table would keep them at a moment: each newest known one, by metric, bucket and source."""
    found = {number[:3]: number for number in known}
    for number in new:
        old = found.get(number[:3])
        is_later = old is None or number.read_at >= old.read_at or is_ahead(old.read_at, now)
        if old is None or old.value is None or (number.value is not None and is_later):
            found[number[:3]] = number
    return list(found.values())


def values_of(numbers: Iterable[StoryNumber]) -> dict[str, StoryValue]:
    """Return the number of each metric that counts, with its buckets."""
    chosen: dict[tuple[str, str], StoryNumber] = {}
    for number in numbers:
        key = number.metric, number.bucket
        chosen[key] = max(chosen.get(key, number), number, key=_weight)
    found = {
        metric: _together([number for (name, _), number in chosen.items() if name == metric])
        for metric in dict.fromkeys(metric for metric, _ in chosen)
    }
    for metric, other in SUCCEEDED.items():
        own, answer = found.get(metric), found.get(other)
        # A delivery that has the metric itself, as below 5, is the last word on it. A reading before was not.
        is_open = own is None or (own.value.value is None and own.source != WEBHOOK)
        if is_open and answer is not None and answer.value.value is not None:
            found[metric] = replace(answer, answered_by=other)
    return found


def _weight(number: StoryNumber) -> tuple[bool, bool, float]:
    return number.value is not None, number.source == WEBHOOK, number.read_at


def _together(numbers: Sequence[StoryNumber]) -> StoryValue:
    """Return one metric of the numbers that count: its total with its buckets.

    Where a webhook has replaced buckets, the total that was polled before does not fit them any more. If all buckets
    are known, it is their sum.
    """
    total = next((number for number in numbers if number.bucket == TOTAL), None)
    parts = [number for number in numbers if number.bucket != TOTAL]
    # A webhook does not report every bucket; what it leaves out is unknown, and no 0.
    buckets = dict.fromkeys(_bucket_names(numbers[0].metric) if parts else ())
    buckets |= {number.bucket: number.value for number in parts}
    sources = {number.bucket: number.source for number in parts}
    is_final = any(number.source == WEBHOOK for number in parts) and (total is None or total.source == POLLING)
    if is_final and _has_all(numbers[0].metric, buckets):
        whole = sum(count for count in buckets.values() if count is not None)
        read_at = max(part.read_at for part in parts)
        return StoryValue(MediaValue(whole, buckets=buckets), WEBHOOK, read_at, bucket_sources=sources)
    if total is None:
        last = max(parts, key=lambda part: part.read_at)
        reason = "total_not_reported" if WEBHOOK in sources.values() else "no_total"
        value = MediaValue(None, reason, buckets=buckets)
        return StoryValue(value, last.source, last.read_at, bucket_sources=sources)
    value = MediaValue(total.value, total.reason, buckets=buckets or None)
    return StoryValue(value, total.source, total.read_at, bucket_sources=sources)


def _has_all(metric: str, buckets: Mapping[str, float | int | None]) -> bool:
    names = _bucket_names(metric)
    return bool(names) and all(buckets.get(name) is not None for name in names) and None not in buckets.values()


def _bucket_names(metric: str) -> list[str]:
    """Return the names of all buckets of a metric with a breakdown, as answers have them."""
    described = MEDIA_METRICS.get(metric)
    return (
        [name.lower() for name in MEDIA_BREAKDOWNS[described.breakdowns[0]]]
        if described and described.breakdowns
        else []
    )
