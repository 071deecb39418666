"""How the last call for a creator failed: a cache entry, for an hour where the creator is unknown, else briefly."""

from __future__ import annotations

from dataclasses import dataclass

from services.cache.cache import Cache
from services.cache.failure_text import deserialize, serialize
from services.cache.policies import CALL_FAILURE_TTL, UNKNOWN_CREATOR_TTL, Json
from services.errors import CreatorNotFoundError, ProviderError
from services.store.cache_entries import CacheKey


@dataclass(frozen=True)
class FailureTTL:
    """How long a failure is fresh; it never serves beyond that."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return the end of a failure's time; raises where the value is no failure."""
        is_unknown = isinstance(deserialize(str(value["failure"])), CreatorNotFoundError)
        return fetched_at + (UNKNOWN_CREATOR_TTL if is_unknown else CALL_FAILURE_TTL)

    def merge(self, known: Json, new: Json) -> Json:
        """Return the newer failure."""
        return new

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how many seconds an expired value serves: none."""
        return 0.0


POLICY = FailureTTL()


class CallFailures:
    """The last failure of each creator's call, shared by all processes; the cache is no lock here."""

    def __init__(self, cache: Cache, source: str) -> None:
        self._cache = cache
        self._source = source

    def now(self) -> float:
        """Return the present moment (Unix seconds) by the clock of failures, which is the machine's."""
        return self._cache.now()

    def put(self, name: str, error: ProviderError) -> None:
        """Keep a failure."""
        self._cache.put(self._source, {_key(name): ({"failure": serialize(error)}, POLICY)})

    def since(self, name: str, moment: float = 0.0) -> ProviderError | None:
        """Return a creator's last failure, if it is fresh and not from before a moment (Unix seconds).

        After a moment another process may fail at any time, so the database is asked each time.
        """
        entry = self._cache.peek(self._source, {_key(name): POLICY}, not_before=moment).get(_key(name))
        if entry is None:
            return None
        return deserialize(str(entry.value["failure"]))

    def latest(self, name: str) -> ProviderError | None:
        """Return a creator's last failure, if it is fresh, whichever process had it."""
        return self.since(name, self.now() - UNKNOWN_CREATOR_TTL)

    def unknown_creator(self, name: str) -> ProviderError | None:
        """Return the failure of a creator that Modash did not know within the last hour."""
        failure = self.latest(name)
        return failure if isinstance(failure, CreatorNotFoundError) else None


def _key(name: str) -> CacheKey:
    return CacheKey(f"report_failure/{name}")
