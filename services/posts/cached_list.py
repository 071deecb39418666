"""A list of posts as it is cached: which posts it has, from when on it is complete, and how old its parts are."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.cache.policies import (
    KEPT_COUNT_TTL,
    KEPT_POSTS_TTL,
    MINUTE,
    NEW_POSTS_TTL,
    Json,
)
from services.clients.graph.models import MEDIA_PAGE, Item, as_count
from services.posts.post import COUNTS, KEPT, MAX_CAPTION, as_post

MAX_POSTS = 10_000  # Instagram lists no more, the newest first.
# A list of so many posts ended at that limit, not at the account's first post. New posts push old ones over the limit
# while the list is read, so a page may be lacking.
LIMIT_REACHED = MAX_POSTS - MEDIA_PAGE
ENOUGH_OLD_POSTS = 25  # at the end of a list in order, after which no newer one is expected
ENOUGH_OLD_PAGES = 3  # the same for a list that was not in order
CACHED_CAPTION = MAX_CAPTION + 1  # characters that are cached: one more than is shown, so that a cut is noticed
UNCHANGING = ("permalink", "media_type", "media_product_type")  # once known, an answer without them changes nothing
FIELDS = ("id", "timestamp", "caption", "owner", *UNCHANGING, *COUNTS)
EVER, NEVER = -math.inf, math.inf  # before the first post, and after the last


@dataclass
class CachedPostList:
    """Posts, newest first; all moments are Unix seconds.

    Posts after `head_from` were read at `read_at`. Older ones come from earlier readings: `tail` has, newest first,
    after which moment and when each was read.
    """

    posts: list[dict[str, object]] = field(default_factory=list)
    read_at: float = 0.0
    head_from: float = NEVER
    tail: list[tuple[float, float]] = field(default_factory=list)
    truncated: bool = False  # whether Instagram has older ones that it did not list
    unreadable: int = 0
    unordered: bool = False  # whether it was not in the order of time, and its reading ended before its end
    next_cursor: str | None = None  # where a reading that failed goes on
    empty_since: float | None = None  # since when Instagram lists none of these posts
    again_at: float | None = None  # when to read it again although it is young: something known was left out

    @classmethod
    def from_json(cls, value: Any) -> CachedPostList:
        """Read what `as_json` wrote."""
        tail = [(_moment_of(first), float(read_at)) for first, read_at in value["tail"]]
        posts = [dict(post) for post in value["posts"]]
        known = {name: value[name] for name in cls.__dataclass_fields__}
        read_at, head_from = float(value["read_at"]), _moment_of(value["head_from"])
        return cls(**known | {"posts": posts, "read_at": read_at, "head_from": head_from, "tail": tail})

    def as_json(self) -> Json:
        """Write the list; JSON has no infinity."""
        tail = [(_written(first), read_at) for first, read_at in self.tail]
        return vars(self) | {"head_from": _written(self.head_from), "tail": tail}

    @property
    def complete_from(self) -> float:
        """After which moment the list has every post; at that moment itself there may be more."""
        return self.tail[-1][0] if self.tail else self.head_from

    def reaches(self, since: float) -> bool:
        """Return whether the list has every post since a moment that Instagram lists."""
        return self.complete_from < since or self.truncated

    def oldest_reading(self, since: float) -> float | None:
        """Return when the oldest of the earlier readings was made that the posts since a moment come from."""
        begins = [self.head_from, *(first for first, _ in self.tail)]
        return min((read_at for (_, read_at), end in zip(self.tail, begins, strict=False) if since < end), default=None)

    def above(self, older: CachedPostList) -> CachedPostList:
        """Return this list, continued by what an older one has of the time before it, if that leaves no gap.

        A list that ends at Instagram's limit is not continued: what lies beyond could never be read again.
        """
        if self.head_from == EVER or self.truncated or self.unordered or older.unordered:
            return self
        if older.complete_from > self.head_from or older.read_at < self.head_from:
            return self
        mine = {post["id"] for post in self.posts}
        rest = [post for post in older.posts if post["id"] not in mine and _moment(post) <= self.head_from]
        readings = [(older.head_from, older.read_at), *older.tail]
        return replace(
            self,
            posts=[*self.posts, *rest],
            tail=[(first, read_at) for first, read_at in readings if first < self.head_from],
            truncated=older.truncated,
            unreadable=max(self.unreadable, older.unreadable),
        )

    def head(self) -> CachedPostList:
        """Return the list without what earlier readings had."""
        posts = [post for post in self.posts if _moment(post) >= self.head_from]
        return replace(self, posts=posts, tail=[], truncated=False, next_cursor=None)

    def with_known(self, older: CachedPostList) -> CachedPostList:
        """Return the list with what an older one knows of its posts, where this one lacks it.

        A count that was known and is missing is kept for `KEPT_COUNT_TTL`, with the moment it was read; missing for
        longer, it is hidden. The list is read again soon, later and later.
        """
        known = {post["id"]: post for post in older.posts}
        posts = [
            self._completed(post, known[post["id"]], older) if post["id"] in known else post for post in self.posts
        ]
        missing = [since for post in posts for _, since in _missing_counts(post).values()]
        again_at = self._again_at(min(missing)) if missing else self.again_at
        return replace(self, posts=posts, again_at=again_at)

    def without_posts_of(self, older: CachedPostList) -> CachedPostList | None:
        """Return the older list if this one lists none of its posts any more, or None if that is to be believed.

        An empty answer does not say that the posts are gone; after `KEPT_POSTS_TTL` of empty answers it does.
        """
        if self.posts or self.unreadable or not older.posts:
            return None
        empty_since = self.read_at if older.empty_since is None else older.empty_since
        if self.read_at - empty_since >= KEPT_POSTS_TTL:
            return None
        return replace(older, empty_since=empty_since, again_at=self._again_at(empty_since))

    def _again_at(self, missing_since: float) -> float:
        return self.read_at + min(max(self.read_at - missing_since, MINUTE), NEW_POSTS_TTL)

    def _completed(
        self, post: dict[str, object], known: Mapping[str, object], older: CachedPostList
    ) -> dict[str, object]:
        completed = {name: known[name] for name in UNCHANGING if name in known and not isinstance(post.get(name), str)}
        kept = {}
        for name in COUNTS:
            if as_count(post.get(name)) is None and as_count(known.get(name)) is not None:
                first_read_at, missing_since = _missing_counts(known).get(name, (older.reading_of(known), self.read_at))
                if self.read_at - missing_since < KEPT_COUNT_TTL:
                    completed[name] = known[name]
                    kept[name] = [first_read_at, missing_since]
        return post | completed | ({KEPT: kept} if kept else {})

    def reading_of(self, post: Item) -> float:
        """Return when a post of the list was read."""
        moment = _moment(post)
        readings = [(self.head_from, self.read_at), *self.tail]
        return next((read_at for first, read_at in readings if moment >= first), readings[-1][1])


class ListReading:
    """One reading of an account's posts, page by page, the newest first as Instagram promises.

    A list that breaks the promise is read on: older posts before newer ones end nothing.
    """

    def __init__(self, since: float, *, read_at: float, known: Collection[object] = ()) -> None:
        """Begin a reading of the posts since a moment; one of the `known` ids, in a list in order, ends it."""
        self._since = since
        self._known = known
        self._list = CachedPostList(read_at=read_at)
        self._ids = set[str]()
        self._oldest = NEVER
        self._in_order = True
        self.cursor: str | None = None  # to the next page
        self._old_posts = self._old_pages = 0  # at the end

    @classmethod
    def going_on(cls, unfinished: CachedPostList, since: float) -> ListReading:
        """Go on with a reading that failed."""
        reading = cls(since, read_at=unfinished.read_at)
        reading._list = unfinished.head()
        reading._ids = {str(post["id"]) for post in reading._list.posts}
        reading._oldest = unfinished.head_from
        reading.cursor = unfinished.next_cursor
        return reading

    def add(self, items: Iterable[Item], cursor: str | None = None) -> bool:
        """Add a page and the cursor to the next one; return whether the reading is done.

        A post that comes twice is added once.
        """
        self.cursor = cursor
        moments, is_known = [], []
        for item in items:
            post = as_post(item)
            if post is None:
                self._list.unreadable += 1
                continue
            moment = post.timestamp.timestamp()
            moments.append(moment)
            is_known.append(post.id in self._known)
            if post.id in self._ids:
                continue
            self._ids.add(post.id)
            self._in_order = self._in_order and moment <= self._oldest
            self._oldest = min(self._oldest, moment)
            self._old_posts = self._old_posts + 1 if moment < self._since else 0
            self._list.posts.append(_cached_fields(item, post.id))
        is_old = bool(moments) and max(moments) < self._since
        self._old_pages = self._old_pages + 1 if is_old else 0 if moments else self._old_pages
        if self._in_order:
            # Pinned posts may fill the first pages, if these are small.
            if is_old and len(self._list.posts) == self._old_posts < ENOUGH_OLD_POSTS and not any(is_known):
                return False
            return is_old or self._old_posts >= ENOUGH_OLD_POSTS or any(is_known)
        return self._old_pages >= ENOUGH_OLD_PAGES

    @property
    def has_reached_limit(self) -> bool:
        """Whether Instagram lists no more posts than were read."""
        return len(self._ids) + self._list.unreadable >= MAX_POSTS

    def lacks(self, older: CachedPostList) -> bool:
        """Return whether an older list, not a day old, has posts from before the last one that was read."""
        is_young = self._list.read_at - older.read_at < KEPT_POSTS_TTL
        return is_young and any(_moment(post) < self._oldest and post["id"] not in self._ids for post in older.posts)

    def done(self) -> CachedPostList:
        """Return the list of a reading that ended because the rest is older than needed, or known."""
        if self._in_order:
            return self._sorted(head_from=self._oldest)
        return self._sorted(head_from=self._since - 1, unordered=True)

    def ended(self) -> CachedPostList:
        """Return the list of a reading after whose last page Instagram has none."""
        if len(self._ids) + self._list.unreadable >= LIMIT_REACHED:
            return self.cut()
        return self._sorted(head_from=EVER)

    def cut(self) -> CachedPostList:
        """Return the list of a reading that could not go on although there are more posts."""
        return self._sorted(head_from=self._reached, unordered=not self._in_order, truncated=True)

    @property
    def unfinished(self) -> CachedPostList | None:
        """The list of a reading that failed before it was done, if it has any post."""
        if not self._list.posts:
            return None
        return self._sorted(head_from=self._reached, unordered=not self._in_order, next_cursor=self.cursor)

    @property
    def _reached(self) -> float:
        """After which moment every post was read; a list out of order is complete nowhere before it was all read."""
        return self._oldest if self._in_order else NEVER

    def _sorted(self, **changes: Any) -> CachedPostList:
        posts = self._list.posts
        return replace(
            self._list, posts=posts if self._in_order else sorted(posts, key=_moment, reverse=True), **changes
        )


def _cached_fields(item: Item, post_id: str) -> dict[str, object]:
    fields = {name: item[name] for name in FIELDS if name in item} | {"id": post_id}
    caption = fields.get("caption")
    return fields | {"caption": caption[:CACHED_CAPTION]} if isinstance(caption, str) else fields


def _missing_counts(post: Item) -> Mapping[str, Any]:
    kept = post.get(KEPT)
    return kept if isinstance(kept, dict) else {}


def _moment_of(written: float | str | None) -> float:
    return EVER if written is None else float(written)


def _written(moment: float) -> float | str | None:
    return None if moment == EVER else str(moment) if moment == NEVER else moment


def _moment(item: Item) -> float:
    post = as_post(item)
    return post.timestamp.timestamp() if post is not None else NEVER
