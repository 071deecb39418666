"""The numbers of one post or story: what its insights are about, growing with its counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from simulator.world.draw import apportion, digits, draw
from simulator.world.posts import Post
from simulator.world.stories import ACTIONS, BREAKDOWNS, Story

WATCH_TIME = (2_500, 14_000)  # milliseconds, on average
SKIP_RATE = (15.0, 75.0)  # percent
BOOSTED = 20  # One post of so many was boosted.
SHARED_TO_FACEBOOK = 6  # posts of ten

Buckets = Mapping[str, int]


@dataclass(frozen=True)
class MediaNumbers:
    """Every metric by its name in the insights API, and the buckets of those that have some, by metric."""

    metrics: Mapping[str, int | float]
    buckets: Mapping[str, Buckets]


@dataclass(frozen=True)
class _Finals:
    """What is not among the counts of a post itself, as it will be in the end."""

    visits: Buckets
    actions: Buckets
    on_facebook: Buckets
    by_ads: Buckets
    watch_time: int
    skip_rate: float


def is_boosted(post: Post) -> bool:
    """Return whether an advertisement was made of a post."""
    return post.media_product_type != "STORY" and int(digits(3, "ads", post.id)) % BOOSTED == 0


def is_shared_to_facebook(post: Post) -> bool:
    """Return whether a post was shared to Facebook too."""
    return int(digits(1, "facebook", post.id)) < SHARED_TO_FACEBOOK


def media_numbers(post: Post, now: float, *, on_facebook: bool) -> MediaNumbers:
    """Return the numbers of a post at a moment; what Facebook adds only where the post was shared there.

    total_interactions = likes + comments + saved + shares, without the part of advertisements, which only the
    `total_...` metrics have. ig_reels_video_view_total_time = ig_reels_avg_watch_time x views, in milliseconds.
    """
    counts, share, finals = post.counts(now), post.share(now), _finals(post)
    facebook = _part(finals.on_facebook, share if on_facebook else 0)
    ads = _part(finals.by_ads, share)
    likes, comments, views = counts["like_count"], counts["comments_count"], counts["views"]
    own, buckets = _of_story(post, counts, now) if isinstance(post, Story) else _of_post(finals, share)
    metrics = {
        "reach": counts["reach"],
        "views": views,
        "likes": likes,
        "comments": comments,
        "saved": counts["saved"],
        "shares": counts["shares"],
        "reposts": counts["reposts"],
        "total_interactions": likes + comments + counts["saved"] + counts["shares"],
        **own,
        **{name: sum(parts.values()) for name, parts in buckets.items()},
        "impressions": views,
        "ig_reels_avg_watch_time": finals.watch_time,
        "ig_reels_video_view_total_time": finals.watch_time * views,
        "reels_skip_rate": finals.skip_rate,
        "facebook_views": facebook["views"],
        "crossposted_views": views + facebook["views"],
        "total_likes": likes + ads["likes"] + facebook["likes"],
        "total_comments": comments + ads["comments"] + facebook["comments"],
        "total_views": views + ads["views"] + facebook["views"],
    }
    return MediaNumbers(metrics, buckets)


def _of_story(story: Story, counts: Buckets, now: float) -> tuple[Buckets, Mapping[str, Buckets]]:
    own = {name: counts[name] for name in ("replies", "link_clicks", "follows", "profile_visits")}
    return own, {name: story.buckets(name, now) for name in BREAKDOWNS}


def _of_post(finals: _Finals, share: float) -> tuple[Buckets, Mapping[str, Buckets]]:
    return _part(finals.visits, share), {"profile_activity": _part(finals.actions, share)}


@lru_cache(maxsize=16384)
def _finals(post: Post) -> _Finals:
    chance = draw("media numbers", post.account.seed, post.id)
    reach = post.final["reach"]
    visits = chance.count(reach * 0.03)
    facebook, ads = chance.uniform(0.1, 0.5), chance.uniform(0.2, 0.8) if is_boosted(post) else 0.0
    names = {"views": "views", "likes": "like_count", "comments": "comments_count"}
    acts = {name: post.final[count] for name, count in names.items()}
    return _Finals(
        visits={"profile_visits": visits, "follows": min(visits, chance.count(reach * 0.003))},
        actions=apportion(chance.count(visits * 0.3), ACTIONS),
        on_facebook=_part(acts, facebook),
        by_ads=_part(acts, ads),
        watch_time=chance.randint(*WATCH_TIME),
        skip_rate=round(chance.uniform(*SKIP_RATE), 1),
    )


def _part(buckets: Buckets, share: float) -> dict[str, int]:
    return {name: int(value * share) for name, value in buckets.items()}
