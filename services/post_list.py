"""A list of posts as it is remembered: which posts it has, from when on it is complete, and how old its parts are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from services.clients.graph import Item
from services.memory import Json
from services.memory.rules import HOUR
from services.posts import as_post

MAX_CAPTION = 501  # characters that are remembered: one more than is shown, so that a cut can be told
FIELDS = ("id", "timestamp", "permalink", "caption", "media_type", "media_product_type", "like_count", "comments_count")
NEW_POSTS_FRESH_FOR = HOUR
OLD_POSTS_FRESH_FOR = 6 * HOUR  # of posts beyond the first page, whose counts hardly move
EVER, NEVER = -math.inf, math.inf  # before the first post, and after the last


@dataclass
class PostList:
    """Posts as they came, newest first; all moments are Unix seconds.

    Posts from `head_from` on were read when the list was. Older ones come from earlier readings: `tail` has, newest
    first, from when on and when each was read.
    """

    posts: list[dict[str, object]] = field(default_factory=list)
    head_from: float = NEVER
    tail: list[tuple[float, float]] = field(default_factory=list)
    truncated: bool = False  # whether Instagram has older ones that it did not list
    unreadable: int = 0

    @classmethod
    def from_json(cls, value: Any) -> PostList:
        """Read what `as_json` wrote."""
        tail = [(_moment_of(first), float(read_at)) for first, read_at in value["tail"]]
        posts = [dict(post) for post in value["posts"]]
        return cls(posts, _moment_of(value["head_from"]), tail, bool(value["truncated"]), int(value["unreadable"]))

    def as_json(self) -> Json:
        """Write the list; JSON has no infinity."""
        tail = [(_written(first), read_at) for first, read_at in self.tail]
        return vars(self) | {"head_from": _written(self.head_from), "tail": tail}

    @property
    def complete_from(self) -> float:
        """From when on the list has every post."""
        return self.tail[-1][0] if self.tail else self.head_from

    def reaches(self, since: float) -> bool:
        """Return whether the list has every post since a moment that Instagram lists."""
        return self.complete_from <= since or self.truncated

    def oldest_reading(self, since: float) -> float | None:
        """Return the first of the earlier readings that somebody needs who needs the posts since a moment."""
        begins = [self.head_from, *(first for first, _ in self.tail)]
        return min((read_at for (_, read_at), end in zip(self.tail, begins, strict=False) if since < end), default=None)

    def take(self, items: Iterable[Item]) -> None:
        """Add a page below what is there; a post that comes twice is taken once."""
        known = {post["id"] for post in self.posts}
        for item in items:
            post = as_post(item)
            if post is None:
                self.unreadable += 1
                continue
            self.head_from = post.timestamp.timestamp()
            if post.id not in known:
                known.add(post.id)
                self.posts.append(_remembered(item))

    def end(self) -> None:
        """Note that there are no older posts."""
        self.head_from = EVER

    def above(self, older: PostList, older_read_at: float) -> PostList:
        """Return this list, continued by what an older one has of the time before it, if that leaves no gap."""
        if self.head_from == EVER or older.complete_from > self.head_from:
            return self
        mine = {post["id"] for post in self.posts}
        rest = [post for post in older.posts if post["id"] not in mine and _moment(post) <= self.head_from]
        readings = [(older.head_from, older_read_at), *older.tail]
        return PostList(
            [*self.posts, *rest],
            self.head_from,
            [(first, read_at) for first, read_at in readings if first < self.head_from],
            older.truncated,
            max(self.unreadable, older.unreadable),
        )

    def ids(self) -> Collection[object]:
        """Return the ids of the posts."""
        return {post["id"] for post in self.posts}


@dataclass(frozen=True)
class ListRule:
    """How long a list is fresh for somebody who needs the posts since a moment, or some seconds before its reading."""

    since: float | None = None
    seconds: float = 0.0

    def first(self, read_at: float) -> float:
        """Return from when on posts are needed of a list that was read at a moment."""
        return read_at - self.seconds if self.since is None else self.since

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when one of the needed posts is too old, or None where the list does not reach back far enough."""
        listed = PostList.from_json(value)
        since = self.first(fetched_at)
        if not listed.reaches(since):
            return None
        expires_at = fetched_at + NEW_POSTS_FRESH_FOR
        read_at = listed.oldest_reading(since)
        return expires_at if read_at is None else min(expires_at, read_at + OLD_POSTS_FRESH_FOR)

    def grace(self, value: Json) -> float:
        """Return for how long an expired list serves at once."""
        return 6 * HOUR


def _remembered(item: Item) -> dict[str, object]:
    kept = {name: item[name] for name in FIELDS if name in item}
    caption = kept.get("caption")
    return kept | {"caption": caption[:MAX_CAPTION]} if isinstance(caption, str) else kept


def _moment_of(written: float | None) -> float:
    return EVER if written is None else float(written)


def _written(moment: float) -> float | None:
    return None if moment == EVER else moment


def _moment(item: Item) -> float:
    post = as_post(item)
    return post.timestamp.timestamp() if post is not None else NEVER
