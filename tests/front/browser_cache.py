"""The private cache of a browser as RFC 9111 describes it, in front of a client of the gateway."""

from __future__ import annotations

import re
from dataclasses import dataclass, field


@dataclass
class Stored:
    """A reply as the cache keeps it."""

    status: int
    headers: dict[str, str]
    data: bytes
    at: float  # Unix seconds; when it came
    negotiated: dict[str, str] = field(default_factory=dict)  # the request headers that `Vary` names

    def is_for(self, headers):
        return all(headers.get(name, "") == value for name, value in self.negotiated.items())

    def is_fresh(self, now):
        """RFC 9111, section 4.2: the lifetime is `max-age`, and the reply came with an age of `Age` or since `Date`.

        Browsers take the larger one. `Date`, which gunicorn adds, is the beginning of a second.
        """
        lifetime = re.search(r"\bmax-age=(\d+)", self.headers.get("Cache-Control", ""))
        current_age = max(int(self.headers.get("Age", 0)), self.at - int(self.at)) + now - self.at
        return lifetime is not None and int(lifetime[1]) > current_age


class BrowserCache:
    """Answers from what it keeps while that is fresh, else asks the gateway, with the `ETag` that it has."""

    def __init__(self, client, clock):
        self._client = client
        self._clock = clock
        self._stored = {}
        self.asked = []  # (Unix seconds, status) of each request that reached the gateway

    def get(self, url, **headers):
        now = self._clock.timestamp()
        kept = next((each for each in self._stored.get(url, ()) if each.is_for(headers)), None)
        if kept is not None and kept.is_fresh(now):
            return kept
        condition = {"If-None-Match": kept.headers["ETag"]} if kept is not None and "ETag" in kept.headers else {}
        reply = self._client.get(url, headers=headers | condition)
        self.asked.append((now, reply.status_code))
        if reply.status_code == 304:
            kept.headers |= dict(reply.headers)
            kept.at = now
            return kept
        # As some caches do, this one looks at one line of `Vary` only.
        names = [name for name in reply.headers.get("Vary", "").split(", ") if name]
        negotiated = {name: headers.get(name, "") for name in names}
        new = Stored(reply.status_code, dict(reply.headers), reply.get_data(), now, negotiated)
        if "no-store" not in new.headers["Cache-Control"]:
            others = [each for each in self._stored.get(url, ()) if each is not kept]
            self._stored[url] = [*others, new]
        return new
