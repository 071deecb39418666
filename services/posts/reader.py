"""The one list of an account's posts, which top posts and growth share: cached, and fetched where it is not."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from services import request_context
from services.accounts.resolver import PROFILE_KEY, AccountResolver
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import (
    FOR_EVER,
    NEW_POSTS_TTL,
    PROFILE,
    STALE_IF_ERROR,
    FixedTTL,
    FreshnessPolicy,
)
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clock import Clock
from services.errors import ProviderError
from services.executors import Executor
from services.media.live_story import StoriesAlong
from services.posts.fetcher import COLLABORATIONS_KEY, LIST_KEY, PostListFetcher
from services.posts.listed_posts import ListedPosts, PostListPolicy
from services.posts.ordered_posts import Posts
from services.posts.with_profile import InsightsAlong
from services.store.cache_entries import CacheKey

ANY_LIST = FixedTTL(FOR_EVER, needs=("posts", "read_at"))


class PostReader:
    """Reads an account's posts."""

    def __init__(
        self, graph: GraphClient, executor: Executor, accounts: AccountResolver, cache: Cache, clock: Clock
    ) -> None:
        self._fetcher = PostListFetcher(graph, executor, accounts, cache, clock)
        self._accounts = accounts
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
        raises: bool = False,
    ) -> Posts:
        """Return every post that a policy needs: those since a moment, or of some days before the list was read.

        Where they cannot be read, the posts that are known, with the failure; raises that where none are. `BusyError`
        is raised in any case: a moment later the whole list may be there. `collaborations` reads the posts of others on
        which the account collaborates. If the account's own list has to be read, `insights` may come with its first
        page, and so may live `stories`. With `raises` a failed call is raised also where older posts are known.
        """
        key = COLLABORATIONS_KEY if collaborations else LIST_KEY
        fetch = partial(self._fetcher.fetch, account, policy, insights=insights, stories=stories)
        entry = self._cache.get_or_fetch_many(account.id, {key: policy}, fetch, provider="instagram")[key]
        posts = self._posts_of(account, policy, entry, key)
        if isinstance(posts, ProviderError):
            raise posts
        failure = entry.failure if isinstance(entry, CacheEntry) else entry
        if raises and failure is not None:
            raise failure
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
        fetch = partial(self._fetcher.fetch, account, policy, first_profiles=first_profiles)
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
        since = policy.first(known.listed.read_at)
        return known.range_of(CacheEntry({}, known.listed.read_at, now, stale=True), since, found)

    def _known(self, account: Account, key: CacheKey) -> ListedPosts | None:
        """Return the last list, whatever it reaches."""
        entry = self._cache.known(account.id, {key: ANY_LIST}).get(key)
        if entry is None:
            return None
        known = ListedPosts.from_json(entry.value)
        return known if self._clock.timestamp() < known.listed.read_at + NEW_POSTS_TTL + STALE_IF_ERROR else None


def _posts(entry: CacheEntry, known: ListedPosts, policy: PostListPolicy) -> Posts:
    """Return the needed posts of a list."""
    return known.range_since(entry, policy.first(known.listed.read_at))
