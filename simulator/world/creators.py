"""Creators: public accounts that Modash knows, each invented from its handle."""

import re
import threading
from dataclasses import dataclass, replace
from functools import lru_cache

from simulator.world.accounts import Accounts
from simulator.world.draw import Draw, digits, draw

HANDLE = re.compile(r"[a-z0-9._]{1,30}")
NUMERIC = re.compile(r"\d{5,20}")
ANALYSED = 30  # items of each block


@dataclass(frozen=True)
class Item:
    """One analysed post or reel; hidden likes are None."""

    likes: int | None
    comments: int
    views: int


@dataclass(frozen=True)
class Creator:
    """A creator with the newest posts and reels, newest first."""

    handle: str
    id: str
    followers: int
    posts: tuple[Item, ...]
    reels: tuple[Item, ...]
    posts_per_day: float
    reels_per_day: float


class Creators:
    """All creators; by its numeric id a creator is found once its handle was named, or if it is one of the accounts."""

    def __init__(self, seed: int, accounts: Accounts) -> None:
        self._seed = seed
        self._accounts = accounts
        self._by_id: dict[str, str] = {}
        self._lock = threading.Lock()

    def handle_of(self, text: str) -> str | None:
        """Return the handle that a handle, @handle or numeric id stands for, or None if it is none of them."""
        handle = text.strip().removeprefix("@").lower()
        if not HANDLE.fullmatch(handle):
            return None
        if NUMERIC.fullmatch(handle):
            account = self._accounts.by_id(handle)
            return account.username if account else self._by_id.get(handle, handle)
        with self._lock:
            self._by_id[self._id(handle)] = handle
        return handle

    def named(self, handle: str) -> Creator:
        """Return the creator of a handle."""
        account = self._accounts.by_username(handle)
        first = _creator(self._seed, account.given_name if account else handle, self._id(handle))
        return replace(first, handle=handle)  # Another name does not make another creator.

    def _id(self, handle: str) -> str:
        account = self._accounts.by_username(handle)
        if account:
            return account.id
        return handle if NUMERIC.fullmatch(handle) else f"2{digits(9, 'creator', self._seed, handle)}"


@lru_cache(maxsize=1024)
def _creator(seed: int, handle: str, creator_id: str) -> Creator:
    chance = draw("creator", seed, handle)
    followers = int(10 ** chance.uniform(3.5, 6.5))
    posts = chance.randint(5, 11) if handle.startswith("short.") else ANALYSED
    reels = 0 if handle.startswith("noreels.") else posts
    hidden = chance.choice((0, 0, 0, 0.1))
    return Creator(
        handle=handle,
        id=creator_id,
        followers=followers,
        posts=_items(draw("posts", seed, handle), posts, followers * 0.02, hidden),
        reels=_items(draw("reels", seed, handle), reels, followers * 0.03, hidden),
        posts_per_day=round(chance.uniform(0.1, 2.0), 2),
        reels_per_day=round(chance.uniform(0.1, 1.5), 2) if reels else 0.0,
    )


def _items(chance: Draw, count: int, likes: float, hidden: float) -> tuple[Item, ...]:
    items = []
    for _ in range(count):
        liked = chance.count(likes * chance.spread(0.5))
        seen = None if chance.chance(hidden) else liked
        items.append(Item(seen, chance.count(liked * 0.03), int(liked * chance.uniform(4, 12))))
    return tuple(items)
