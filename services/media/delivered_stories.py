"""What a webhook delivers of a story (`story_insights`): its numbers after its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.clients.graph.models import as_number
from services.media.known_refusals import FEW
from services.media.story_values import STORY_LIFE
from services.store.stories import TOTAL, WEBHOOK, StoryNumber, StoryRow
from services.store.types import MAX_NAME

DELIVERED_AFTER = 3_600.0  # seconds after the end of a story, about
TOO_FEW = -1  # in a delivery: fewer than 5
# Names of deliveries that the API itself has as buckets by now.
BUCKETS_DELIVERED: Mapping[str, tuple[str, str]] = {
    "taps_forward": ("navigation", "tap_forward"),
    "taps_back": ("navigation", "tap_back"),
    "exits": ("navigation", "tap_exit"),
}


def delivered(story: str, value: Mapping[str, object], time: float) -> StoryRow:
    """Return what a webhook reports of a story; unknown names are kept, and what is no number is unknown."""
    return StoryRow(
        story,
        ordered_at=time - STORY_LIFE - DELIVERED_AFTER,
        delivered_at=time,
        numbers=[
            StoryNumber(metric, bucket, WEBHOOK, *_delivered_number(given), time)
            for metric, bucket, given in _delivered_names(value)
        ],
    )


def _delivered_names(value: Mapping[str, object]) -> Iterator[tuple[str, str, object]]:
    """Yield metric, bucket and number; a name that no column can hold is left out, for cut it may be another one."""
    for name, given in value.items():
        if name == "media_id" or not 0 < len(name) <= MAX_NAME:
            continue
        if isinstance(given, Mapping):
            buckets = ((str(bucket).lower(), each) for bucket, each in given.items())
            # Without a name it would be taken for the total.
            yield from ((name, bucket, each) for bucket, each in buckets if 0 < len(bucket) <= MAX_NAME)
        else:
            yield (*BUCKETS_DELIVERED.get(name, (name, TOTAL)), given)


def _delivered_number(given: object) -> tuple[float | int | None, str | None]:
    if given == TOO_FEW and not isinstance(given, bool):
        return None, FEW
    number = as_number(given)
    return number, None if number is not None else "unreadable"
