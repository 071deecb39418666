"""The posts of other accounts on which an account collaborates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.answers import Warning_
from services.cache.entries import CacheEntry
from services.clients.graph.models import Account
from services.errors import InsightsError, ProviderError
from services.posts.listed_posts import PostListPolicy
from services.posts.ordered_posts import Posts
from services.posts.post import Post
from services.posts.reader import PostReader


@dataclass(frozen=True)
class Collaborations:
    """The posts of others on which the account collaborates, and what stands in the way of a complete list."""

    posts: Sequence[Post] = ()
    entries: Sequence[CacheEntry] = ()
    warnings: Sequence[Warning_] = ()
    failure: InsightsError | None = None


def read_collaborations(reader: PostReader, account: Account, listed: Posts, *, since: datetime) -> Collaborations:
    """Read the posts of others since a moment; what stands in the way of them is a warning, not a failure."""
    if account.login != "facebook":
        message = "Instagram gives collaborations by the Facebook login only; this account has the other one."
        return Collaborations(warnings=[{"code": "collaborations_unavailable", "message": message}])
    try:
        shared = reader.read(account, PostListPolicy(since=since.timestamp()), collaborations=True)
    except ProviderError as error:
        message = f"The collaborations could not be read: {error.message}"
        return Collaborations(warnings=[{"code": "collaborations_unavailable", "message": message}], failure=error)
    own = {post.id for post in listed.posts}
    # A post of the account itself is in its own list, with its insights.
    others = [
        replace(post, owner=post.owner or {"id": None, "username": None})
        for post in shared.posts
        if post.id not in own and (post.owner is None or post.owner["id"] != account.id)
    ]
    return Collaborations(others, [shared.entry], shared.warnings, shared.failure)
