"""The address of a caller, also of one behind a proxy on this machine, and the network that counts as one caller."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

from routes.access import is_this_machine

NETWORK = 64  # bits of an IPv6 address that count: one customer of a provider has all addresses of such a network


def caller_of(peer: str, forwarded_for: str) -> str:
    """Return the address of a caller, for the log: that of the connection, or what a proxy on this machine says.

    Any caller can send X-Forwarded-For, so only a peer on loopback is believed, and of the list only the last address:
    the one that the proxy itself has added.
    """
    if not forwarded_for:
        return peer
    last = forwarded_for.rpartition(",")[2].strip()
    try:
        ip_address(last)
    except ValueError:
        return peer
    return last if is_this_machine(peer) else peer


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """Return the network of an IPv6 address, or any other address itself: what the limit of requests counts."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed.packed, NETWORK), strict=False))
    return address
