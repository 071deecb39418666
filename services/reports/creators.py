"""How callers may name a creator, and the one name that each of these ways becomes.

Each name may cost a report, so only what certainly names a creator is one. Links are checked against the known shapes
of links to a profile. A list of the other paths of Instagram would never be complete, and the first segment of a new
one (`/share/...`) would be paid for as a handle.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

HANDLE = re.compile(r"(?!\.*\Z)[A-Za-z0-9._]{1,30}")
CODE = re.compile(r"[A-Za-z0-9_-]{1,60}")  # of a post or reel
PRINTABLE = re.compile(r"[!-~]+")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):?//")
HOSTS = frozenset(
    prefix + host for host in ("instagram.com", "instagr.am") for prefix in ("", "www.", "m.", "mobile.", "web.")
)
APP_LINK = "_u"  # `/_u/<handle>` opens the profile in the app
# Pages of one profile: `/<handle>/<tab>`.
# fmt: off
TABS = frozenset({
    "channel", "embed", "feed", "followers", "following", "guides", "igtv", "live", "reels", "reposts", "saved",
    "tagged",
})
# fmt: on
MEDIA = frozenset({"p", "reel", "tv"})  # `/<handle>/p/<code>` is a post in its profile
# Paths of Instagram itself. None of them can be a handle, because its profile would have no address. The list holds
# only what is certain, for a handle on it could be asked for by its numeric id alone. So a dot decides nothing
# (`three.js` is a handle), but the files that every site has are on the list; and words are not on it under which
# Instagram itself has profiles (`creators`, `shop`).
# fmt: off
RESERVED = frozenset({
    "_u", "about", "accounts", "ajax", "api", "challenge", "developer", "developers", "direct", "directory",
    "download", "emails", "emailsignup", "explore", "favicon.ico", "graphql", "help", "igtv", "invites", "legal",
    "lite", "locations", "login", "logout", "manifest.json", "nametag", "oauth", "oembed", "p", "popular", "press",
    "privacy", "qr", "reel", "reels", "robots.txt", "s", "share", "signup", "sitemap.xml", "stories", "terms", "topics",
    "tv", "web", "your_activity",
})
# fmt: on
ACCEPTED = "a handle (nasa), @handle, numeric id, or link to a profile (https://www.instagram.com/nasa/)"


def creator_name(text: str) -> str:
    """Return the handle in lower case, or the numeric id, of any accepted name of a creator.

    An id has no leading zeros, so that it is one creator however it is written. A handle of digits only keeps its @,
    which distinguishes it from an id. Raises `ValueError` for anything else.
    """
    text = text.strip()
    if not PRINTABLE.fullmatch(text):
        raise ValueError(f"it must be {ACCEPTED}")
    is_link = "/" in text or text.lower().rstrip(".") in HOSTS
    name = _from_link(text) if is_link else text
    bare = name.removeprefix("@")
    if not HANDLE.fullmatch(bare):
        raise ValueError(f"it must be {ACCEPTED}")
    if bare.lower() in RESERVED:
        raise ValueError(f"{bare} is a path of Instagram, which no handle can be; it must be {ACCEPTED}")
    if not name.isdigit():
        return name if bare.isdigit() else bare.lower()
    if not name.strip("0"):
        raise ValueError(f"no id is 0; it must be {ACCEPTED}")
    return name.lstrip("0")


def _from_link(text: str) -> str:
    parts = _split(text)
    if parts is None or not _is_instagram(parts):
        raise ValueError(f"it is not a link to Instagram; it must be {ACCEPTED}")
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    handle = _handle(segments)
    if handle is None:
        raise ValueError(f"the link leads to no profile; it must be {ACCEPTED}")
    return f"@{handle}" if handle.isdigit() else handle


def _split(text: str) -> SplitResult | None:
    scheme = SCHEME.match(text)
    if scheme and scheme[1].lower() not in {"http", "https"}:
        return None
    without_scheme = text[scheme.end() :] if scheme else text.removeprefix("//")
    try:
        return urlsplit(f"https://{without_scheme}")
    except ValueError:
        return None


def _is_instagram(parts: SplitResult) -> bool:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return host.removesuffix(".") in HOSTS and port in {None, 80, 443} and "@" not in parts.netloc


def _handle(segments: list[str]) -> str | None:
    """Return the handle of the profile that a path leads to, or None."""
    match segments:
        case [handle]:
            pass
        case [first, handle] if first == APP_LINK:
            pass
        case [handle, tab] if tab.lower() in TABS:
            pass
        case [handle, kind, code] if kind.lower() in MEDIA and CODE.fullmatch(code):
            pass
        case _:
            return None
    handle = handle.removeprefix("@")
    return handle if HANDLE.fullmatch(handle) and handle.lower() not in RESERVED else None
