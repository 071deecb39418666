"""How callers may name a creator, and the one name that each of these ways comes to."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HANDLE = re.compile(r"[A-Za-z0-9._]{1,30}")
HOSTS = ("instagram.com", "instagr.am")
PATHS_OF_NO_CREATOR = frozenset(
    {
        "about",
        "accounts",
        "api",
        "direct",
        "developer",
        "explore",
        "legal",
        "p",
        "reel",
        "reels",
        "stories",
        "tv",
        "web",
    }
)
ACCEPTED = "a handle (nasa), @handle, numeric id, or link to a profile (https://www.instagram.com/nasa/)"


def creator_name(text: str) -> str:
    """Return the handle in lower case, or the numeric id, of whatever names a creator.

    A handle of digits only keeps its @, which tells it from an id. Raises `ValueError` for anything else.
    """
    text = text.strip()
    name = _from_link(text) if "/" in text else text
    bare = name.removeprefix("@")
    if not HANDLE.fullmatch(bare):
        raise ValueError(f"it must be {ACCEPTED}")
    return name if bare.isdigit() else bare.lower()


def _from_link(text: str) -> str:
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        host = (parts.hostname or "").lower()
    except ValueError:
        raise ValueError(f"it must be {ACCEPTED}") from None
    segments = [segment for segment in parts.path.split("/") if segment]
    if host.removeprefix("www.").removeprefix("m.") not in HOSTS or not segments:
        raise ValueError(f"it must be {ACCEPTED}")
    if segments[0] == "_u":
        segments.pop(0)
    if not segments or segments[0].lower() in PATHS_OF_NO_CREATOR:
        raise ValueError(f"the link leads to no profile; it must be {ACCEPTED}")
    handle = segments[0].removeprefix("@")
    return f"@{handle}" if handle.isdigit() else handle
