"""What makes the insights of single media special, from the world and from the switches."""

from dataclasses import replace
from datetime import UTC, datetime

from simulator.clock import moment_of
from simulator.switches import Switches
from simulator.world.days import HOUR, midnight
from simulator.world.draw import digits
from simulator.world.media_numbers import MediaNumbers, is_shared_to_facebook, media_numbers
from simulator.world.posts import Post

IMPRESSIONS_END = datetime(2024, 7, 2, tzinfo=UTC).timestamp()  # Newer media has no impressions.
DIPPING, DIP, DIP_EVERY = ("reach", "profile_visits", "follows"), 0.97, 3  # what falls at times, to what part, in hours


def is_before_conversion(media: Post, switches: Switches) -> bool:
    """Return whether a media was published when its account was a personal one."""
    switched, converted = switches["pre_conversion_before"], media.account.kind.converted
    if switched is not None:
        return media.timestamp < moment_of(switched)
    return converted is not None and media.timestamp < midnight(converted)


def is_on_facebook(media: Post, switches: Switches) -> bool:
    """Return whether a media was shared to Facebook."""
    shared: str = switches["shared_to_facebook"]
    return is_shared_to_facebook(media) if shared == "some" else shared == "all"


def had_impressions(media: Post) -> bool:
    """Return whether a media is old enough for impressions."""
    return media.timestamp < IMPRESSIONS_END


def has_profile_activity(media: Post, switches: Switches) -> bool:
    """Return whether a media is new enough for profile_activity."""
    since = switches["profile_activity_since"]
    return since is None or media.timestamp >= moment_of(since)


def is_without_views(media: Post, switches: Switches) -> bool:
    """Return whether a media is one of the odd ones that refuse `views`."""
    many: int = switches["media_without_views"]
    return int(digits(3, "without views", media.id)) < many


def numbers_of(media: Post, now: float, switches: Switches) -> MediaNumbers:
    """Return the numbers of a media as its owner sees them."""
    numbers = media_numbers(media, now, on_facebook=is_on_facebook(media, switches))
    if not switches["media_dips"] or int(now // HOUR) % DIP_EVERY:
        return numbers
    lower = {name: int(numbers.metrics[name] * DIP) for name in DIPPING}
    return replace(numbers, metrics={**numbers.metrics, **lower})
