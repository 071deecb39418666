"""One day as its metrics and breakdowns, in the words of the insights API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from simulator.world.measures import FOLLOW_TYPES, Buckets, Measures

UNIQUE_METRICS = ("reach", "accounts_engaged")
BY_TYPE, BY_FOLLOW, BY_BUTTON = "media_product_type", "follow_type", "contact_button_type"
BY_BOTH = f"{BY_TYPE},{BY_FOLLOW}"


@dataclass(frozen=True)
class Day:
    """The metrics of a day and their breakdowns; buckets that are zero are left out.

    `breakdowns` goes metric, dimensions, bucket: `{"reach": {"media_product_type,follow_type": {"REEL,FOLLOWER": 3}}}`.
    """

    date: date
    followers: int  # at its end, or now
    follows: int
    unfollows: int
    metrics: Mapping[str, int]
    breakdowns: Mapping[str, Mapping[str, Buckets]]


def as_day(day: date, measured: Measures) -> Day:
    """Derive a day's metrics: total_interactions = likes + comments + saves + shares + replies + reposts.

    By media product type replies count as STORY and reposts as REEL.
    """
    flow = measured.flow
    breakdowns = {name: _without_zeros(by) for name, by in _breakdowns(measured).items()}
    interactions = {name: sum(buckets.values()) for name, buckets in measured.interactions.items()}
    acts = {name: interactions.get(name, 0) for name in ("likes", "comments", "saves", "shares")}
    acts |= {"replies": measured.replies, "reposts": measured.reposts}
    metrics = {
        "reach": sum(measured.reach.values()),
        "views": sum(measured.views.values()),
        "accounts_engaged": measured.engaged,
        "total_interactions": sum(acts.values()),
        **acts,
        "profile_links_taps": sum(measured.taps.values()),
        "profile_views": measured.profile_views,
        "website_clicks": measured.website_clicks,
        "follower_count": flow.follows,
    }
    followers = flow.before + flow.follows - flow.unfollows
    return Day(day, followers, flow.follows, flow.unfollows, metrics, breakdowns)


def _breakdowns(measured: Measures) -> dict[str, dict[str, dict[str, int]]]:
    views = sum(measured.views.values())
    acts: dict[str, int] = {"STORY": measured.replies, "REEL": measured.reposts}
    for buckets in measured.interactions.values():
        for kind, count in buckets.items():
            acts[kind] = acts.get(kind, 0) + count
    return {
        "reach": {
            BY_FOLLOW: dict(measured.reach),
            BY_TYPE: _by_type(measured.reach_cells),
            BY_BOTH: dict(measured.reach_cells),
        },
        "views": {
            BY_FOLLOW: dict(
                zip(FOLLOW_TYPES, (measured.views_followers, views - measured.views_followers), strict=True)
            ),
            BY_TYPE: dict(measured.views),
        },
        "total_interactions": {BY_TYPE: acts},
        **{name: {BY_TYPE: dict(buckets)} for name, buckets in measured.interactions.items()},
        "profile_links_taps": {BY_BUTTON: dict(measured.taps)},
        "follows_and_unfollows": {
            BY_FOLLOW: dict(zip(FOLLOW_TYPES, (measured.flow.follows, measured.flow.unfollows), strict=True))
        },
    }


def _by_type(cells: Buckets) -> dict[str, int]:
    kinds: dict[str, int] = {}
    for cell, people in cells.items():
        kind = cell.partition(",")[0]
        kinds[kind] = kinds.get(kind, 0) + people
    return kinds


def _without_zeros(by: Mapping[str, Buckets]) -> dict[str, dict[str, int]]:
    return {dimensions: {name: value for name, value in buckets.items() if value} for dimensions, buckets in by.items()}
