"""The one list of an account's posts, which top posts and growth share: read page by page, and remembered."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from services.clients.graph import MEDIA_PAGE, Account, GraphClient, MediaPage
from services.clock import Clock
from services.errors import ProviderError, Remedy
from services.memory import Json, Memo, Memory
from services.memory.rules import DAY
from services.parallel import Parallel
from services.post_list import OLD_POSTS_FRESH_FOR, ListRule, PostList
from services.posts import Posts, as_post

MAX_POSTS = 10_000  # Instagram lists no more, the newest first.
MAX_PAGES = 1_000  # A list that goes on for longer is none.


class MediaList:
    """Reads an account's posts."""

    def __init__(self, graph: GraphClient, parallel: Parallel, memory: Memory, clock: Clock) -> None:
        self._graph = graph
        self._parallel = parallel
        self._memory = memory
        self._clock = clock

    def since(self, account: Account, start: datetime) -> Posts:
        """Return every post published at `start` or later."""
        return self._posts(account, ListRule(since=start.timestamp()))

    def last(self, account: Account, days: int) -> Posts:
        """Return every post of the `days` x 24 hours before the list was read (`Posts.read_at`)."""
        return self._posts(account, ListRule(seconds=days * DAY))

    def _posts(self, account: Account, rule: ListRule) -> Posts:
        memo = self._memory.recall(account.id, "media", rule, partial(self._fetch, account, rule))
        listed = PostList.from_json(memo.value)
        read_at, since = memo.fetched_at, rule.first(memo.fetched_at)
        if (earlier := listed.oldest_reading(since)) is not None:
            memo = replace(memo, fetched_at=min(read_at, earlier))
        posts = (as_post(item) for item in listed.posts)
        return Posts(
            tuple(post for post in posts if post is not None and post.timestamp.timestamp() >= since),
            memo,
            datetime.fromtimestamp(read_at, UTC),
            listed.truncated and listed.complete_from > since,
            listed.unreadable,
        )

    def _fetch(self, account: Account, rule: ListRule, kept: Memo | None) -> Json:
        """Read the newest pages; where they meet what is kept, and that is young enough, the rest is taken from it."""
        now = self._clock.now().timestamp()
        since = rule.first(now)
        if kept is None:
            return self._read(account, since, known=()).as_json()
        known = PostList.from_json(kept.value)
        read_at = min(kept.fetched_at, known.oldest_reading(since) or kept.fetched_at)
        is_young = known.reaches(since) and now < read_at + OLD_POSTS_FRESH_FOR
        listed = self._read(account, since, known=known.ids() if is_young else ())
        return listed.above(known, kept.fetched_at).as_json()

    def _read(self, account: Account, since: float, *, known: Collection[object]) -> PostList:
        """Read page by page until the posts are older than needed, or known."""
        listed = PostList()
        for page in self._pages(account):
            listed.take(page.posts)
            if not page.more:
                listed.end()
                return listed
            if listed.head_from < since or any(item.get("id") in known for item in page.posts):
                return listed
            if len(listed.posts) >= MAX_POSTS:
                break
        listed.truncated = True
        return listed

    def _pages(self, account: Account) -> Iterator[MediaPage]:
        """Give the pages, newest first, as far as their cursors lead; smaller ones where a page is too much."""
        after: str | None = None
        cursors: set[str] = set()
        limit = MEDIA_PAGE
        for _ in range(MAX_PAGES):
            call = partial(self._graph.media_page, account, after=after, limit=limit)
            try:
                page = self._parallel.start(call, lane=account.id).result()
            except ProviderError as error:
                if error.remedy is not Remedy.SHRINK or limit == 1:
                    raise
                limit //= 2
                continue
            yield page
            after = page.after
            if after is None or after in cursors:
                return
            cursors.add(after)
