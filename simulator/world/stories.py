"""The stories of an account: each lives for a day, and its counts grow until then."""

import calendar
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache

from simulator.world.accounts import BEGINNING, Account
from simulator.world.days import DAY, HOUR, midnight
from simulator.world.draw import Draw, apportion, digits, draw
from simulator.world.history import history_of
from simulator.world.posts import Post, Posts

LIFE = 24 * HOUR
GROWTH = 6 * HOUR  # After so long a story has about two thirds of its viewers.
FEWEST_VIEWERS = 5  # Below so many, Instagram shows no insights.
FEW_VIEWERS = 0.06  # How many stories never get more.

# The sandbox account publishes these besides, so that every example of a story works at every hour. Seconds of a UTC
# day, within the Pacific day of the same date: a Pacific hour would leave a gap on the day that has 25. There are two
# because a story has no insights in its first minutes; then the other one is 12 hours old.
ALWAYS_LIVE = (16 * HOUR, 28 * HOUR)

STORY_ID = re.compile(r"18(\d{5})(\d{4})(\d{2})9\d{3}")  # The place of an album's child is 9, which no album reaches.
SHAPES = {"IMAGE": 0.6, "VIDEO": 0.4}
NAVIGATION = {"tap_forward": 0.74, "tap_back": 0.05, "tap_exit": 0.13, "swipe_forward": 0.08}
ACTIONS = {"bio_link_clicked": 0.5, "direction": 0.15, "call": 0.1, "email": 0.1, "text": 0.05, "other": 0.1}
RATES = {"like_count": 0.03, "replies": 0.012, "shares": 0.008, "reposts": 0.002, "follows": 0.002}  # of the reach
VISIT_RATE, ACTION_RATE, LINK_RATE = 0.03, 0.2, 0.015
LINKED = 0.4  # How many stories have a link sticker.
INTERACTIONS = ("like_count", "comments_count", "saved", "shares")

# Replies to stories are not counted where the law on private messages forbids it: Meta's page names these two.
REGIONS = {"EUROPE": 0.2, "JAPAN": 0.1}
WITHOUT_REPLIES = frozenset(REGIONS)
ELSEWHERE = "ELSEWHERE"


@dataclass(frozen=True, eq=False)
class Story(Post):
    """One published story; from its end on its counts are `final`."""

    @property
    def expires(self) -> int:
        """The moment from which it is gone."""
        return self.timestamp + LIFE

    def is_live(self, now: float) -> bool:
        """Return whether it can still be seen."""
        return self.timestamp <= now < self.expires

    @cached_property
    def permalink(self) -> str:
        """The address on instagram.com."""
        return f"https://www.instagram.com/stories/{self.account.username}/{digits(19, 'ig_id', self.id)}"

    def counts(self, now: float) -> dict[str, int]:
        """Return the counts at a moment, with the buckets of `navigation` and `profile_activity` as counts too."""
        share = self.share(now)
        counts = {name: round(value * share) for name, value in self.final.items()}
        return {
            **counts,
            "navigation": sum(counts[name] for name in NAVIGATION),
            "profile_activity": sum(counts[name] for name in ACTIONS),
            "total_interactions": sum(counts[name] for name in INTERACTIONS),
        }

    def share(self, now: float) -> float:
        """Return which part of its final counts the story has at a moment."""
        age = max(0.0, now - self.timestamp)
        return min(1.0, (1 - math.exp(-age / GROWTH)) / (1 - math.exp(-LIFE / GROWTH)))

    def buckets(self, metric: str, now: float) -> Mapping[str, int]:
        """Return the parts of `navigation` or `profile_activity` at a moment."""
        counts = self.counts(now)
        return {name: counts[name] for name in BREAKDOWNS[metric]}


BREAKDOWNS: Mapping[str, Mapping[str, float]] = {"navigation": NAVIGATION, "profile_activity": ACTIONS}


class Stories(Posts):
    """The stories of one account, created on first use, numbered from the first."""

    def live(self, now: float) -> range:
        """Return the numbers of the stories that can be seen at a moment."""
        return range(self.published(now - LIFE), self.published(now))

    def identified(self, media_id: str, now: float) -> Story | None:
        """Return a published story by its id, also one that is over."""
        match = STORY_ID.fullmatch(media_id)
        if not match or int(match[1]) != self.account.index:
            return None
        number = self.at_place(BEGINNING + int(match[2]) * DAY, int(match[3]), now)
        story = None if number is None else self.numbered(number)
        return story if story and story.id == media_id else None

    def numbered(self, number: int) -> Story:
        """Return a story by its number, which must have been published."""
        day, place = self.place(number)
        return _story(self.account, day, place, number)

    def times(self, day: date) -> tuple[int, ...]:
        """Return when the stories of a day are published."""
        return _times(self.account, day)


@lru_cache(maxsize=4096)
def stories_of(account: Account) -> Stories:
    """Return the stories of an account, one object for all who ask."""
    return Stories(account)


@lru_cache(maxsize=4096)
def region_of(account: Account) -> str:
    """Return where an account is at home, as far as the counting of replies goes; the sandbox account is elsewhere."""
    chance = draw("region", account.seed, account.index).random() if account.index else 1.0
    for region, share in REGIONS.items():
        if chance < share:
            return region
        chance -= share
    return ELSEWHERE


@lru_cache(maxsize=16384)
def _times(account: Account, day: date) -> tuple[int, ...]:
    chance = draw("stories", account.seed, account.index, day.toordinal())
    hours = (chance.triangular(6, 22.9, 12) for _ in range(chance.count(account.kind.stories)))
    chosen = (midnight(day) + int(hour * HOUR) for hour in hours)
    return tuple(sorted((*chosen, *_always_live(account, day))))


def _always_live(account: Account, day: date) -> tuple[int, ...]:
    """Return when the sandbox account publishes whatever chance says; no other account does."""
    start = calendar.timegm(day.timetuple())
    return () if account.index else tuple(start + second for second in ALWAYS_LIVE)


@lru_cache(maxsize=16384)
def _story(account: Account, day: date, place: int, number: int) -> Story:
    chance = draw("story", account.seed, account.index, day.toordinal(), place)
    since = (day - BEGINNING).days
    tail = digits(3, account.seed, day, place, "story")
    timestamp = _times(account, day)[place]
    return Story(
        account=account,
        number=number,
        id=f"18{account.index:05d}{since:04d}{place:02d}9{tail}",
        timestamp=timestamp,
        media_type=chance.choices([*SHAPES], [*SHAPES.values()])[0],
        media_product_type="STORY",
        caption=None,
        likes_hidden=False,
        muted=False,
        final=_final(account, day, chance, may_be_few=timestamp not in _always_live(account, day)),
        children=(),
    )


def _final(account: Account, day: date, chance: Draw, *, may_be_few: bool) -> dict[str, int]:
    followers = history_of(account).followers(midnight(day))
    usual = (followers + 40) * account.reach_rate * 0.4 * chance.spread(0.4)
    few = chance.chance(FEW_VIEWERS) and may_be_few
    reach = chance.randint(0, FEWEST_VIEWERS - 1) if few else chance.count(usual)
    views = int(reach * chance.uniform(1.0, 1.3))
    visits = chance.count(reach * VISIT_RATE)
    final = {name: chance.count(reach * rate) for name, rate in RATES.items()}
    if region_of(account) in WITHOUT_REPLIES:
        final["replies"] = 0
    return {
        "reach": reach,
        "views": views,
        **final,
        "comments_count": 0,
        "saved": 0,
        "profile_visits": visits,
        "link_clicks": chance.count(reach * LINK_RATE) if chance.chance(LINKED) else 0,
        **apportion(chance.count(views * 0.97), NAVIGATION),
        **apportion(chance.count(visits * ACTION_RATE), ACTIONS),
    }
