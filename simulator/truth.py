"""The truth about accounts and creators, for tests that compare: no delay, no faults."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from simulator.clock import iso_z
from simulator.graph.media_flags import is_before_conversion, is_on_facebook, is_without_views, numbers_of
from simulator.switches import Switches
from simulator.world.accounts import Account
from simulator.world.audience import (
    FEWEST,
    FRAMES,
    MOST_BUCKETS,
    demographics,
    engaged_people,
    is_online_known,
    online_followers,
)
from simulator.world.collaborations import Collaborations
from simulator.world.creators import Creator, Item
from simulator.world.day import UNIQUE_METRICS, Day
from simulator.world.days import DAY, day_of, days, midnight, utc_text
from simulator.world.history import history_of
from simulator.world.posts import Post, posts_of
from simulator.world.stories import Story, region_of, stories_of

SHOWN = timedelta(days=749)  # days before today that are shown by default
STORIES_SHOWN = timedelta(days=30)  # the same for stories
GROWING = 30  # days after which a post's counts stand still

Json = dict[str, Any]


def account_truth(
    account: Account,
    now: float,
    *,
    since: date | None,
    until: date | None,
    by_day: bool,
    switches: Switches | None = None,
) -> Json:
    """Return everything about an account's days and posts of a range; both ends are included.

    Given `switches`, each post has its insights too.
    """
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
        "posts": [
            {**_post(post, now, by_day=by_day), **(media_truth(post, now, switches) if switches else {})}
            for post in _posts(account, first, last, now)
        ],
    }


def media_truth(media: Post, now: float, switches: Switches) -> Json:
    """Return the insights of a media, each metric by its name, and what decides whether it has them."""
    numbers = numbers_of(media, now, switches)
    return {
        "insights": dict(numbers.metrics),
        "insights_buckets": {name: dict(buckets) for name, buckets in numbers.buckets.items()},
        "before_conversion": is_before_conversion(media, switches),
        "on_facebook": is_on_facebook(media, switches),
        "without_views": is_without_views(media, switches),
    }


def stories_truth(
    account: Account, now: float, *, since: date | None, until: date | None, switches: Switches | None = None
) -> Json:
    """Return the stories of a range of days, newest first, with their counts so far and their final counts.

    Given `switches`, each story has its insights too.
    """
    today = day_of(now)
    last = min(today, until or today)
    first = min(max(account.created, since or today - STORIES_SHOWN), last + DAY)
    stories = stories_of(account)
    numbers = range(stories.published(midnight(first) - 1), stories.published(min(now, midnight(last + DAY) - 1)))
    return {
        "account": account.id,
        "now": iso_z(now),
        "region": region_of(account),
        "stories": [
            {**_story(story, now), **(media_truth(story, now, switches) if switches else {})}
            for story in map(stories.numbered, reversed(numbers))
        ],
    }


def collaborations_truth(account: Account, now: float, collaborations: Collaborations, switches: Switches) -> Json:
    """Return the posts of others that an account was accepted for, newest first, also those it was removed from."""
    shared = collaborations.of(account)
    posts = map(shared.numbered, reversed(range(shared.published(now))))
    return {
        "account": account.id,
        "now": iso_z(now),
        "posts": [
            {
                **_post(post, now, by_day=False),
                **media_truth(post, now, switches),
                "owner": post.account.id,
                "partners": [partner.account.id for partner in collaborations.partners(post) if partner.is_in(now)],
                "takes_part": shared.takes_part(post, now),
            }
            for post in posts
        ],
    }


def audience_truth(account: Account, now: float) -> Json:
    """Return who follows an account and who interacted with it, and who was online on each of the last 30 days."""
    today, followers = day_of(now), history_of(account).followers(now)
    online = (day for day in days(today - 30 * DAY, today) if is_online_known(day, now) and followers >= FEWEST)
    return {
        "account": account.id,
        "now": iso_z(now),
        "fewest_people": FEWEST,
        "most_buckets": MOST_BUCKETS,
        "followers_count": followers,
        "follower_demographics": _audience(account, "follower_demographics", followers, followers),
        "engaged_audience_demographics": {
            timeframe: _audience(
                account, "engaged_audience_demographics", engaged_people(account, timeframe, now), followers
            )
            for timeframe in FRAMES
        },
        "online_followers": {day.isoformat(): online_followers(account, day, followers) for day in online},
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
    reported = {
        "id": post.id,
        "timestamp": utc_text(post.timestamp),
        "media_type": post.media_type,
        "media_product_type": post.media_product_type,
        "permalink": post.permalink,
        "caption": post.caption,
        "likes_hidden": post.likes_hidden,
        **post.counts(now),
    }
    return {**reported, "by_day": _by_day(post, now)} if by_day else reported


def _by_day(post: Post, now: float) -> Json:
    first = day_of(post.timestamp)
    last = min(day_of(now), first + GROWING * DAY)
    return {day.isoformat(): post.counts(min(now, midnight(day + DAY))) for day in days(first, last)}


def _story(story: Story, now: float) -> Json:
    return {
        "id": story.id,
        "timestamp": utc_text(story.timestamp),
        "expires": utc_text(story.expires),
        "is_live": story.is_live(now),
        "media_type": story.media_type,
        "permalink": story.permalink,
        "counts": story.counts(now),
        "final": story.counts(story.expires),
    }


def _audience(account: Account, metric: str, people: int, followers: int) -> Json:
    """Return the people and their largest buckets; too few people, or too few followers, have no buckets."""
    is_shown = min(people, followers) >= FEWEST
    return {
        "people": people,
        **{
            by: {",".join(bucket): value for bucket, value in demographics(account, metric, people, [by]).items()}
            if is_shown
            else {}
            for by in ("age", "gender", "city", "country")
        },
    }


def _item(item: Item) -> Json:
    return {"likes": item.likes, "comments": item.comments, "views": item.views}
