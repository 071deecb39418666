"""Posts that several accounts publish together: the owner's, with partners who accepted the invitation."""

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from simulator.world.accounts import Account, Accounts
from simulator.world.days import day_of
from simulator.world.draw import digits, draw
from simulator.world.posts import Post, posts_of

NEIGHBOURS = 3  # Partners are the next accounts in the list, so that what an account takes part in is found quickly.
SHARED = 120  # posts of a thousand that have partners
JOINS = 0.6  # How often each neighbour takes part.
REMOVED, REMOVED_AFTER = 0.1, 30 * 86_400  # How many partners the owner removes again, and after how many seconds.
PENDING = 0.2  # How many posts with partners have one more invitation that is not answered.


@dataclass(frozen=True)
class Partner:
    """An account that was invited to a post."""

    account: Account
    is_accepted: bool = True
    until: int | None = None  # when the owner removes it, in Unix seconds

    def is_in(self, now: float) -> bool:
        """Return whether the account takes part at a moment."""
        return self.is_accepted and (self.until is None or now < self.until)


class Collaborations:
    """Who takes part in whose posts."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._reach = min(NEIGHBOURS, accounts.count - 1)
        self._lock = threading.Lock()
        self._numbers: dict[Account, tuple[int, list[int]]] = {}  # up to which number they are known, and they
        self.of = lru_cache(maxsize=4096)(self._of)

    def partners(self, post: Post) -> tuple[Partner, ...]:
        """Return the accounts that were invited to a post, those who have not answered included."""
        owner = post.account
        if not self._is_shared(owner, post.number) or post.media_product_type not in ("FEED", "REELS"):
            return ()
        chance = draw("partners", owner.seed, owner.index, post.number)
        neighbours = [account for account in self._neighbours(owner, 1) if account.created <= day_of(post.timestamp)]
        joining = [account for account in neighbours if chance.chance(JOINS)] or neighbours[:1]
        partners = [
            Partner(account, until=post.timestamp + REMOVED_AFTER if chance.chance(REMOVED) else None)
            for account in joining
        ]
        others = [account for account in neighbours if account not in joining]
        if others and chance.chance(PENDING):
            partners.append(Partner(others[0], is_accepted=False))
        return tuple(partners)

    def numbers(self, owner: Account, end: int) -> list[int]:
        """Return which of an account's first `end` posts have partners."""
        with self._lock:
            known, numbers = self._numbers.get(owner, (0, []))
            if known < end:
                numbers = [*numbers, *(number for number in range(known, end) if self._is_shared(owner, number))]
                self._numbers[owner] = (end, numbers)
        return numbers[: bisect_left(numbers, end)]

    def owners(self, account: Account) -> list[Account]:
        """Return the accounts that may invite an account."""
        return list(self._neighbours(account, -1))

    def _of(self, account: Account) -> "SharedPosts":
        return SharedPosts(self, account)

    def _neighbours(self, account: Account, step: int) -> Iterator[Account]:
        if account.index < self._accounts.count:
            for distance in range(1, self._reach + 1):
                yield self._accounts.at((account.index + step * distance) % self._accounts.count)

    def _is_shared(self, owner: Account, number: int) -> bool:
        return int(digits(3, "collaboration", owner.seed, owner.index, number)) < SHARED


@lru_cache(maxsize=64)
def collaborations_of(accounts: Accounts) -> Collaborations:
    """Return who takes part in whose posts among some accounts, one object for all who ask."""
    return Collaborations(accounts)


class SharedPosts:
    """The posts of others that an account was accepted for, numbered from the first; also those it was removed from."""

    def __init__(self, collaborations: Collaborations, account: Account) -> None:
        self.account = account
        self._collaborations = collaborations
        self._known: tuple[tuple[int, ...], list[Post]] = ((), [])

    def published(self, moment: float) -> int:
        """Return how many there were at a moment."""
        return bisect_right([post.timestamp for post in self._until(moment)], moment)

    def numbered(self, number: int) -> Post:
        """Return one by its number, which must have been published."""
        return self._known[1][number]

    def identified(self, media_id: str, now: float) -> Post | None:
        """Return one by its id, while the account takes part in it."""
        found = (post for post in self._until(now) if post.id == media_id)
        return next((post for post in found if self.takes_part(post, now)), None)

    def takes_part(self, post: Post, now: float) -> bool:
        """Return whether the owner has not removed the account from a post."""
        partners = self._collaborations.partners(post)
        return any(partner.account is self.account and partner.is_in(now) for partner in partners)

    def _until(self, moment: float) -> list[Post]:
        owners = self._collaborations.owners(self.account)
        ends = tuple(posts_of(owner).published(moment) for owner in owners)
        known, posts = self._known
        if any(end > before for end, before in zip(ends, known or [-1] * len(ends), strict=True)):
            posts = sorted(self._accepted(owners, ends), key=lambda post: (post.timestamp, post.id))
            self._known = (ends, posts)
        return posts

    def _accepted(self, owners: list[Account], ends: tuple[int, ...]) -> Iterator[Post]:
        for owner, end in zip(owners, ends, strict=True):
            for number in self._collaborations.numbers(owner, end):
                post = posts_of(owner).numbered(number)
                partners = self._collaborations.partners(post)
                if any(partner.account is self.account and partner.is_accepted for partner in partners):
                    yield post
