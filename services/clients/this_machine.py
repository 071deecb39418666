"""Whether a URL leads to this machine: such a call needs no TLS and goes past every proxy."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})


def leads_to_this_machine(url: str) -> bool:
    """Return whether the host of a URL is this machine, by its usual names."""
    return urlsplit(url).hostname in LOOPBACK_HOSTS
