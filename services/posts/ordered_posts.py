"""Posts in the order of time, with what is counted over them: a range of time is a range of positions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate, islice
from statistics import median
from typing import Any

from services.answers import Warning_
from services.cache.entries import CacheEntry
from services.days import our_time
from services.errors import InsightsError, reason_of
from services.posts.engagement_rate import Interactions
from services.posts.post import PRODUCT_TYPES, Post
from services.rendering.plurals import counted
from services.windows import Window

MOST_MEDIANS = 1_000  # of ranges of one list


class OrderedPosts:
    """Posts, newest first. It is made once for a list and shared by threads; nothing may change it.

    Positions count from the newest post, so that the posts since a moment are those before a position.
    """

    def __init__(self, posts: Iterable[Post]) -> None:
        """Take posts in the order of their list; it breaks ties where posts have the same moment."""
        self.posts = tuple(sorted(posts, key=_moment, reverse=True))
        self._ages = [-_moment(post) for post in self.posts]  # ascending
        known = [post.counts.interactions for post in self.posts]
        self._known = [count for count in known if count is not None]
        self._medians: dict[tuple[int, int], float] = {}  # by the positions among the known ones
        self._known_before = [0, *accumulate(count is not None for count in known)]
        self._total_before = [0, *accumulate(count or 0 for count in known)]
        self._best = sorted(range(len(self.posts)), key=lambda position: by_score(self.posts[position]), reverse=True)
        self._ranks = [0] * len(self.posts)
        for rank, position in enumerate(self._best):
            self._ranks[position] = rank
        self._of_type: dict[str | None, list[int]] = {}
        self._best_of_type: dict[str | None, list[int]] = {}
        for position, post in enumerate(self.posts):
            self._of_type.setdefault(post.media_product_type, []).append(position)
        for position in self._best:
            self._best_of_type.setdefault(self.posts[position].media_product_type, []).append(position)
        self.shown: dict[Hashable, Any] = {}  # what a service has made of a post to show it, which is always the same
        self._kept = [(position, read_at) for position, post in enumerate(self.posts) for read_at in post.kept.values()]

    def since(self, moment: float) -> int:
        """Return how many posts there are since a moment (Unix seconds), itself included."""
        return bisect_right(self._ages, -moment)

    def between(self, since: float, until: float) -> tuple[int, int]:
        """Return the positions of the posts of a range, both ends included: the first, and the one after the last."""
        return bisect_left(self._ages, -until), self.since(since)

    def kept(self, end: int) -> list[float]:
        """Return when the counts of the posts before a position were read that are older than their post."""
        return [read_at for position, read_at in self._kept if position < end]

    def untyped(self, end: int) -> int:
        """Return how many posts before a position have no known type."""
        return end - sum([self.matching(end, type_) for type_ in PRODUCT_TYPES])

    def matching(self, end: int, media_product_type: str | None) -> int:
        """Return how many posts before a position have a type; None is any."""
        if media_product_type is None:
            return end
        return bisect_left(self._of_type.get(media_product_type, ()), end)

    def best(self, end: int, limit: int, media_product_type: str | None) -> list[Post]:
        """Return the posts before a position with the highest scores, best first, ties by newest.

        Either the ranking of all posts of the type is read until there are enough, or those of the range are sorted:
        whichever looks at fewer.
        """
        of_any = media_product_type is None
        best = self._best if of_any else self._best_of_type.get(media_product_type, [])
        count = self.matching(end, media_product_type)
        if limit * len(best) < count * count:
            found = islice((position for position in best if position < end), limit)
            return [self.posts[position] for position in found]
        ranks = self._ranks[:end]
        if not of_any:
            ranks = [ranks[position] for position in self._of_type.get(media_product_type, [])[:count]]
        return [self.posts[self._best[rank]] for rank in sorted(ranks)[:limit]]

    def interactions(self, start: int, end: int) -> Interactions:
        """Return the interactions of the posts between two positions."""
        known = self._known_before[start], self._known_before[end]
        return Interactions(
            posts=end - start,
            known=known[1] - known[0],
            total=self._total_before[end] - self._total_before[start],
            median=lambda: self._median(*known),
            of_posts=lambda: [post.counts for post in self.posts[start:end]],
        )

    def _median(self, start: int, end: int) -> float:
        """Return the median of a range of the known interactions; sorting those of thousands of posts is done once."""
        found = self._medians.get((start, end))
        if found is None:
            if len(self._medians) >= MOST_MEDIANS:
                self._medians.clear()
            found = self._medians[start, end] = median(self._known[start:end])
        return found


@dataclass(frozen=True)
class Posts:
    """The posts since a moment, newest first, each once; and what stood in the way of a complete list."""

    posts: tuple[Post, ...]
    ordered: OrderedPosts  # of which `posts` are the first
    entry: CacheEntry
    read_at: datetime
    complete_from: float  # Unix seconds, after which every post is known
    truncated: bool = False
    unreadable: int = 0
    unordered: bool = False
    counts_kept: int = 0
    posts_kept: bool = False
    failure: InsightsError | None = None

    def positions(self, window: Window) -> tuple[int, int]:
        """Return the positions of the posts of a window: the first, and the one after the last."""
        start, end = self.ordered.between(window.since, window.until)
        return start, max(start, min(end, len(self.posts)))

    def gap_in(self, window: Window) -> str | None:
        """Return why not all posts of a window are known, or None if they are."""
        if self.read_at.timestamp() <= window.until:
            return "not_seen_yet"
        if self.complete_from < window.since:
            return None
        return "truncated" if self.failure is None else reason_of(self.failure)

    @cached_property
    def warnings(self) -> Sequence[Warning_]:
        """What the reader of numbers made from this list should know."""
        found = {
            "truncated": self.truncated and "Instagram lists more posts than could be read.",
            "posts_incomplete": self.failure is not None and self._incomplete(),
            "posts_out_of_order": self.unordered
            and "Instagram's list of posts is not in the order of time, so posts may be missing.",
            "posts_unreadable": self.unreadable
            and f"{counted(self.unreadable, 'post was', 'posts were')} left out for want of a readable id or time.",
            "posts_kept": self.posts_kept and "Instagram lists no posts at present; the posts listed before are used.",
            "counts_kept": self.counts_kept
            and f"{counted(self.counts_kept, 'count is', 'counts are')} missing in Instagram's last answer; what was "
            "known last is used.",
        }
        return [{"code": code, "message": message} for code, message in found.items() if isinstance(message, str)]

    def _incomplete(self) -> str:
        since = f" Posts before {our_time(self.complete_from)} are not known." if self.posts else ""
        wait = None if self.failure is None else self.failure.retry_after
        again = f" Ask again in {counted(wait, 'second')}; then only the rest is read." if wait else " Ask again later."
        return f"The list of posts could not be read to its end: {self.failure and self.failure.message}{since}{again}"


def by_score(post: Post) -> tuple[float, float]:
    """Return by what posts are ranked: their score, an unknown one last, then the newest."""
    score = post.counts.score
    return (-1 if score is None else score, _moment(post))


def _moment(post: Post) -> float:
    return post.timestamp.timestamp()
