"""The accounts: their kinds, ids and tokens."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache

from simulator.world.account_kinds import EXTRAS, KINDS, Kind
from simulator.world.captions import ODD_NAME
from simulator.world.draw import digits, draw
from simulator.world.grants import Grants
from simulator.world.logins import Logins

BEGINNING = date(2022, 4, 1)  # Every history is walked from here, so that moving the clock leaves the past as it was.
MOST_ACCOUNTS = 99_900  # An id has room for five digits of index; the last hundred are for the extras.
EXTRA_INDICES = range(MOST_ACCOUNTS, MOST_ACCOUNTS + len(EXTRAS))
FRESH_AGE = (4, 18)  # days

APP_ID = "200000000000000"
APP_SECRET = "sandbox-app-secret"  # noqa: S105 - invented, and published on purpose
INSTAGRAM_APP_ID = "200000000000001"  # The Instagram login has an app of its own, with its own secret.
INSTAGRAM_APP_SECRET = "sandbox-instagram-app-secret"  # noqa: S105 - as above
MODASH_KEY = "sandbox-modash-key"
SANDBOX_USER_TOKEN = "EAASANDBOXUSERTOKEN"  # noqa: S105 - as above
SANDBOX_PAGE_TOKEN = "EAASANDBOXPAGETOKEN"  # noqa: S105 - as above
SANDBOX_INSTAGRAM_TOKEN = "IGAASANDBOXUSERTOKEN"  # noqa: S105 - as above

IG_ID = re.compile(r"178414(\d{5})\d{6}")
PAGE_ID = re.compile(r"1000(\d{5})\d{6}")
TOKEN = re.compile(r"EAASIM(?:PAGE)?(\d{5})\d+")
INSTAGRAM_TOKEN = re.compile(r"IGAASIM(\d{5})\d+")

FIRST_WORDS = (
    *("amber", "bright", "calm", "daily", "early", "fair", "golden", "happy", "ivory", "jolly"),
    *("kind", "little", "merry", "noble", "olive", "proud", "quick", "rustic", "sunny", "tiny"),
)
SECOND_WORDS = (
    *("atelier", "bikes", "cafe", "diner", "evening", "florist", "garden", "hikes", "studio", "kitchen"),
    *("lab", "market", "notes", "outdoors", "press", "records", "shoes", "travel", "vintage", "yoga"),
)


@dataclass(frozen=True, eq=False)
class Account:
    """One Instagram professional account with the Facebook user and the Page behind it."""

    seed: int
    index: int
    kind: Kind
    created: date
    names: Mapping[int, str]  # by index: of those that have another name than the one they were given

    @cached_property
    def id(self) -> str:
        """The Instagram id; the sandbox account's is all zeros."""
        return f"178414{self.index:05d}{self._tail('id')}"

    @cached_property
    def page_id(self) -> str:
        """The id of the linked Facebook Page."""
        return f"1000{self.index:05d}{self._tail('page')}"

    @cached_property
    def user_id(self) -> str:
        """The id of the Facebook user who granted access."""
        return f"1220{self.index:05d}{self._tail('user')}"

    @cached_property
    def token(self) -> str:
        """The Facebook user token."""
        return (
            f"EAASIM{self.index:05d}{digits(24, 'token', self.seed, self.index)}" if self.index else SANDBOX_USER_TOKEN
        )

    @cached_property
    def page_token(self) -> str:
        """The Page token."""
        tail = digits(20, "page token", self.seed, self.index)
        return f"EAASIMPAGE{self.index:05d}{tail}" if self.index else SANDBOX_PAGE_TOKEN

    @cached_property
    def instagram_token(self) -> str:
        """The token of an Instagram login, as it was issued at first."""
        tail = digits(24, "instagram token", self.seed, self.index)
        return f"IGAASIM{self.index:05d}{tail}" if self.index else SANDBOX_INSTAGRAM_TOKEN

    @cached_property
    def scoped_id(self) -> str:
        """The id by which the app alone knows an account that came by an Instagram login."""
        return f"2600{self.index:05d}{digits(8, 'scoped', self.seed, self.index)}"

    @property
    def username(self) -> str:
        """The handle."""
        return self.names.get(self.index, self.given_name)

    @cached_property
    def given_name(self) -> str:
        """The handle that the account began with."""
        if not self.index:
            return "corner.bakery"
        if self.index >= MOST_ACCOUNTS:
            return EXTRAS[self.index - MOST_ACCOUNTS][0]
        words = draw("username", self.seed, self.index)
        return f"{words.choice(FIRST_WORDS)}.{words.choice(SECOND_WORDS)}{self.index}"

    @cached_property
    def name(self) -> str:
        """The name on the profile."""
        if self.kind.odd_texts:
            return ODD_NAME
        return self.given_name.rstrip("0123456789").replace(".", " ").title() or self.given_name

    @cached_property
    def uniqueness(self) -> float:
        """How much of a sum of daily unique people is new people; below 0.5 two days never add up to their sum."""
        return round(draw("uniqueness", self.seed, self.index).uniform(0.2, 0.49), 3)

    @cached_property
    def reach_rate(self) -> float:
        """The people reached on a usual day, for each follower."""
        return draw("reach rate", self.seed, self.index).uniform(*self.kind.reach)

    def _tail(self, purpose: str) -> str:
        return digits(6, purpose, self.seed, self.index) if self.index else "000000"


class Accounts:
    """All accounts, created on first use."""

    def __init__(self, seed: int, count: int, started: date) -> None:
        self.seed, self.count, self._started = seed, count, started
        self.at = lru_cache(maxsize=None)(self._make)
        self._names: dict[int, str] = {}
        self.logins = Logins()
        self.grants = Grants(seed)

    def __iter__(self) -> Iterator[Account]:
        return map(self.at, itertools.chain(range(self.count), EXTRA_INDICES))

    def by_id(self, ig_id: str) -> Account | None:
        """Find an account by its Instagram id."""
        found = self._find(IG_ID, ig_id)
        return found if found and found.id == ig_id else None

    def by_token(self, token: str) -> Account | None:
        """Find the account of a user token or Page token."""
        if token in (SANDBOX_USER_TOKEN, SANDBOX_PAGE_TOKEN):
            return self.at(0)
        found = self._find(TOKEN, token)
        return found if found and token in (found.token, found.page_token) else None

    def by_instagram_token(self, token: str) -> Account | None:
        """Find the account of the token that an Instagram login gave at first."""
        found = self.at(0) if token == SANDBOX_INSTAGRAM_TOKEN else self._find(INSTAGRAM_TOKEN, token)
        return found if found and found.instagram_token == token else None

    def by_username(self, username: str) -> Account | None:
        """Find an account by its handle."""
        tail = re.search(r"\d{0,5}$", username)
        likely = (*self._names, int(tail[0]) if tail and tail[0] else 0, *EXTRA_INDICES)
        found = (self.by_index(index) for index in likely)
        return next((account for account in found if account and account.username == username), None)

    def rename(self, account: Account, username: str) -> None:
        """Give an account another handle; the one it had leads nowhere from now on."""
        self._names[account.index] = username

    def reset(self) -> None:
        """Give every account the handle that it began with, and every login the state that it began with."""
        self._names.clear()
        self.logins.reset()
        self.grants.reset()

    def by_index(self, index: int) -> Account | None:
        """Find an account by its place in the list."""
        return self.at(index) if 0 <= index < self.count or index in EXTRA_INDICES else None

    def special(self, given_name: str) -> Account:
        """Return an account that is there whatever the number of accounts, by the handle that it began with."""
        extras = [name for name, _ in EXTRAS]
        return self.at(MOST_ACCOUNTS + extras.index(given_name) if given_name in extras else 0)

    def _find(self, pattern: re.Pattern[str], text: str) -> Account | None:
        match = pattern.fullmatch(text)
        return self.by_index(int(match[1])) if match else None

    def _make(self, index: int) -> Account:
        kind = KINDS[index % len(KINDS)] if index < MOST_ACCOUNTS else EXTRAS[index - MOST_ACCOUNTS][1]
        if kind.name != "fresh":
            return Account(self.seed, index, kind, BEGINNING, self._names)
        age = draw("age", self.seed, index).randint(*FRESH_AGE)
        return Account(self.seed, index, kind, self._started - timedelta(days=age), self._names)
