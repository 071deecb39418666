"""Replies kept ready as bytes: found by the raw request, dropped when what they were made of has changed."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from services.answers import Provenance

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Headers = list[tuple[str, str]]
Key = tuple[str, str, tuple[tuple[str, str], ...], str]
Raw = tuple[str, str, str, str]

ANYBODY = ""  # Who may see a reply: until callers have keys, all of them are one.
STALE_LIVES = 1.0  # seconds; then somebody looks whether there is something newer
OVERHEAD = 2_000  # bytes that an entry takes beside its body, roughly
SPELLINGS = 16  # ways to write one query that are remembered with its reply
CACHE = "insights-gateway"
PLAIN = frozenset({"", "*/*", "application/json"})  # What most callers accept comes to the same.


@dataclass
class Ready:
    """A reply of status 200: what never changes of it, and the headers that do, made anew once a second."""

    provenance: Provenance
    etag: str
    body: bytes
    fixed: Headers
    lives_until: float
    raws: list[Raw] = field(default_factory=list)
    _made_at: int = -1
    _headers: Sequence[tuple[str, str]] = ()

    def headers(self, now: float) -> Sequence[tuple[str, str]]:
        """Return all headers of the reply as a hit."""
        second = int(now)
        if second != self._made_at:
            self._headers = (*self.fixed, *freshness_headers(self.provenance, second, "hit"))
            self._made_at = second
        return self._headers

    @property
    def size(self) -> int:
        """The bytes it takes, roughly."""
        return len(self.body) + OVERHEAD


class WarmReplies:
    """Ready replies, the least recently asked for dropped first; bounded in bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._ready: OrderedDict[Key, Ready] = OrderedDict()
        self._by_raw: dict[Raw, Key] = {}
        self._bytes = 0

    def find(self, environ: WSGIEnvironment, now: float) -> Ready | None:
        """Return the ready reply to a request, if there is one that still holds."""
        raw = _raw(environ)
        key = self._by_raw.get(raw)
        if key is None:
            if "refresh" in raw[2]:
                return None
            key = _key(raw)
            ready = self._ready.get(key)
            if ready is not None:
                self._spell(ready, raw, key)
        else:
            ready = self._ready.get(key)
        if ready is None:
            return None
        with self._lock:
            if now >= ready.lives_until:
                self._drop(key)
                return None
            if key in self._ready:
                self._ready.move_to_end(key)
        return ready

    def keep(self, environ: WSGIEnvironment, ready: Ready) -> None:
        """Keep the reply to a request."""
        key = _key(_raw(environ))
        with self._lock:
            self._drop(key)
            self._ready[key] = ready
            self._bytes += ready.size
            while self._bytes > self._most and self._ready:
                self._drop(next(iter(self._ready)))

    def forget(self, account: str) -> None:
        """Drop everything that was made of an account's memory."""
        with self._lock:
            for key in [key for key, ready in self._ready.items() if ready.provenance.account == account]:
                self._drop(key)

    def _spell(self, ready: Ready, raw: Raw, key: Key) -> None:
        with self._lock:
            if len(ready.raws) < SPELLINGS and self._ready.get(key) is ready:
                ready.raws.append(raw)
                self._by_raw[raw] = key

    def _drop(self, key: Key) -> None:
        ready = self._ready.pop(key, None)
        if ready is not None:
            self._bytes -= ready.size
            for raw in ready.raws:
                self._by_raw.pop(raw, None)


def freshness_headers(of: Provenance, now: float, status: str) -> Headers:
    """Return how old a reply is and how long it holds; `status` is what a cache had to do with it (RFC 9211)."""
    left = int(of.expires_at - now)
    lasts = 0 if of.stale else max(0, left)
    return [
        ("Cache-Status", f"{CACHE}; {status}; ttl={min(left, 0) if of.stale else left}"),
        ("Age", str(max(0, int(now - of.fetched_at)))),
        ("Cache-Control", f"private, max-age={lasts}, stale-while-revalidate=60"),
    ]


def _raw(environ: WSGIEnvironment) -> Raw:
    return ANYBODY, environ.get("PATH_INFO", ""), environ.get("QUERY_STRING", ""), environ.get("HTTP_ACCEPT", "")


def _key(raw: Raw) -> Key:
    """Return the request apart from how it is written: the order of the query, its escapes, what is accepted else.

    That it wanted everything anew is no part of it: who asks next may have what came.
    """
    scope, path, query, accept = raw
    pairs = parse_qsl(query, keep_blank_values=True, encoding="latin-1")
    asked = tuple(sorted(pair for pair in pairs if pair[0] != "refresh"))
    return scope, path, asked, "" if accept in PLAIN else accept
