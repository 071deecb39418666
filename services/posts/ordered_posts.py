"""Posts in the order of time, with what is counted over them: a range of time is a range of positions."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate

from services.engagement import Interactions
from services.posts.post import PRODUCT_TYPES, Post


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
        self._known_before = [0, *accumulate(count is not None for count in known)]
        self._total_before = [0, *accumulate(count or 0 for count in known)]
        self._best = sorted(range(len(self.posts)), key=lambda position: by_score(self.posts[position]), reverse=True)
        self._ranks = [0] * len(self.posts)
        for rank, position in enumerate(self._best):
            self._ranks[position] = rank
        self._of_type: dict[str | None, list[int]] = {}
        for position, post in enumerate(self.posts):
            self._of_type.setdefault(post.media_product_type, []).append(position)
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
        return end - sum(len(self._positions(type_, end)) for type_ in PRODUCT_TYPES)

    def matching(self, end: int, media_product_type: str | None) -> int:
        """Return how many posts before a position have a type; None is any."""
        return end if media_product_type is None else len(self._positions(media_product_type, end))

    def best(self, end: int, limit: int, media_product_type: str | None) -> list[Post]:
        """Return the posts before a position with the highest scores, best first, ties by newest.

        Either the ranking of all posts is read until enough of them match, or the matching ones are sorted: whichever
        looks at fewer.
        """
        count = self.matching(end, media_product_type)
        if limit * len(self.posts) < count * count:
            found: list[Post] = []
            for position in self._best:
                post = self.posts[position]
                if position < end and media_product_type in {None, post.media_product_type}:
                    found.append(post)
                    if len(found) == limit:
                        break
            return found
        positions: Sequence[int] = (
            range(end) if media_product_type is None else self._positions(media_product_type, end)
        )
        ranks = sorted(self._ranks[position] for position in positions)
        return [self.posts[self._best[rank]] for rank in ranks[:limit]]

    def interactions(self, start: int, end: int) -> Interactions:
        """Return the interactions of the posts between two positions."""
        known = self._known_before[start], self._known_before[end]
        return Interactions(
            posts=end - start,
            known=known[1] - known[0],
            total=self._total_before[end] - self._total_before[start],
            counts=lambda: self._known[known[0] : known[1]],
            of_posts=lambda: [post.counts for post in self.posts[start:end]],
        )

    def _positions(self, media_product_type: str, end: int) -> list[int]:
        positions = self._of_type.get(media_product_type, [])
        return positions[: bisect_left(positions, end)]


def by_score(post: Post) -> tuple[float, float]:
    """Return by what posts are ranked: their score, an unknown one last, then the newest."""
    score = post.counts.score
    return (-1 if score is None else score, _moment(post))


def _moment(post: Post) -> float:
    return post.timestamp.timestamp()
