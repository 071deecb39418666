"""What the Graph API client takes and returns, and which fields it requests."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

MEDIA_PAGE = 100  # posts; the largest page seen in production use. The provider may return shorter ones.
MEDIA_FIELDS = (
    "id,caption,comments_count,like_count,media_product_type,media_type,permalink,timestamp"  # All that a list needs.
)
COLLABORATIVE_FIELDS = f"{MEDIA_FIELDS},owner{{id,username}}"
PROFILE_FIELDS = "username,followers_count,follows_count,media_count"

ID = re.compile(r"\d{1,30}", re.ASCII)  # of an account, a page or a media
MAX_COUNT = 10**15  # A larger number is no count.

Item = Mapping[str, object]
Number = int | float


@dataclass(frozen=True)
class Account:
    """A professional account that granted us access: its id, the token to read it with, and that token's login.

    `page_id` is the page that it is linked to, if that is known; usage headers may name the account by it.
    """

    id: str
    token: str = field(repr=False)
    login: str = "facebook"
    page_id: str = ""


@dataclass(frozen=True)
class MediaPage:
    """Some posts, newest first; whether there are more; and the cursor to them, if one came."""

    posts: Sequence[Item]
    more: bool
    after: str | None


def token_of_page(shown: object, token: str) -> str:
    """Return the token of a page: its own where an answer has `shown` it, else the one with which the page was read.

    Where none is shown, that one may be the page's own already.
    """
    return shown if isinstance(shown, str) and shown else token


def id_of(value: object) -> str | None:
    """Return the id of an account or a page, or None for what is none; one that came as a number is the same id."""
    text = str(value) if isinstance(value, str | int) else ""
    return text if ID.fullmatch(text) else None


def media_id_of(item: Item) -> str | None:
    """Return the id of a listed object; an id that came as a number is the same id."""
    media_id = item.get("id")
    if isinstance(media_id, int) and not isinstance(media_id, bool):
        return str(media_id)
    return media_id if isinstance(media_id, str) and media_id else None


def as_number(value: object) -> Number | None:
    """Return a provider's value if it is a number that can count something, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= MAX_COUNT else None


def as_count(value: object) -> int | None:
    """Return a provider's value if it can be a count of something, else None."""
    number = as_number(value)
    return number if isinstance(number, int) else None


class JointAnswer(NamedTuple):
    """What an account has at the moment: its profile, as far as it was asked for, and its first page of posts.

    `stories` are its live stories, or only one of them. A list that is missing from the answer is None: empty, or not
    given.
    """

    profile: Item
    posts: MediaPage | None
    stories: MediaPage | None
