"""Checks whether a program of this machine answers."""

from __future__ import annotations

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
