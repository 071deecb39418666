"""The numbers of one day, and of the reported share of a day."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from simulator.world.accounts import Account
from simulator.world.draw import Draw, apportion, draw
from simulator.world.followers import Flow

FOLLOW_TYPES = ("FOLLOWER", "NON_FOLLOWER")
BUTTONS = {"CALL": 0.3, "DIRECTION": 0.3, "EMAIL": 0.2, "TEXT": 0.1, "BOOK_NOW": 0.08, "UNDEFINED": 0.02}
INTERACTION_RATES = {"likes": 0.062, "comments": 0.006, "saves": 0.011, "shares": 0.009}  # for each person reached
WEEK = (0.92, 0.95, 1.0, 1.02, 1.08, 1.05, 0.98)  # Monday to Sunday
IDLE = 0.25  # How often one media product type has nothing on a day.

Buckets = Mapping[str, int]


@dataclass(frozen=True)
class Measures:
    """The raw numbers of one day, from which every metric and breakdown is derived."""

    reach: Buckets  # by follow type
    reach_cells: Buckets  # by "TYPE,FOLLOW_TYPE"; a person reached by two types is in two cells
    views: Buckets  # by media product type
    views_followers: int
    interactions: Mapping[str, Buckets]  # likes, comments, saves, shares by media product type
    replies: int
    reposts: int
    engaged: int
    taps: Buckets
    profile_views: int
    website_clicks: int
    flow: Flow

    def scaled(self, share: float) -> "Measures":
        """Return the day with only a share of it reported: no number grows, and all sums still hold."""
        if share >= 1:
            return self
        reach = _part(self.reach, share)
        views_followers, views = _scaled_views(self, share)
        return Measures(
            reach=reach,
            reach_cells={
                cell: min(reach[cell.partition(",")[2]], math.ceil(people * share))
                for cell, people in self.reach_cells.items()
            },
            views=views,
            views_followers=views_followers,
            interactions={name: _part(buckets, share) for name, buckets in self.interactions.items()},
            replies=int(self.replies * share),
            reposts=int(self.reposts * share),
            engaged=int(self.engaged * share),
            taps=_part(self.taps, share),
            profile_views=int(self.profile_views * share),
            website_clicks=int(self.website_clicks * share),
            flow=Flow(self.flow.before, int(self.flow.follows * share), int(self.flow.unfollows * share)),
        )


@lru_cache(maxsize=2048)
def measures(account: Account, day: date, flow: Flow) -> Measures:
    """Draw the numbers of one whole day."""
    chance = draw("day", account.seed, account.index, day.toordinal())
    if day < account.created or chance.chance(account.kind.zero_days):
        return Measures({}, {}, {}, 0, {}, 0, 0, 0, {}, 0, 0, flow)
    types = _active_types(account, chance)
    level = account.reach_rate * (flow.before + 40) * WEEK[day.weekday()] * chance.spread(0.3)
    loyal = chance.uniform(0.35, 0.65)
    reach = {
        "FOLLOWER": min(flow.before, chance.count(level * loyal)),
        "NON_FOLLOWER": chance.count(level * (1 - loyal)),
    }
    cells = _cells(reach, types)
    views = {kind: int(_people(cells, kind) * chance.uniform(1.2, 1.9)) for kind in types}
    people = sum(reach.values())
    interactions = {name: apportion(chance.count(people * rate), types) for name, rate in INTERACTION_RATES.items()}
    profile_views = chance.count(people * 0.05)
    replies, reposts = chance.count(_people(cells, "STORY") * 0.006), chance.count(people * 0.002)
    acts = replies + reposts + sum(sum(buckets.values()) for buckets in interactions.values())
    return Measures(
        reach=reach,
        reach_cells=cells,
        views=views,
        views_followers=apportion(sum(views.values()), reach).get("FOLLOWER", 0),
        interactions=interactions,
        replies=replies,
        reposts=reposts,
        engaged=min(people, int(acts * chance.uniform(0.6, 0.85))),
        taps=apportion(chance.count(profile_views * 0.12), BUTTONS),
        profile_views=profile_views,
        website_clicks=chance.count(profile_views * 0.08),
        flow=flow,
    )


def _active_types(account: Account, chance: Draw) -> dict[str, float]:
    kinds = account.kind.types
    active = {kind: weight * chance.spread(0.4) for kind, weight in kinds.items() if not chance.chance(IDLE)}
    return active or dict(kinds)


def _cells(reach: Buckets, types: Mapping[str, float]) -> dict[str, int]:
    whole = sum(types.values())
    return {
        f"{kind},{follow}": min(people, math.ceil(1.3 * people * weight / whole))
        for kind, weight in types.items()
        for follow, people in reach.items()
    }


def _people(cells: Buckets, kind: str) -> int:
    return sum(cells.get(f"{kind},{follow}", 0) for follow in FOLLOW_TYPES)


def _part(buckets: Buckets, share: float) -> dict[str, int]:
    return {name: int(value * share) for name, value in buckets.items()}


def _scaled_views(whole: Measures, share: float) -> tuple[int, dict[str, int]]:
    total = sum(whole.views.values())
    reported = int(total * share)
    split = apportion(reported, {"FOLLOWER": whole.views_followers, "NON_FOLLOWER": total - whole.views_followers})
    return split["FOLLOWER"], apportion(reported, whole.views)
