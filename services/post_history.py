"""Post history: how one post grew, beside what is typical of the account at the same ages; without a provider call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, cast

from typing_extensions import TypedDict

from services.accounts.resolver import AccountResolver
from services.answers import Answer, Origin, Table
from services.cache.policies import DAY
from services.clients.graph.models import Number
from services.clock import Clock
from services.days import our_time, provider_time
from services.errors import Charge, ObjectNotFoundError
from services.media.owners import MediaOwners
from services.media.values import MediaValue
from services.posts.ages import FIXED_AGES, HOUR
from services.posts.compared import freshness_of_kept, moment_of_reply, typical, unavailable
from services.posts.kept_posts import KeptPosts
from services.reasons import Unavailable, explain
from services.store.database import DatabaseUnavailableError
from services.store.posts import COUNTS, INSIGHTS, PostReading, PostRow

COMPARISON_FLOOR = 5  # other posts that were read at an age
AROUND = 90 * DAY  # before and after the post: the posts that it is compared with
NUMBERS = (*COUNTS, *INSIGHTS)
NOT_READ = "not_read_at_age"
COLUMNS = ("row", "age_hours", "fixed_age", "at", "counts_at", "posts", *NUMBERS, "reason")


class KeptPost(TypedDict):
    """A post as it was listed last; `first_seen_at` and `last_seen_at` say when it was, the latter to a few hours."""

    id: str
    timestamp: str
    media_type: str | None
    media_product_type: str | None
    permalink: str | None
    caption: str | None
    first_seen_at: str
    last_seen_at: str


class PostPoint(TypedDict):
    """The numbers of the post at one age; `reasons` says why each unknown one is.

    `fixed_age` is the fixed age in hours at which it was read, or null for a reading in between. `age_hours` is the
    true age, `at` its moment; `counts_at` is that of likes and comments, which may come from another call. A fixed age
    at which the post was not read has no moment and no number.
    """

    age_hours: float
    fixed_age: int | None
    at: str | None
    counts_at: str | None
    likes: Number | None
    comments: Number | None
    reach: Number | None
    views: Number | None
    saved: Number | None
    shares: Number | None
    total_interactions: Number | None
    reasons: dict[str, str]


class MedianPoint(TypedDict):
    """The medians of the account's other posts that were read at one fixed age, and how many these are."""

    age_hours: int
    posts: int
    likes: float | None
    comments: float | None
    reach: float | None
    views: float | None
    saved: float | None
    shares: float | None
    total_interactions: float | None
    reasons: dict[str, str]


class PostHistory:
    """How posts grew."""

    def __init__(
        self, *, accounts: AccountResolver, owners: MediaOwners, kept: KeptPosts, origin: Origin, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._owners = owners
        self._kept = kept
        self._origin = origin
        self._clock = clock

    def one(self, post: str, *, account: str | None = None) -> Answer:
        """Return what is kept of one post; raises `ObjectNotFoundError` where nothing is, and `BusyError`."""
        selected = self._owners.account_of(post, account)
        now = moment_of_reply(self._clock)
        try:
            row = self._kept.find(selected.id, post)
            if row is None:
                raise _not_kept()
            readings = self._kept.readings(selected.id, [row]).get(post, [])
            others = [
                each
                for each in self._kept.between(selected.id, row.posted_at - AROUND, min(now, row.posted_at + AROUND))
                if each.id != post
            ]
            at_ages = self._kept.readings(selected.id, others, at_fixed_ages=True)
        except DatabaseUnavailableError:
            raise unavailable() from None
        points = sorted(
            [*(_point(row, reading) for reading in readings), *_gaps(row, readings, now)],
            key=lambda point: (point["age_hours"], point["fixed_age"] or 0),
        )
        medians = [_median(age, [each for found in at_ages.values() for each in found]) for age in FIXED_AGES]
        return Answer(
            body={"post": _post(row), "points": points, "account_median": medians},
            account=selected.id,
            origin=self._origin,
            freshness=freshness_of_kept((reading.read_at for reading in readings), self._clock),
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "floor": COMPARISON_FLOOR,
                "compared_with": {
                    "since": our_time(row.posted_at - AROUND),
                    "until": our_time(min(now, row.posted_at + AROUND)),
                    "posts": len(others),
                },
            },
            unavailable=list(_unavailable([*points, *medians])),
            table=Table(COLUMNS, _rows(points, medians)),
        )


def _not_kept() -> ObjectNotFoundError:
    return ObjectNotFoundError(
        "There is no such post here.",
        provider="instagram",
        hint="Check the id, and `account`. Posts are kept as they are listed: hourly by a worker, and by /top-posts.",
        reached=False,
        charge=Charge.NONE,
    )


def _post(row: PostRow) -> KeptPost:
    return {
        "id": row.id,
        "timestamp": provider_time(int(row.posted_at)),
        "media_type": row.media_type,
        "media_product_type": row.media_product_type,
        "permalink": row.permalink,
        "caption": row.caption,
        "first_seen_at": our_time(row.first_seen_at),
        "last_seen_at": our_time(row.last_seen_at),
    }


def _point(row: PostRow, reading: PostReading) -> PostPoint:
    return {
        "age_hours": round((reading.read_at - row.posted_at) / HOUR, 2),
        "fixed_age": reading.age_label,
        "at": our_time(reading.read_at),
        "counts_at": None if reading.counts_read_at is None else our_time(reading.counts_read_at),
        **cast(PostPoint, dict(reading.values)),
        "reasons": {name: _reason(reading, name) for name in NUMBERS if reading.values[name] is None},
    }


def _reason(reading: PostReading, name: str) -> str:
    """Return why a number is unknown: Instagram's reason, or that this part was not read then."""
    read_at = reading.counts_read_at if name in COUNTS else reading.insights_read_at
    return NOT_READ if read_at is None else reading.reasons.get(name, "not_answered")


def _gaps(row: PostRow, readings: Sequence[PostReading], now: float) -> Iterator[PostPoint]:
    """Yield a point without numbers for each fixed age at which the post was not read."""
    read = {reading.age_label for reading in readings}
    for age in FIXED_AGES:
        if age not in read and row.posted_at + age * HOUR <= now:
            yield {
                "age_hours": age,
                "fixed_age": age,
                "at": None,
                "counts_at": None,
                **cast(PostPoint, dict.fromkeys(NUMBERS)),
                "reasons": dict.fromkeys(NUMBERS, NOT_READ),
            }


def _median(age: int, readings: Sequence[PostReading]) -> MedianPoint:
    found = [reading for reading in readings if reading.age_label == age]
    medians = {
        name: typical([_value(each, name) for each in found if _is_read(each, name)], floor=COMPARISON_FLOOR)
        for name in NUMBERS
    }
    return {
        "age_hours": age,
        "posts": len(found),
        **cast(MedianPoint, {name: each.value for name, each in medians.items()}),
        "reasons": {name: each.reason for name, each in medians.items() if each.reason is not None},
    }


def _is_read(reading: PostReading, name: str) -> bool:
    return (reading.counts_read_at if name in COUNTS else reading.insights_read_at) is not None


def _value(reading: PostReading, name: str) -> MediaValue:
    return MediaValue(reading.values[name], reading.reasons.get(name))


def _unavailable(points: Sequence[PostPoint | MedianPoint]) -> Iterator[Unavailable]:
    """Explain each reason of each number once."""
    for name, reason in dict.fromkeys(each for point in points for each in point["reasons"].items()):
        yield explain(name, reason, of_media=True)


def _rows(points: Sequence[PostPoint], medians: Sequence[MedianPoint]) -> Iterator[Mapping[str, object]]:
    """Yield one row for each point of the post, then one for each median; `reason` is the first one of the row."""
    rows: list[tuple[Literal["post", "account_median"], Mapping[str, object]]] = [
        *(("post", cast(Mapping[str, object], point)) for point in points),
        *(("account_median", cast(Mapping[str, object], point)) for point in medians),
    ]
    for kind, point in rows:
        reasons = cast(Mapping[str, str], point["reasons"])
        fixed = {"fixed_age": point["age_hours"]} if kind == "account_median" else {}
        found = {**point, **fixed, "row": kind, "reason": next(iter(reasons.values()), "")}
        yield {name: found.get(name) for name in COLUMNS}
