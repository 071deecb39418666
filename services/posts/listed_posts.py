"""A cached list of posts as it is read: once for all requests, and for how long it is fresh."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

from services.cache.entries import CacheEntry
from services.cache.policies import NEW_POSTS_TTL, OLD_POSTS_TTL, POST_LIST_SWR, Json
from services.cache.values import CachedValue, read_once
from services.days import utc
from services.errors import InsightsError
from services.posts.cached_list import EVER, CachedPostList
from services.posts.ordered_posts import OrderedPosts, Posts
from services.posts.post import as_post

MOST_RANGES = 40  # of one list


@dataclass(frozen=True)
class ListedPosts:
    """The posts of a cached list, and what the list says of them; shared by threads, so nothing may change it."""

    listed: CachedPostList  # without the posts
    ordered: OrderedPosts
    _ranges: dict[Hashable, Posts] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, listed: CachedPostList) -> ListedPosts:
        """Read the posts of a list; those without an id or a time are left out."""
        posts = (post for post in map(as_post, listed.posts) if post is not None)
        return cls(replace(listed, posts=[]), OrderedPosts(posts))

    @classmethod
    def from_json(cls, value: Json) -> ListedPosts:
        """Return the posts of a cached value, which is read once."""
        return read_once(value, _read)

    def range_since(self, entry: CacheEntry, since: float) -> Posts:
        """Return the posts since a moment, as an entry of the list gives them: once for all requests.

        What is older than the list says makes the whole older, or stale.
        """
        key = since, entry.fetched_at, entry.expires_at, entry.stale, entry.asked_at, entry.retry_at
        posts = self._ranges.get(key)
        if posts is None:
            if len(self._ranges) >= MOST_RANGES:
                self._ranges.clear()
            posts = self._ranges[key] = self.range_of(entry, since)
        return posts

    def range_of(self, entry: CacheEntry, since: float, failure: InsightsError | None = None) -> Posts:
        """Return the same, made now; `failure` says why the list is not what is needed."""
        listed, ordered = self.listed, self.ordered
        count = ordered.since(since)
        kept = ordered.kept(count)
        readings = [listed.read_at, listed.oldest_reading(since), *kept]
        is_kept = bool(kept) or listed.empty_since is not None
        oldest = min(read_at for read_at in readings if read_at is not None)
        return Posts(
            ordered.posts[:count],
            ordered,
            # Without the value, which would hold itself.
            replace(entry, value={}, fetched_at=oldest, stale=entry.stale or is_kept, failure=None),
            utc(listed.read_at),
            complete_from=listed.complete_from,
            truncated=listed.truncated and listed.complete_from >= since,
            unreadable=listed.unreadable,
            unordered=listed.unordered,
            counts_kept=len(kept),
            posts_kept=listed.empty_since is not None,
            failure=None if listed.reaches(since) else failure,
        )


def _read(value: Json) -> ListedPosts:
    return ListedPosts.of(CachedPostList.from_json(value))


def _listed(value: Json) -> CachedPostList:
    """Return what a list says of its posts."""
    return ListedPosts.from_json(value).listed if isinstance(value, CachedValue) else CachedPostList.from_json(value)


@dataclass(frozen=True)
class PostListPolicy:
    """How long a list is fresh if the posts since a moment are needed, or those of some seconds before it was read."""

    since: float | None = None
    seconds: float = 0.0
    read_after: float = EVER  # the last moment whose posts are needed: a list read before has not seen them all

    def first(self, read_at: float) -> float:
        """Return from when on posts are needed of a list that was read at a moment."""
        return read_at - self.seconds if self.since is None else self.since

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when one of the needed posts is too old, or None where the list has not all that are needed."""
        listed = _listed(value)
        since = self.first(listed.read_at)
        if not listed.reaches(since) or listed.read_at <= self.read_after:
            return None
        if listed.again_at is not None:
            return listed.again_at
        expires_at = listed.read_at + NEW_POSTS_TTL
        read_at = listed.oldest_reading(since)
        return expires_at if read_at is None else min(expires_at, read_at + OLD_POSTS_TTL)

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new list; what it takes over from the known one, its reading has decided."""
        return new

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how long an expired list serves at once."""
        return POST_LIST_SWR
