"""The address of a caller, also of one behind a proxy on this machine."""

from __future__ import annotations

from ipaddress import ip_address

from routes.access import is_this_machine


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
