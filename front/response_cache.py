"""The response cache: finished replies as bytes, found by the raw request, invalidated when their values change."""

from __future__ import annotations

import math
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from sys import getsizeof
from typing import TYPE_CHECKING

from front.request_limits import has_too_many_parameters
from routes.query_string import parameters_of
from routes.replies import CSV, JSON, negotiated
from services.answers import Freshness, Provenance
from services.cache.policies import NAMELESS_REPLY_TTL, STALE_REPLY_TTL
from services.clock import is_ahead
from services.monitoring.measurements import UNMATCHED

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]
RawRequest = tuple[str, str, str, str]
CacheKey = tuple[str, str, str]

ENTRY_OVERHEAD = 2_000  # bytes of an entry's objects, its place in the dictionary and the headers of its age
MAX_SPELLINGS = 16  # raw requests that lead to one entry without being parsed
MAX_SPELLING = 1_000  # characters of such a request; one that is longer is parsed each time
HEADER_OVERHEAD = 110  # bytes of the tuple and of the text of one header
SPELLING_OVERHEAD = 350  # bytes of its places in the list and in the dictionaries
KEY = "insights.cache_key"  # of the environment of a request that is not cached: its parsed form
CACHE_NAME = "insights-gateway"
# Most callers send one of these.
USUAL_ACCEPTS = {"": JSON, "*/*": JSON, JSON: JSON, CSV: CSV}


@dataclass(slots=True)
class CachedResponse:
    """A reply of status 200: its unchanging parts, and the headers of its age, which are rebuilt once a second."""

    provenance: Provenance
    etag: str
    body: bytes
    fixed_headers: Headers
    expires_at: float  # Unix seconds; how long this entry serves, which a stale value shortens
    made_at: float = 0.0  # Unix seconds
    route: str = UNMATCHED  # the pattern of the path, for the metrics
    key: CacheKey = ("", "", "")  # set by the cache; all spellings share this one object, which may be large
    spellings: list[RawRequest] = field(default_factory=list)
    bytes_used: int = 0  # in the cache, with key and spellings
    _built_at: int = -1
    _headers: Sequence[tuple[str, str]] = ()

    @classmethod
    def of(cls, provenance: Provenance, headers: Headers, body: bytes, *, now: float) -> CachedResponse:
        """Return the entry for a reply that was made at `now` (Unix seconds)."""
        expires_at = provenance.freshness.expires_at
        if provenance.freshness.stale:
            expires_at = now + STALE_REPLY_TTL
        elif not provenance.complete:
            expires_at = min(expires_at, now + NAMELESS_REPLY_TTL)
        return cls(provenance, dict(headers)["ETag"], body, headers, expires_at, made_at=now)

    def headers(self, now: float) -> Sequence[tuple[str, str]]:
        """Return all headers of the reply as a cache hit."""
        second = int(now)
        if second != self._built_at:
            self._headers = (*self.fixed_headers, *freshness_headers(self.provenance.freshness, second, "hit"))
            self._built_at = second
        return self._headers


class ResponseCache:
    """Replies by request, bounded in bytes; the least recently used are dropped first.

    A request is looked up twice: by its raw form, which costs one dictionary access, and only when that is unknown by
    its parsed form, in which equal requests are equal however they are spelled.

    The bound counts all that a caller can make large: bodies, headers, keys and raw forms. A key and a raw form can be
    longer than the reply that they lead to.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[CacheKey, CachedResponse] = OrderedDict()
        self._keys: dict[RawRequest, CacheKey] = {}
        self._targets: Counter[tuple[str, str]] = Counter()  # how many raw requests have a scope and a target
        self._bytes = 0

    @property
    def bytes_used(self) -> int:
        """The bytes that all entries take, with their keys and raw forms."""
        return self._bytes

    def has_target(self, target: str, *, scope: str = "") -> bool:
        """Return whether callers of a scope may find a reply for a target, as it stands in a request line.

        It costs one dictionary access, before a request is parsed. A target with escapes in its path is not found.
        """
        return (scope, target) in self._targets

    def get(self, environ: WSGIEnvironment, now: float, *, scope: str = "") -> CachedResponse | None:
        """Return the reply to a request, if one is cached and has not expired.

        `scope` stands for the accounts that its caller may see: callers that see others have other replies.
        """
        raw = _raw_request(environ, scope)
        key = self._keys.get(raw)
        is_new_spelling = key is None
        if key is None:
            # A request with `refresh` must reach validation; its key leaves the parameter out.
            if "refresh" in raw[2] or has_too_many_parameters(raw[2]):
                return None
            key = environ[KEY] = _cache_key(environ, raw)
        cached = self._entries.get(key)
        if cached is None:
            return None
        with self._lock:
            # Another thread may have dropped the entry since it was read without the lock.
            if now >= cached.expires_at or is_ahead(cached.made_at, now):
                self._drop(key)
                return None
            if key in self._entries:
                self._entries.move_to_end(key)
            if is_new_spelling and self._entries.get(key) is cached:
                self._add_spelling(raw, cached)
        return cached

    def put(self, environ: WSGIEnvironment, response: CachedResponse, *, scope: str = "") -> None:
        """Cache the reply to a request, for callers of a scope."""
        key: CacheKey = environ.get(KEY) or _cache_key(environ, _raw_request(environ, scope))
        response.key, response.bytes_used = key, ENTRY_OVERHEAD + _size(response, key)
        with self._lock:
            self._drop(key)
            if response.bytes_used > self._max_bytes:
                return  # It would push out all other entries, and then itself.
            self._entries[key] = response
            self._bytes += response.bytes_used
            self._evict()

    def invalidate(self, account: str) -> None:
        """Drop every reply that shows values of an account."""
        with self._lock:
            for key in [key for key, cached in self._entries.items() if account in cached.provenance.accounts]:
                self._drop(key)

    def _add_spelling(self, raw: RawRequest, cached: CachedResponse) -> None:
        if len(cached.spellings) == MAX_SPELLINGS or sum(map(len, raw)) > MAX_SPELLING or raw in self._keys:
            return
        cached.spellings.append(raw)
        self._keys[raw] = cached.key
        target = _target_of(raw)
        self._targets[target] += 1
        size = SPELLING_OVERHEAD + getsizeof(target[1]) + sum(map(getsizeof, raw))
        cached.bytes_used += size
        self._bytes += size
        self._evict()

    def _evict(self) -> None:
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: CacheKey) -> None:
        cached = self._entries.pop(key, None)
        if cached is not None:
            self._bytes -= cached.bytes_used
            for raw in cached.spellings:
                self._keys.pop(raw, None)
                target = _target_of(raw)
                self._targets[target] -= 1
                if not self._targets[target]:
                    del self._targets[target]


def freshness_headers(freshness: Freshness, now: float, status: str) -> Headers:
    """Return the headers for the age and lifetime of a reply; `status` is the cache's part in it (RFC 9211).

    A cache takes `Age` from `max-age` (RFC 9111, section 4.2), so both count from the same moment: when the oldest
    value was fetched. What is left is the time until `expires_at`, rounded up: a browser that asks again a second too
    early would get the same reply once more. It is counted from the whole second of `Date`, from which a browser counts
    where `Age` is less than what passed since then.
    """
    ttl = int(freshness.expires_at - now)
    age = max(0, int(now - freshness.fetched_at))
    lifetime = max(0, age + math.ceil(freshness.expires_at - int(now)))
    if freshness.stale:
        ttl, lifetime = min(ttl, 0), min(lifetime, age)
    return [
        ("Cache-Status", f"{CACHE_NAME}; {status}; ttl={ttl}"),
        ("Age", str(age)),
        ("Cache-Control", f"private, max-age={lifetime}, stale-while-revalidate=60"),
    ]


def _raw_request(environ: WSGIEnvironment, scope: str) -> RawRequest:
    return scope, environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT", "")


def _target_of(raw: RawRequest) -> tuple[str, str]:
    scope, path, query, _ = raw
    return scope, f"{path}?{query}" if query else path


def _cache_key(environ: WSGIEnvironment, raw: RawRequest) -> CacheKey:
    """Return the parsed request: without the order and the escapes of its query, and with the format that it gets.

    The `Accept` header counts only as far as it decides the format, which it does where no parameter does.
    `refresh` is left out, so that the next request without it gets the refreshed reply. All parameters together are one
    text, which takes a third of the memory of a tuple for each; `repr` keeps apart what a separator would not.
    """
    scope, path, _, accept = raw
    parameters = sorted([pair for pair in parameters_of(environ) if pair[0] != "refresh"])
    if "format" in dict(parameters):
        return scope, path, repr(parameters)
    return scope, path, f"{USUAL_ACCEPTS.get(accept) or negotiated(accept)} {parameters!r}"


def _size(response: CachedResponse, key: CacheKey) -> int:
    """Return the bytes of what differs from reply to reply."""
    headers = sum([HEADER_OVERHEAD + len(value) for _, value in response.fixed_headers])
    return len(response.body) + sum(map(getsizeof, key)) + headers
