"""Who the audience is: ages, genders, places, and when followers are online."""

import itertools
from collections.abc import Sequence
from datetime import date, timedelta

from simulator.world.accounts import Account
from simulator.world.days import DAY, day_of, days, midnight
from simulator.world.draw import apportion, draw
from simulator.world.history import history_of, unique

FEWEST = 100  # followers, or engagements, below which an audience is not described
FRAMES = {"this_week": timedelta(days=6), "this_month": timedelta(days=29)}  # how far back before today
ONLINE_DELAY = 2 * DAY.total_seconds()  # Until so long after a day it is not known who was online.

MOST_BUCKETS = 45  # Only so many come, the largest.
EMPTY_ONLINE = 0.25  # How many days know nothing of who was online.
COUNTRIES = (
    *("US", "GB", "DE", "FR", "IT", "ES", "PT", "NL", "BE", "AT", "CH", "DK", "SE", "NO", "FI", "PL", "CZ", "SK", "HU"),
    *("RO", "BG", "GR", "TR", "UA", "IE", "IS", "JP", "KR", "CN", "IN", "ID", "TH", "VN", "PH", "MY", "SG", "AU", "NZ"),
    *("BR", "AR", "CL", "CO", "MX", "PE", "CA", "ZA", "NG", "KE", "EG", "MA", "SA", "AE", "IL"),
)
BUCKETS = {
    "age": {"13-17": 3, "18-24": 22, "25-34": 36, "35-44": 20, "45-54": 11, "55-64": 5, "65+": 3},
    "gender": {"F": 52, "M": 40, "U": 8},
    "country": dict.fromkeys(COUNTRIES, 1),
    "city": {
        f"{city}, {region}": 1
        for city, region in itertools.product(
            (
                "Lakeview",
                "Riverside",
                "Oakdale",
                "Hillcrest",
                "Fairmont",
                "Milford",
                "Ashton",
                "Kingsley",
                "Newport",
                "Weston",
            ),
            ("California", "England", "Bavaria", "Lisboa", "Ontario", "Tokyo"),
        )
    },
}


def demographics(account: Account, kind: str, people: int, dimensions: Sequence[str]) -> dict[tuple[str, ...], int]:
    """Share people out over age, gender, country or city, or several of them: the largest buckets, no zeros."""
    chance = draw(kind, account.seed, account.index)
    weights = {
        dimension: {name: weight * chance.spread(0.5) for name, weight in buckets.items()}
        for dimension, buckets in BUCKETS.items()
    }
    crossed: dict[str, float] = {"": 1.0}
    for dimension in dimensions:
        crossed = {
            f"{left}\n{name}": share * weight
            for left, share in crossed.items()
            for name, weight in weights[dimension].items()
        }
    shares = apportion(people, crossed)
    largest = sorted(shares, key=lambda key: -shares[key])[:MOST_BUCKETS]
    return {tuple(key.split("\n")[1:]): shares[key] for key in largest if shares[key]}


def engaged_people(account: Account, timeframe: str, now: float) -> int:
    """Return how many people interacted with an account within a timeframe, which is 7 or 30 days with today."""
    history, today = history_of(account), day_of(now)
    engaged = (history.true_day(day, now).metrics["accounts_engaged"] for day in days(today - FRAMES[timeframe], today))
    return unique(engaged, account.uniqueness)


def is_online_known(day: date, now: float) -> bool:
    """Return whether it is known yet who was online on a day."""
    return midnight(day + DAY) + ONLINE_DELAY <= now


def online_followers(account: Account, day: date, followers: int) -> dict[str, int]:
    """Return how many followers were online in each hour of a day; for some days nothing."""
    chance = draw("online", account.seed, account.index, day.toordinal())
    if chance.chance(EMPTY_ONLINE):
        return {}
    return {str(hour): int(followers * chance.uniform(0.1, 0.6)) for hour in range(24)}
