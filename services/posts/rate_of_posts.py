"""The engagement rate of an account's posts: by its followers, or by each post's own reach or views."""

from __future__ import annotations

from typing import Literal

from services.media.expansion import PostValues
from services.posts.engagement_rate import EngagementRate, Method, OwnRate, engagement_rate, rate_by_own_base
from services.posts.insights import PostInsights, rate_of
from services.posts.ordered_posts import Posts
from services.windows import Window

Basis = Literal["followers", "reach", "views"]


def rate_of_posts(
    posts: Posts,
    window: Window,
    *,
    basis: Basis,
    method: Method,
    followers: int | None,
    insights: PostInsights | None,
) -> EngagementRate:
    """Return the rate of the posts of a window, whose `insights` are there where the basis is reach or views.

    By followers it is made of likes + comments. By reach or views it is made of the post's own total_interactions: both
    are organic, while the likes of the list may be hidden, and the account's reach has ads in it.
    """
    start, end = posts.positions(window)
    if basis == "followers" or insights is None:
        return engagement_rate(posts.ordered.interactions(start, end), followers, method)
    return rate_by_own_base([_own(insights.values[post.id], basis) for post in posts.posts[start:end]], method)


def _own(values: PostValues, base: str) -> OwnRate:
    interactions, people = values["total_interactions"].value, values[base].value
    is_known = interactions is not None and people
    return OwnRate(interactions, people, None if is_known else rate_of(values, base).reason)
