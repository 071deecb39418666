"""The one list of an account's posts, which top posts and growth share: read page by page, and cached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial

from services import request_context
from services.accounts.resolver import PROFILE_KEY, AccountResolver
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import (
    FOR_EVER,
    NEW_POSTS_TTL,
    OLD_POSTS_TTL,
    PROFILE,
    STALE_IF_ERROR,
    FixedTTL,
    FreshnessPolicy,
    Json,
)
from services.clients.graph.client import GraphClient
from services.clients.graph.models import MEDIA_PAGE, Account
from services.clock import Clock
from services.days import utc
from services.errors import Charge, InsightsError, ProviderError, ProviderResponseError, RetryStrategy
from services.media.live_story import StoriesAlong
from services.media.page_size import PageSize
from services.posts.cached_list import CachedPostList, ListReading
from services.posts.listed_posts import ListedPosts, PostListPolicy
from services.posts.ordered_posts import Posts
from services.posts.with_profile import InsightsAlong, Pages, ProfileAlong
from services.store.cache_entries import CacheKey

MAX_PAGES = 1_000  # A list that goes on for longer is none.
PAGE_SIZES = (MEDIA_PAGE, 25, 6, 1)  # posts
LIST_KEY, COLLABORATIONS_KEY = CacheKey("media"), CacheKey("collaborative media")
ANY_LIST = FixedTTL(FOR_EVER, needs=("posts", "read_at"))


class PostReader:
    """Reads an account's posts."""

    def __init__(self, graph: GraphClient, accounts: AccountResolver, cache: Cache, clock: Clock) -> None:
        self._graph = graph
        self._accounts = accounts
        self._profile = ProfileAlong(accounts, graph, cache)
        self._cache = cache
        self._clock = clock

    def read(
        self,
        account: Account,
        policy: PostListPolicy,
        *,
        collaborations: bool = False,
        insights: InsightsAlong | None = None,
        stories: StoriesAlong | None = None,
    ) -> Posts:
        """Return every post that a policy needs: those since a moment, or of some days before the list was read.

        Where they cannot be read, the posts that are known, with the failure; raises that where none are. `BusyError`
        is raised in any case: a moment later the whole list may be there. `collaborations` reads the posts of others on
        which the account collaborates. If the account's own list has to be read, `insights` may come with its first
        page, and so may live `stories`.
        """
        key = COLLABORATIONS_KEY if collaborations else LIST_KEY
        fetch = partial(self._fetch, account, policy, insights=insights, stories=stories)
        entry = self._cache.get_or_fetch_many(account.id, {key: policy}, fetch, provider="instagram")[key]
        posts = self._posts_of(account, policy, entry, key)
        if isinstance(posts, ProviderError):
            raise posts
        return posts

    def read_with_profile(
        self, account: Account, policy: PostListPolicy
    ) -> tuple[CacheEntry | ProviderError, Posts | ProviderError]:
        """Return the profile and the posts, or why either cannot be had; where both are due, one call reads them."""
        # Where the list has to be waited for, an expired profile is read with it, not by a call in the background.
        may_be_stale = LIST_KEY in self._cache.known(account.id, {LIST_KEY: policy})
        profile_policy = PROFILE if may_be_stale else replace(PROFILE, swr=0)
        policies: dict[CacheKey, FreshnessPolicy] = {PROFILE_KEY: profile_policy, LIST_KEY: policy}
        first_profiles: set[str] = set()
        fetch = partial(self._fetch, account, policy, first_profiles=first_profiles)
        found = self._cache.get_or_fetch_many(account.id, policies, fetch, provider="instagram")
        if first_profiles:
            self._accounts.announce_first_profile(account)
        return found[PROFILE_KEY], self._posts_of(account, policy, found[LIST_KEY])

    def cached_with_profile(self, account: Account, policy: PostListPolicy) -> tuple[CacheEntry, Posts] | None:
        """Return the same if both are cached and fresh, else None; nothing is fetched."""
        if request_context.not_before():
            return None
        policies: dict[CacheKey, FreshnessPolicy] = {PROFILE_KEY: PROFILE, LIST_KEY: policy}
        found = self._cache.peek(account.id, policies)
        if len(found) < len(policies) or any(entry.stale for entry in found.values()):
            return None
        return found[PROFILE_KEY], _posts(found[LIST_KEY], ListedPosts.from_json(found[LIST_KEY].value), policy)

    def _posts_of(
        self, account: Account, policy: PostListPolicy, found: CacheEntry | ProviderError, key: CacheKey = LIST_KEY
    ) -> Posts | ProviderError:
        """Return the needed posts of what the cache has found; where it is a failure, those that are known."""
        if isinstance(found, CacheEntry):
            return _posts(found, ListedPosts.from_json(found.value), policy)
        known = self._known(account, key)
        if known is None:
            return found
        now = self._clock.timestamp()
        return _posts(CacheEntry({}, known.listed.read_at, now, stale=True), known, policy, found)

    def _known(self, account: Account, key: CacheKey) -> ListedPosts | None:
        """Return the last list, whatever it reaches."""
        entry = self._cache.known(account.id, {key: ANY_LIST}).get(key)
        if entry is None:
            return None
        known = ListedPosts.from_json(entry.value)
        return known if self._clock.timestamp() < known.listed.read_at + NEW_POSTS_TTL + STALE_IF_ERROR else None

    def _fetch(
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
                results[key] = self._joined(self._read_pages(pages, reading, older), older)
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
        size, cursors = PageSize(PAGE_SIZES), set[str]()
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


def _posts(
    entry: CacheEntry, known: ListedPosts, policy: PostListPolicy, failure: InsightsError | None = None
) -> Posts:
    """Return the needed posts of a list; what is older than the list says makes the whole older, or stale."""
    listed, ordered = known.listed, known.ordered
    since = policy.first(listed.read_at)
    count = ordered.since(since)
    kept = ordered.kept(count)
    readings = [listed.read_at, listed.oldest_reading(since), *kept]
    is_kept = bool(kept) or listed.empty_since is not None
    oldest = min(read_at for read_at in readings if read_at is not None)
    return Posts(
        ordered.posts[:count],
        ordered,
        replace(entry, fetched_at=oldest, stale=entry.stale or is_kept),
        utc(listed.read_at),
        complete_from=listed.complete_from,
        truncated=listed.truncated and listed.complete_from >= since,
        unreadable=listed.unreadable,
        unordered=listed.unordered,
        counts_kept=len(kept),
        posts_kept=listed.empty_since is not None,
        failure=None if listed.reaches(since) else failure,
    )
