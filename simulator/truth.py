"""The truth about accounts and creators, for tests that compare: no delay, no faults."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from simulator.clock import iso_z
from simulator.world.accounts import Account
from simulator.world.creators import Creator, Item
from simulator.world.day import UNIQUE_METRICS, Day
from simulator.world.days import DAY, day_of, days, midnight, utc_text
from simulator.world.history import history_of
from simulator.world.posts import Post, posts_of

SHOWN = timedelta(days=749)  # So many days before today are told by default.
GROWING = 30  # days after which a post's counts stand still

Json = dict[str, Any]


def account_truth(account: Account, now: float, *, since: date | None, until: date | None, by_day: bool) -> Json:
    """Return everything about an account's days and posts of a range; both ends are included."""
    today = day_of(now)
    last = min(today, until or today)
    first = min(max(account.created, since or today - SHOWN), last + DAY)
    history = history_of(account)
    return {
        "account": account.id,
        "username": account.username,
        "kind": account.kind.name,
        "created": account.created.isoformat(),
        "now": iso_z(now),
        "uniqueness": account.uniqueness,
        "unique_metrics": list(UNIQUE_METRICS),
        "withheld_breakdowns": sorted(account.kind.withheld_breakdowns),
        "followers_count": history.followers(now),
        "days": [_day(history.true_day(day, now)) for day in days(first, last)],
        "posts": [_post(post, now, by_day=by_day) for post in _posts(account, first, last, now)],
    }


def creator_truth(creator: Creator) -> Json:
    """Return everything about a creator."""
    return {
        "handle": creator.handle,
        "id": creator.id,
        "followers": creator.followers,
        "posts": [_item(item) for item in creator.posts],
        "reels": [_item(item) for item in creator.reels],
        "posts_per_day": creator.posts_per_day,
        "reels_per_day": creator.reels_per_day,
    }


def _day(day: Day) -> Json:
    return {
        "date": day.date.isoformat(),
        "followers": day.followers,
        "follows": day.follows,
        "unfollows": day.unfollows,
        "metrics": day.metrics,
        "breakdowns": day.breakdowns,
    }


def _posts(account: Account, first: date, last: date, now: float) -> Iterator[Post]:
    posts = posts_of(account)
    start = posts.published(midnight(first) - 1)
    end = posts.published(min(now, midnight(last + DAY) - 1))
    return (posts.numbered(number) for number in reversed(range(start, end)))


def _post(post: Post, now: float, *, by_day: bool) -> Json:
    told = {
        "id": post.id,
        "timestamp": utc_text(post.timestamp),
        "media_type": post.media_type,
        "media_product_type": post.media_product_type,
        "permalink": post.permalink,
        "caption": post.caption,
        "likes_hidden": post.likes_hidden,
        **post.counts(now),
    }
    return {**told, "by_day": _by_day(post, now)} if by_day else told


def _by_day(post: Post, now: float) -> Json:
    first = day_of(post.timestamp)
    last = min(day_of(now), first + GROWING * DAY)
    return {day.isoformat(): post.counts(min(now, midnight(day + DAY))) for day in days(first, last)}


def _item(item: Item) -> Json:
    return {"likes": item.likes, "comments": item.comments, "views": item.views}
