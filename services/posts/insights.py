"""The insights of many posts, cached for each post: those of young posts are read often, those of old ones seldom."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from services import request_context
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.fetch_request import FetchResult, Keep
from services.cache.policies import (
    MINUTE,
    NO_POST_INSIGHTS_TTL,
    OLD_POST_INSIGHTS_TTL,
    POST_INSIGHTS_DENIED,
    POST_INSIGHTS_SWR,
    POST_INSIGHTS_TTL,
    RANKED_POST_AGE,
    YOUNG_POST_AGE,
    YOUNG_POST_INSIGHTS_TTL,
    FreshnessPolicy,
    Json,
)
from services.cache.recent_reads import ReadsOfAccount, RecentReads
from services.cache.values import read_once
from services.clients.graph.models import Account
from services.errors import InsufficientViewersError, MediaTooOldError, ProviderError, reason_of
from services.media.expansion import POST_METRICS, ExpansionReader, PostValues, unknown_values
from services.media.refusal_check import ListedPost
from services.media.values import MediaValue, media_value_as_json, media_value_read, merge_media_values
from services.posts.post import Post
from services.reasons import Unavailable, explain
from services.rendering.plurals import counted
from services.store.cache_entries import CacheKey

MOST_RECENT = 4_000  # posts, of about 1 kB each

KEY = "post insights"
DENIED_KEY = CacheKey("post insights denied")
Fetched = Mapping[CacheKey, FetchResult]
OnRead = Callable[[Account, Sequence[Post], Mapping[str, PostValues]], None]
"""Gets an account, posts of it, and insights of some of them as Instagram has just sent them."""
TOO_OLD, TOO_FEW = MediaTooOldError.code, InsufficientViewersError.code


@dataclass(frozen=True)
class PostInsightsPolicy:
    """How long the insights of a post are fresh that was published at a moment (Unix seconds)."""

    posted_at: float

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when the insights expire; None where one of the metrics was not asked for."""
        values = _values_of(value)
        if all(each.reason == TOO_OLD for each in values.values()):
            return fetched_at + NO_POST_INSIGHTS_TTL
        age = fetched_at - self.posted_at
        ttl = POST_INSIGHTS_TTL if age < RANKED_POST_AGE else OLD_POST_INSIGHTS_TTL
        return fetched_at + (YOUNG_POST_INSIGHTS_TTL if age < YOUNG_POST_AGE else ttl)

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how long expired insights serve at once."""
        return POST_INSIGHTS_SWR if any(each.is_known for each in _values_of(value).values()) else 0.0

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new insights, with the known number of each metric that is newly unknown."""
        before, after = _values_of(known), _values_of(new)
        return _as_json({metric: merge_media_values(before[metric], after[metric]) for metric in POST_METRICS})


@dataclass(frozen=True)
class PostInsights:
    """The insights of some posts, by their ids; the cache entries they come from, and whether a part is missing.

    `read_at` has the moment (Unix seconds) of those that are all of one reading. `stale_for` is why some are of an
    earlier one.
    """

    values: Mapping[str, PostValues]
    entries: Sequence[CacheEntry]
    failure: ProviderError | None = None
    read_at: Mapping[str, float] = field(default_factory=dict)
    stale_for: ProviderError | None = None

    def value(self, post: Post, metric: str) -> MediaValue:
        """Return a metric of a post, or its engagement rate: the post's own interactions / its own reach."""
        values = self.values.get(post.id) or unknown_values("not_own_post")
        return rate_of(values, "reach") if metric == "engagement_rate" else values[metric]

    def explain(self, metric: str, reason: str, posts: int) -> Unavailable:
        """Return the entry of `meta.unavailable` for a metric that some posts lack."""
        wait = None if self.failure is None or reason_of(self.failure) != reason else self.failure.retry_after
        detail = counted(posts, "post")
        return explain(metric, reason, detail, retry_after=wait, of_media=True)


def rate_of(values: PostValues, base: str) -> MediaValue:
    """Return the interactions of a post divided by its own reach or views; both are organic, so they compare."""
    return ratio(values, "total_interactions", base)


def ratio(values: Mapping[str, MediaValue], part: str, base: str, *, times: float = 1) -> MediaValue:
    """Return one number of a media divided by another one of it, times a factor; both have to be of one family."""
    numerator, denominator = values[part], values[base]
    if numerator.value is None:
        return numerator
    if denominator.value is None:
        return denominator
    if not denominator.value:
        return MediaValue(None, f"no_{base}")
    return MediaValue(numerator.value * times / denominator.value)


class RecentInsights(NamedTuple):
    """The fresh insights of one post; the entry is without its value."""

    entry: CacheEntry
    values: PostValues


class PostInsightsReader:
    """Reads the insights of an account's posts.

    Those that were fresh within the last minute are not looked up again: a window has up to some hundred posts, and the
    next window has most of them too.
    """

    def __init__(self, expansion: ExpansionReader, cache: Cache, *, on_read: OnRead) -> None:
        """Build the reader; `on_read` gets the insights of each page as it comes."""
        self._expansion = expansion
        self._cache = cache
        self._on_read = on_read
        self._recent: RecentReads[str, RecentInsights] = RecentReads(MINUTE, MOST_RECENT)
        cache.on_change(self._recent.forget)

    def read(self, account: Account, posts: Sequence[Post], *, listed: Sequence[Post]) -> PostInsights:
        """Return the insights of some of the `listed` posts, which are the account's newest, in their order.

        A failure leaves a gap: the values of the posts that are not known have it as their reason.
        """
        reading = self._recent.of(account.id)
        recent = self._known(reading, posts)
        missing = [post for post in posts if post.id not in recent] if len(recent) < len(posts) else []
        found = self._read(account, missing, listed) if missing else {}
        values = {post_id: known.values for post_id, known in recent.items()}
        entries = [known.entry for known in recent.values()]
        read_at = {post_id: known.entry.fetched_at for post_id, known in recent.items()}
        fresh: dict[str, RecentInsights] = {}
        failure = stale_for = None
        for key, each in found.items():
            if isinstance(each, ProviderError):
                failure = each
                values[key.part] = unknown_values(reason_of(each))
            else:
                stale_for = each.failure or stale_for
                entries.append(each)
                values[key.part] = _values_of(each.value)
                if not each.stale:  # Else it may have older numbers where newer ones are unknown.
                    read_at[key.part] = each.fetched_at
                    fresh[key.part] = RecentInsights(each.without_value(), values[key.part])
        if fresh:
            self._recent.put(account.id, reading, fresh)
        return PostInsights(values, entries, failure, read_at, stale_for)

    def _known(self, reading: ReadsOfAccount[str, RecentInsights], posts: Sequence[Post]) -> dict[str, RecentInsights]:
        """Return the insights of those posts that were fresh moments ago, and still are."""
        if request_context.not_before():
            return {}
        now = self._cache.now()
        recent: dict[str, RecentInsights] = {}
        for post in posts:
            known = reading.get(post.id)
            if known is not None and now < known.entry.expires_at:
                recent[post.id] = known
        return recent

    def _read(
        self, account: Account, posts: Sequence[Post], listed: Sequence[Post]
    ) -> Mapping[CacheKey, CacheEntry | ProviderError]:
        policies: dict[CacheKey, FreshnessPolicy] = {
            CacheKey(KEY, post.id): PostInsightsPolicy(post.timestamp.timestamp()) for post in posts
        }

        fetch = partial(self._fetch, account, listed, requested=policies.keys())
        return self._cache.get_or_fetch_many(account.id, policies, fetch, provider="instagram")

    def may_read(self, account: Account) -> bool:
        """Return whether background work may ask for insights: not for some hours after the permission was missing."""
        return DENIED_KEY not in self._cache.peek(account.id, {DENIED_KEY: POST_INSIGHTS_DENIED})

    def note_denied(self, account: Account) -> None:
        """Remember that the token of an account may not read insights."""
        self._cache.put(account.id, {DENIED_KEY: ({"denied": True}, POST_INSIGHTS_DENIED)})

    def note(self, account: Account, posts: Sequence[Post], values: Mapping[str, PostValues]) -> None:
        """Cache insights that came with a list, those of posts of which all are known."""
        self._cache.put(
            account.id,
            {
                CacheKey(KEY, post.id): (_as_json(values[post.id]), PostInsightsPolicy(post.timestamp.timestamp()))
                for post in posts
                if post.id in values and all(each.is_known for each in values[post.id].values())
            },
        )

    def _fetch(
        self,
        account: Account,
        listed: Sequence[Post],
        keys: Collection[CacheKey],
        cached: Mapping[CacheKey, CacheEntry],
        keep: Keep,
        *,
        requested: Collection[CacheKey],
    ) -> Fetched:
        """Fetch the insights of the posts that are due, those of `keys`, and hand over each page as it comes.

        Posts between them come along. Theirs are kept only if they were `requested` and are complete: what is unknown
        must replace nothing.
        """
        posts = [ListedPost(post.id, post.timestamp.timestamp(), post.media_product_type or "") for post in listed]
        few = {key.part for key, each in cached.items() if _has_reason(each.value, TOO_FEW)}

        def read(found: Mapping[str, PostValues]) -> None:
            self._on_read(account, listed, found)
            by_key = {CacheKey(KEY, post_id): each for post_id, each in found.items()}
            complete = {key for key, each in by_key.items() if all(value.is_known for value in each.values())}
            wanted = {*keys, *complete.intersection(requested)}
            keep({key: _as_json(each) for key, each in by_key.items() if key in wanted})

        values = self._expansion.read(account, posts, {key.part for key in keys}, alone=few, keep=read)
        return {key: _as_json(values[key.part]) for key in keys}


def _as_json(values: PostValues) -> Json:
    return {metric: media_value_as_json(values[metric]) for metric in POST_METRICS}


def _values_of(value: Json) -> PostValues:
    """Read what `_as_json` wrote; raises what damaged rows raise."""
    return read_once(value, _read)


def _read(value: Json) -> PostValues:
    return {metric: media_value_read(value[metric]) for metric in POST_METRICS}


def _has_reason(value: Json, reason: str) -> bool:
    return any(each.reason == reason for each in _values_of(value).values())
