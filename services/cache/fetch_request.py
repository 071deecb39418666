"""What a caller needs of the cache, and the functions that fetch it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.cache.entries import CacheEntry
from services.cache.policies import FreshnessPolicy, Json
from services.errors import DeadlineExceededError, ProviderError
from services.store.cache_entries import CacheKey

FetchResult = Json | ProviderError

Keep = Callable[[Mapping[CacheKey, Json]], None]
"""Commits a part of what a fetch has brought, within moments; safe for threads. The fetch goes on as one single flight:
the callers that wait for it get their values when it ends, whichever way.

A value that grows with each call, as a list that is read page by page, is committed as far as it goes, and replaces
what is cached: give only a value that has all that the cached one has, and that nothing changes afterwards. If the
fetch then fails, raise the failure: callers get the kept value where its policy lets it serve, else the failure. The
next fetch continues from what was kept, even if its policy does not let it serve (then it is stale)."""

Fetch = Callable[[Collection[CacheKey], Mapping[CacheKey, CacheEntry], Keep], Mapping[CacheKey, FetchResult]]
"""Gets the keys to fetch, what is cached of them, and `Keep`; returns a result for each key, or raises the failure of
all that it has not kept."""

FetchOne = Callable[[CacheEntry | None], FetchResult]
"""The same for a single key that one call fetches."""


class Single(NamedTuple):
    """The fetch of a request for a single key."""

    fetch: FetchOne


Found = dict[CacheKey, CacheEntry | ProviderError]


@dataclass(frozen=True)
class FetchRequest:
    """What one caller needs of an account, and how to fetch it."""

    account: str
    policies: Mapping[CacheKey, FreshnessPolicy]
    fetch: Fetch | Single
    provider: str | None  # that `fetch` calls; the cache only passes it on in the failure of a wait
    not_before: float = 0.0  # Unix seconds; an older value is not accepted, unless it is final

    def rejects(self, entry: CacheEntry) -> bool:
        """Return whether an entry is older than the caller accepts."""
        return entry.is_older_than(self.not_before)

    def accepts_as_fresh(self, entry: CacheEntry, *, now: float) -> bool:
        """Return whether an entry will do without a fetch: it is fresh, or was asked for in vain moments ago."""
        return (not entry.stale or now < entry.retry_at) and not self.rejects(entry)

    def accepts_at_once(self, cache_key: CacheKey, entry: CacheEntry, *, now: float) -> bool:
        """Return whether an entry will do without waiting, fresh or not."""
        if not entry.stale:
            return not self.rejects(entry)
        usual = entry.expires_at + self.policies[cache_key].stale_while_revalidate(entry.value)
        may_serve_until = max(usual, entry.retry_at)
        return not self.rejects(entry) and now < may_serve_until

    def timed_out(self) -> DeadlineExceededError:
        """Return the failure of a caller that has waited for another one's fetch for too long."""
        return DeadlineExceededError(
            "Timed out while waiting for another request that is fetching the same data.",
            provider=self.provider,
            hint="Try again.",
            reached=False,
        )


def only_entry(by_key: Found) -> CacheEntry:
    """Return the entry of a single key, or raise its failure."""
    (each,) = by_key.values()
    if isinstance(each, ProviderError):
        raise each
    return each
