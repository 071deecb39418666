"""The posts of an account, numbered from its first, and how their counts grow."""

import math
import re
import threading
from bisect import bisect_right
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

from simulator.world.accounts import BEGINNING, Account
from simulator.world.captions import caption
from simulator.world.days import DAY, HOUR, day_of, midnight
from simulator.world.draw import digits, draw
from simulator.world.history import history_of

MEDIA_ID = re.compile(r"1([5-8])(\d{5})(\d{4})(\d{2})\d\d{3}")  # 18 begins the first hundred of a day, 17 the next
SHAPES = (  # media_product_type, media_type, how often
    ("FEED", "IMAGE", 0.38),
    ("FEED", "VIDEO", 0.07),
    ("FEED", "CAROUSEL_ALBUM", 0.2),
    ("REELS", "VIDEO", 0.32),
    ("AD", "IMAGE", 0.03),
)
GROWTH = 36 * HOUR  # After so long a post has about two thirds of what it will ever get.
MUTED = 1 / 12  # How many videos have no media_url, as those with flagged music.
RATES = {"like_count": 0.09, "comments_count": 0.007, "saved": 0.012, "shares": 0.01, "reposts": 0.002}  # of the reach
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True, eq=False)
class Post:
    """One published post; `final` is what its counts grow towards."""

    account: Account
    number: int
    id: str
    timestamp: int
    media_type: str
    media_product_type: str
    caption: str | None
    likes_hidden: bool
    muted: bool
    final: dict[str, int]
    children: tuple[str, ...]

    @cached_property
    def shortcode(self) -> str:
        """The code in the permalink."""
        return shortcode(self.id)

    @cached_property
    def permalink(self) -> str:
        """The address on instagram.com."""
        place = "reel" if self.media_product_type == "REELS" else "p"
        return f"https://www.instagram.com/{place}/{self.shortcode}/"

    def counts(self, now: float) -> dict[str, int]:
        """Return the counts at a moment; they only grow, ever more slowly."""
        share = self.share(now)
        return {name: round(value * share) for name, value in self.final.items()}

    def share(self, now: float) -> float:
        """Return which part of its final counts the post has at a moment."""
        return 1 - math.exp(-max(0.0, now - self.timestamp) / GROWTH)


class Posts:
    """The posts of one account, created on first use."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self._before = [0]  # How many posts were published before each day from the account's beginning on.
        self._lock = threading.Lock()

    def published(self, moment: float) -> int:
        """Return how many posts there were at a moment; they have the numbers below that."""
        day = day_of(moment)
        if day < self.account.created:
            return 0
        return self._before_day(day) + bisect_right(self.times(day), moment)

    def numbered(self, number: int) -> Post:
        """Return a post by its number, which must have been published."""
        day, place = self.place(number)
        return _post(self.account, day, place, number)

    def place(self, number: int) -> tuple[date, int]:
        """Return the day on which a post was published, and its place among those of the day."""
        days = bisect_right(self._before, number) - 1
        return self.account.created + days * DAY, number - self._before[days]

    def at_place(self, day: date, place: int, now: float) -> int | None:
        """Return the number of the post at a place of a day, if it was published."""
        number = self._before_day(day) + place if self.account.created <= day <= day_of(now) else -1
        return number if 0 <= number < self.published(now) else None

    def times(self, day: date) -> tuple[int, ...]:
        """Return when the posts of a day are published."""
        return _times(self.account, day)

    def identified(self, media_id: str, now: float) -> Post | None:
        """Return a published post by its id."""
        match = MEDIA_ID.fullmatch(media_id)
        if not match or int(match[2]) != self.account.index:
            return None
        day = BEGINNING + int(match[3]) * DAY
        number = self.at_place(day, (8 - int(match[1])) * 100 + int(match[4]), now)
        post = None if number is None else self.numbered(number)
        return post if post and media_id in (post.id, *post.children) else None

    def _before_day(self, day: date) -> int:
        place = (day - self.account.created) // DAY
        if place >= len(self._before):
            with self._lock:
                for missing in range(len(self._before), place + 1):
                    times = self.times(self.account.created + (missing - 1) * DAY)
                    self._before.append(self._before[-1] + len(times))
        return self._before[place]


@lru_cache(maxsize=4096)
def posts_of(account: Account) -> Posts:
    """Return the posts of an account, one object for all who ask."""
    return Posts(account)


def shortcode(media_id: str) -> str:
    """Return the code that stands for a media id in links."""
    number, code = int(media_id), ""
    while number:
        number, place = divmod(number, len(ALPHABET))
        code = ALPHABET[place] + code
    return code


@lru_cache(maxsize=16384)
def _times(account: Account, day: date) -> tuple[int, ...]:
    chance = draw("posts", account.seed, account.index, day.toordinal())
    hours = (chance.triangular(6, 22.9, 17) for _ in range(chance.count(account.kind.posts)))
    return tuple(sorted(midnight(day) + int(hour * HOUR) for hour in hours))


@lru_cache(maxsize=16384)
def _post(account: Account, day: date, place: int, number: int) -> Post:
    chance = draw("post", account.seed, account.index, day.toordinal(), place)
    product, shape, _ = chance.choices(SHAPES, [often for *_, often in SHAPES])[0]
    followers = history_of(account).followers(midnight(day))
    reach = chance.count((followers + 40) * account.reach_rate * chance.spread(0.6) * (2 if product == "REELS" else 1))
    final = {name: chance.count(reach * rate) for name, rate in RATES.items()}
    children = chance.randint(2, 6) if shape == "CAROUSEL_ALBUM" else 0
    return Post(
        account=account,
        number=number,
        id=_media_id(account, day, place, 0),
        timestamp=_times(account, day)[place],
        media_type=shape,
        media_product_type=product,
        caption=caption(chance, odd=account.kind.odd_texts),
        likes_hidden=chance.chance(account.kind.hidden_likes),
        muted=shape == "VIDEO" and chance.chance(MUTED),
        final={**final, "reach": reach, "views": int(reach * chance.uniform(1.2, 1.9))},
        children=tuple(_media_id(account, day, place, child) for child in range(1, children + 1)),
    )


def _media_id(account: Account, day: date, place: int, child: int) -> str:
    since = (day - BEGINNING) // DAY
    hundred, rest = divmod(place, 100)
    return f"1{8 - hundred}{account.index:05d}{since:04d}{rest:02d}{child}{digits(3, account.seed, day, place, child)}"
