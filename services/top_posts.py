"""Top posts: the best posts of the last days."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from heapq import nlargest

from typing_extensions import TypedDict

from services.accounts import Accounts
from services.answers import Answer, Freshness, Table, Unavailable
from services.clock import Clock
from services.days import our_time, provider_time
from services.media import MediaList
from services.posts import Post
from services.reasons import explain

MAX_CAPTION = 500  # characters


class TopPost(TypedDict):
    """A post with its engagement score: likes plus comments, or the one alone where the other is unknown."""

    id: str
    permalink: str | None
    caption: str | None
    caption_truncated: bool
    like_count: int | None
    likes_hidden: bool
    comments_count: int | None
    engagement_score: int | None
    timestamp: str
    media_type: str | None
    media_product_type: str | None


class TopPosts:
    """The best posts of an account."""

    def __init__(self, accounts: Accounts, media: MediaList, *, source: str, version: str, clock: Clock) -> None:
        self._accounts = accounts
        self._media = media
        self._source = source
        self._version = version
        self._clock = clock

    def ranked(
        self, days: int, limit: int, *, media_product_type: str | None = None, account: str | None = None
    ) -> Answer:
        """Return the `limit` posts of the last `days` x 24 hours with the highest score, ties by newest.

        The hours are counted back from when the list was read, so that equal lists make equal answers.
        """
        found = self._accounts.find(account)
        listed = self._media.last(found, days)
        start = listed.read_at - timedelta(days=days)
        posts = [post for post in listed.posts if media_product_type in {None, post.media_product_type}]
        best = nlargest(limit, posts, key=_rank)
        meta = {
            "account": found.id,
            "api_version": self._version,
            "time_range": {"since": our_time(start), "until": our_time(listed.read_at), "posts": len(posts)},
            "unavailable": _unavailable(best),
            "substitutions": [],
            "warnings": listed.warnings,
        }
        top_posts = [as_top_post(post) for post in best]
        freshness = Freshness.of([listed.memo], now=self._clock.now())
        table = Table(tuple(TopPost.__annotations__), top_posts)
        return Answer({"top_posts": top_posts}, freshness, self._source, found.id, meta, table)


def _rank(post: Post) -> tuple[int, float]:
    score = post.counts.score
    return (-1 if score is None else score, post.timestamp.timestamp())


def _unavailable(posts: Sequence[Post]) -> list[Unavailable]:
    """Explain each kind of unknown count once; hidden likes are told by their post."""
    counts = [post.counts for post in posts]
    reasons = [("like_count", each.likes_reason) for each in counts if not each.likes_hidden]
    reasons += [("comments_count", each.comments_reason) for each in counts]
    return [explain(metric, reason) for metric, reason in dict.fromkeys(reasons) if reason is not None]


def as_top_post(post: Post) -> TopPost:
    """Return a post as callers see it; a caption beyond 500 characters is cut."""
    caption = post.caption
    return {
        "id": post.id,
        "permalink": post.permalink,
        "caption": caption if caption is None else caption[:MAX_CAPTION],
        "caption_truncated": caption is not None and len(caption) > MAX_CAPTION,
        "like_count": post.counts.likes,
        "likes_hidden": post.counts.likes_hidden,
        "comments_count": post.counts.comments,
        "engagement_score": post.counts.score,
        "timestamp": provider_time(int(post.timestamp.timestamp())),
        "media_type": post.media_type,
        "media_product_type": post.media_product_type,
    }
