"""Ports of this machine: which one is free, and whether a program answers on one."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

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
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
