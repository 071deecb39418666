"""Fetches the list of an account's posts page by page, with its profile, insights or live stories in the same calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from services import request_context
from services.accounts.resolver import PROFILE_KEY, AccountResolver
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import (
    NEW_POSTS_TTL,
    OLD_POSTS_TTL,
    Json,
)
from services.clients.graph.client import GraphClient
from services.clients.graph.models import MEDIA_PAGE, Account
from services.clock import Clock
from services.errors import Charge, ProviderError, ProviderResponseError, RetryStrategy
from services.executors import Executor, SideCalls
from services.media.live_story import StoriesAlong
from services.media.page_size import PageSize
from services.posts.cached_list import CachedPostList, ListReading
from services.posts.listed_posts import PostListPolicy
from services.posts.with_profile import InsightsAlong, Pages, ProfileAlong
from services.store.cache_entries import CacheKey

MAX_PAGES = 1_000  # A list that goes on for longer is none.
LIST_PAGE_SIZES = (MEDIA_PAGE, 25, 6, 1)  # posts
LIST_KEY, COLLABORATIONS_KEY = CacheKey("media"), CacheKey("collaborative media")


class PostListFetcher:
    """Fetches lists of posts for the cache, which calls `fetch` where it has no fresh one."""

    def __init__(
        self, graph: GraphClient, executor: Executor, accounts: AccountResolver, cache: Cache, clock: Clock
    ) -> None:
        self._graph = graph
        self._executor = executor
        self._profile = ProfileAlong(accounts, graph, cache)
        self._clock = clock

    def fetch(
        self,
        account: Account,
        policy: PostListPolicy,
        keys: Collection[CacheKey],
        cached: Mapping[CacheKey, CacheEntry],
        keep: Keep,
        *,
        first_profiles: set[str] | None = None,
        insights: InsightsAlong | None = None,
        stories: StoriesAlong | None = None,
    ) -> Mapping[CacheKey, FetchResult]:
        """Fetch the list, the profile or both; a failure of one leaves the other as it is.

        `first_profiles` gets the account if its profile is fetched for the first time.
        """
        results: dict[CacheKey, FetchResult] = {}
        failure, is_refused = None, False

        def keep_profile(profile: Json) -> None:
            results[PROFILE_KEY] = profile
            keep({PROFILE_KEY: profile})

        for key in {LIST_KEY, COLLABORATIONS_KEY} & set(keys):
            if key == LIST_KEY:
                on_profile = keep_profile if PROFILE_KEY in keys else None
                pages = self._own_pages(account, on_profile, insights=insights, stories=stories)
            else:
                pages = Pages(self._graph, account, collaborations=True)
            older, reading = self._begin(policy, cached.get(key))
            try:
                with SideCalls(self._executor) as beside:
                    pages.begin = beside.begin
                    listed = self._read_pages(pages, reading, older)
                results[key] = self._joined(listed, older)
            except ProviderError as error:
                results[key] = error
                # A list out of order is complete nowhere: it would replace one that is.
                if (unfinished := reading.unfinished) is not None and not (unfinished.unordered and older.posts):
                    keep({key: unfinished.with_known(older).above(older).as_json()})
            self._profile.note(account, pages)
            failure, is_refused = pages.failure or failure, pages.refused or is_refused
        if PROFILE_KEY in keys:
            if first_profiles is not None and PROFILE_KEY not in cached:
                first_profiles.add(account.id)
            if PROFILE_KEY not in results:
                results[PROFILE_KEY] = failure or self._profile.alone(account, again=is_refused)
        return results

    def _own_pages(
        self,
        account: Account,
        on_profile: Callable[[Json], None] | None,
        *,
        insights: InsightsAlong | None,
        stories: StoriesAlong | None,
    ) -> Pages:
        if insights is not None:
            pages = Pages(self._graph, account, insights=insights)
        else:
            pages = self._profile.pages(account, on_profile=on_profile)
        if stories is not None:
            self._profile.take_stories(pages, stories)
        return pages

    def _begin(self, policy: PostListPolicy, cached: CacheEntry | None) -> tuple[CachedPostList, ListReading]:
        """Return the cached list, and a reading of what it lacks.

        It begins with the newest pages; where they meet the cached list, and that is young enough, the rest is taken
        from it. Where the pages that were read before a failure were kept, it goes on after them.
        """
        now = self._clock.timestamp()
        since = policy.first(now)
        older = CachedPostList() if cached is None else CachedPostList.from_json(cached.value)
        if older.next_cursor is not None and self._may_go_on(older, policy):
            return older, ListReading.going_on(older, since)
        read_at = min(older.read_at, older.oldest_reading(since) or older.read_at)
        is_young = older.reaches(since) and not older.unordered and now < read_at + OLD_POSTS_TTL
        return older, ListReading(since, read_at=now, known=_ids(older) if is_young else ())

    @staticmethod
    def _joined(listed: CachedPostList, older: CachedPostList) -> Json:
        """Return a list that was read as it is cached: with what was known of its posts, and with older ones."""
        kept = listed.without_posts_of(older)
        return (listed.with_known(older).above(older) if kept is None else kept).as_json()

    def _may_go_on(self, unfinished: CachedPostList, policy: PostListPolicy) -> bool:
        """Return whether the pages that were read before a failure are young enough for what is needed now."""
        is_young = self._clock.timestamp() < unfinished.read_at + NEW_POSTS_TTL
        return (
            is_young and unfinished.read_at >= request_context.not_before() and unfinished.read_at > policy.read_after
        )

    def _read_pages(self, pages: Pages, reading: ListReading, older: CachedPostList) -> CachedPostList:
        """Read page by page until the posts are older than needed, or known.

        A cursor that comes twice ends the list.
        """
        size, cursors = PageSize(LIST_PAGE_SIZES), set[str]()
        for _ in range(MAX_PAGES):
            after = reading.cursor
            try:
                page = pages.page(after, size.limit)
            except ProviderError as error:
                if error.retry_strategy is not RetryStrategy.SHRINK or not size.shrink():
                    raise
                continue
            size.passed(len(page.posts))
            if not page.posts and not page.more and after is not None and reading.lacks(older):
                raise _empty_page()
            is_done = reading.add(page.posts, page.after)
            if not page.more:
                return reading.ended()
            if is_done:
                return reading.done()
            if reading.has_reached_limit or page.after is None or page.after in cursors:
                break
            cursors.add(page.after)
        return reading.cut()


def _empty_page() -> ProviderResponseError:
    return ProviderResponseError(
        "Instagram sends an empty page where it listed posts before.",
        provider="instagram",
        hint="Try again in a minute; the posts that are known are answered.",
        charge=Charge.NONE,
    )


def _ids(listed: CachedPostList) -> set[object]:
    return {post["id"] for post in listed.posts}
