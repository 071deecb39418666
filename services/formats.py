"""Formats: how the account's posts, reels, carousels and stories did; from what is kept, without a provider call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from typing_extensions import TypedDict

from services.accounts.resolver import AccountResolver
from services.answers import Answer, Origin, Table
from services.cache.policies import HOUR
from services.media.catalogue import FEED, MEDIA_METRICS, STORY
from services.media.catalogue import REELS as REELS_TYPE
from services.media.kept_stories import KeptStories
from services.media.story_values import STORY_LIFE, ends_at, values_of
from services.media.values import MediaValue
from services.posts.compared import ComparedPostsReader, Typical, typical, unavailable
from services.posts.insights import rate_of, ratio
from services.reasons import Unavailable, explain
from services.store.database import DatabaseUnavailableError
from services.store.posts import PostRow
from services.store.stories import StoryRow

MOST_DAYS, USUAL_DAYS = 365, 90
FORMAT_FLOOR = 5  # posts of a format
MOST_STORIES = 10_000  # of a period, the newest
READ_UNTIL = 23 * HOUR  # age of a story; the last number that was read before says too little
POSTS, REELS, CAROUSELS, STORIES = FORMATS = ("posts", "reels", "carousels", "stories")
USED = ("reach", "views", "total_interactions", "shares", "saved")  # metrics of the numbers below
Values = Mapping[str, MediaValue]


class Format(TypedDict):
    """The medians of the posts of one format; the rates are the medians of each post's own ones.

    `engagement_rate` is total_interactions / reach, `sends_per_reach` shares / reach. `reason` says why all are
    unknown, `reasons` why each one is.
    """

    format: str
    posts: int
    median_reach: float | None
    median_views: float | None
    engagement_rate: float | None
    saves_per_1000_views: float | None
    sends_per_reach: float | None
    reason: str | None
    reasons: dict[str, str]


NUMBERS = ("median_reach", "median_views", "engagement_rate", "saves_per_1000_views", "sends_per_reach")
COLUMNS = ("format", "posts", *NUMBERS, "reason", *(f"{name}_reason" for name in NUMBERS))


class Formats:
    """Which formats did best."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        compared: ComparedPostsReader,
        stories: KeptStories,
        origin: Origin,
    ) -> None:
        self._accounts = accounts
        self._compared = compared
        self._stories = stories
        self._origin = origin

    def medians(self, days: int, *, account: str | None = None) -> Answer:
        """Return the medians of each format; raises `BusyError`.

        Every format of the four has an entry, and each other type that Instagram has given, under its own name.
        """
        selected = self._accounts.find(account)
        found = self._compared.read(selected.id, days)
        try:
            listed = self._stories.listed(selected.id, since=found.since, until=found.until, limit=MOST_STORIES)
        except DatabaseUnavailableError:
            raise unavailable() from None
        stories = [
            values for row in listed if (values := _story_values(row, found.until, login=selected.login)) is not None
        ]
        by_format: dict[str, list[Values]] = defaultdict(list)
        for post in found.posts:
            by_format[format_of(post.row)].append(post.values)
        by_format[STORIES] = stories
        formats = [_format(name, by_format[name]) for name in (*FORMATS, *sorted(by_format.keys() - set(FORMATS)))]
        return Answer(
            body={"formats": formats},
            account=selected.id,
            origin=self._origin,
            freshness=found.freshness,
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                **found.meta,
                "stories": {"kept": len(listed), "compared": len(stories)},
                "floor": FORMAT_FLOOR,
            },
            unavailable=_unavailable(formats),
            warnings=found.warnings,
            table=Table(COLUMNS, map(_row, formats)),
        )


def format_of(row: PostRow) -> str:
    """Return the format of a post: one of `FORMATS`, or Instagram's own word for a type that is none of them."""
    if row.media_product_type == REELS_TYPE:
        return REELS
    if row.media_type == "CAROUSEL_ALBUM":
        return CAROUSELS
    return POSTS if row.media_product_type == FEED else (row.media_product_type or "unknown").lower()


def _story_values(row: StoryRow, now: float, *, login: str) -> Values | None:
    """Return the numbers of a story that is over, and was reported by a webhook or read shortly before its end.

    Of a story that was deleted before, or refused, only earlier numbers are known, which say too little.
    """
    numbers, since = values_of(row.numbers), ends_at(row) - STORY_LIFE + READ_UNTIL
    reach = numbers.get("reach")
    is_read = reach is not None and reach.read_at >= since
    if now < ends_at(row) or not (is_read or row.delivered_at is not None):
        return None
    early = MediaValue(None, "not_read_at_age")
    found = {
        name: early if each.value.is_known and each.read_at < since else each.value for name, each in numbers.items()
    }
    return {name: found.get(name, MediaValue(None, _why_missing(name, login))) for name in USED}


def _why_missing(metric: str, login: str) -> str:
    return MEDIA_METRICS[metric].why_not(STORY, login) or "not_answered"


def _format(name: str, posts: Sequence[Values]) -> Format:
    medians: dict[str, Typical] = {
        "median_reach": typical([values["reach"] for values in posts], floor=FORMAT_FLOOR),
        "median_views": typical([values["views"] for values in posts], floor=FORMAT_FLOOR),
        "engagement_rate": typical([rate_of(values, "reach") for values in posts], floor=FORMAT_FLOOR),
        "saves_per_1000_views": typical(
            [ratio(values, "saved", "views", times=1000) for values in posts], floor=FORMAT_FLOOR
        ),
        "sends_per_reach": typical([ratio(values, "shares", "reach") for values in posts], floor=FORMAT_FLOOR),
    }
    is_unknown = all(each.value is None for each in medians.values())
    return {
        "format": name,
        "posts": len(posts),
        "median_reach": medians["median_reach"].value,
        "median_views": medians["median_views"].value,
        "engagement_rate": medians["engagement_rate"].value,
        "saves_per_1000_views": medians["saves_per_1000_views"].value,
        "sends_per_reach": medians["sends_per_reach"].value,
        "reason": medians["median_reach"].reason if is_unknown else None,
        "reasons": {field: each.reason for field, each in medians.items() if each.reason is not None},
    }


def _row(shown: Format) -> Mapping[str, object]:
    reasons = {f"{name}_reason": reason for name, reason in shown["reasons"].items()}
    found = {**shown, **reasons}
    return {name: found.get(name) for name in COLUMNS}


def _unavailable(formats: Sequence[Format]) -> list[Unavailable]:
    """Explain each reason of each number once."""
    kinds = dict.fromkeys((field, reason) for each in formats for field, reason in each["reasons"].items())
    return [explain(field, reason, of_media=True) for field, reason in kinds]
