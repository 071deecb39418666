"""Ports of this machine: which one is free, and whether a program answers on one."""

from __future__ import annotations

import secrets
import socket
import urllib.error
import urllib.request
from contextlib import suppress
from itertools import count

# Below those that the system takes for connections: one of these may be taken again before a program listens on it.
PORTS = range(12_000, 32_000)
_numbers = count(secrets.randbelow(len(PORTS)))  # Processes begin at different ones.

# A proxy of the environment must not stand between two programs of this machine.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    """Return whether a URL of this machine answers with success."""
    try:
        with _opener.open(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """Return a port of this machine on which nothing listens, and which this process was not given of late."""
    for _ in PORTS:
        port = PORTS[next(_numbers) % len(PORTS)]
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"No port from {PORTS[0]} to {PORTS[-1]} is free.")
