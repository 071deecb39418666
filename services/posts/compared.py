"""Posts compared at the same age, and typical numbers of several; from what is kept, without a provider call.

The numbers of a post grow for days. So posts are compared by their first reading at an age of a week or more, and those
that are younger, or were not read since, are left out and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from typing_extensions import TypedDict

from services.answers import Freshness, Warning_
from services.cache.policies import HISTORY_REPLY_TTL
from services.clock import Clock
from services.days import midnight, our_time
from services.errors import BusyError
from services.media.expansion import POST_METRICS, PostValues
from services.media.values import MediaValue
from services.posts.ages import FIRST_LOOK_DAYS, HOUR
from services.posts.kept_posts import KeptPosts
from services.rendering.plurals import counted
from services.store.database import DatabaseUnavailableError
from services.store.posts import PostReading, PostRow
from services.windows import last_days

COMPARED_FROM = 168  # hours: the age from which on the numbers of a post hardly change


class ComparedAt(TypedDict):
    """At which age posts are compared: by their first reading at `age_hours` or later."""

    age_hours: int
    reading: str


class ComparedCounts(TypedDict):
    """How many posts of the period are kept, how many are compared, and how many are not, by the reason."""

    kept: int
    compared: int
    too_young: int
    not_read: int


class PeriodOfPosts(TypedDict):
    """When the posts were published (both ends are included)."""

    since: str
    until: str


COMPARED_AT: ComparedAt = {"age_hours": COMPARED_FROM, "reading": "first_at_or_after"}


class Typical(NamedTuple):
    """The median of some numbers, or None with the reason."""

    value: float | None
    reason: str | None


@dataclass(frozen=True)
class ComparedPost:
    """A post with its insights at the age at which posts are compared."""

    row: PostRow
    values: PostValues


@dataclass(frozen=True)
class ComparedPosts:
    """The posts of a period that can be compared, the newest first, and what stands in the way of the others."""

    posts: Sequence[ComparedPost]
    since: float  # Unix seconds
    until: float
    counts: ComparedCounts
    freshness: Freshness
    warnings: Sequence[Warning_]

    @property
    def meta(self) -> dict[str, object]:
        """What `meta` says of them."""
        window: PeriodOfPosts = {"since": our_time(self.since), "until": our_time(self.until)}
        return {"window": window, "posts": self.counts, "compared_at": COMPARED_AT}


class ComparedPostsReader:
    """Reads the kept posts of a period as they are compared."""

    def __init__(self, kept: KeptPosts, clock: Clock) -> None:
        self._kept = kept
        self._clock = clock

    def read(self, account: str, days: int) -> ComparedPosts:
        """Return the posts of the last so many finished Pacific days, and of today; raises `BusyError`."""
        now = moment_of_reply(self._clock)
        since = float(midnight(last_days(days, now=self._clock.now()).first))
        try:
            rows = self._kept.between(account, since, now)
            readings = self._kept.readings(account, rows, from_age=COMPARED_FROM)
            has_looked = self._kept.has_looked(account)
        except DatabaseUnavailableError:
            raise unavailable() from None
        chosen = {row.id: _first_insights(readings.get(row.id, ())) for row in rows}
        old = [row for row in rows if row.posted_at + COMPARED_FROM * HOUR <= now]
        found = [(row, reading) for row in old if (reading := chosen[row.id]) is not None]
        counts: ComparedCounts = {
            "kept": len(rows),
            "compared": len(found),
            "too_young": len(rows) - len(old),
            "not_read": len(old) - len(found),
        }
        return ComparedPosts(
            [ComparedPost(row, insights_of(reading)) for row, reading in found],
            since,
            now,
            counts,
            freshness_of_kept((reading.read_at for _, reading in found), self._clock),
            list(_warnings(counts, has_looked=has_looked)),
        )


def _first_insights(readings: Sequence[PostReading]) -> PostReading | None:
    return next((reading for reading in readings if reading.insights_read_at is not None), None)


def insights_of(reading: PostReading) -> PostValues:
    """Return the insights of a reading, each a number or None with its reason."""
    return {name: MediaValue(reading.values[name], reading.reasons.get(name)) for name in POST_METRICS}


def typical(values: Sequence[MediaValue], *, floor: int) -> Typical:
    """Return the median of the known values; None where they are fewer than the floor."""
    known = [each.value for each in values if each.value is not None]
    if len(known) >= floor:
        return Typical(median(known), None)
    if len(values) < floor:
        return Typical(None, "too_few_posts" if values else "no_posts")
    reasons = Counter(each.reason or "not_answered" for each in values if each.value is None)
    return Typical(None, reasons.most_common(1)[0][0])


def freshness_of_kept(moments: Iterable[float], clock: Clock) -> Freshness:
    """Return the freshness of a reply from kept readings: the newest one counts, and any may be added at any time."""
    now = moment_of_reply(clock)
    # Midnight in California is a multiple of the lifetime too, so no reply goes on into another day.
    return Freshness(max(moments, default=now), now + HISTORY_REPLY_TTL)


def moment_of_reply(clock: Clock) -> float:
    """Return as of when a reply from kept readings is (Unix seconds).

    It is a multiple of the lifetime of such replies, so that equal requests within it get equal bytes.
    """
    return clock.timestamp() // HISTORY_REPLY_TTL * HISTORY_REPLY_TTL


def unavailable() -> BusyError:
    """Return the failure of a request for what is kept while the database is unavailable."""
    return BusyError(
        "The database is unavailable, so nothing that is kept can be read.",
        hint="Try again; /readyz says what is wrong.",
    )


def _warnings(counts: ComparedCounts, *, has_looked: bool) -> Iterable[Warning_]:
    if counts["compared"]:
        return
    if not counts["kept"] and not has_looked:
        message = (
            "No posts of this account are kept yet. Let a worker run (`make run`, or `make worker`): its first look "
            f"reads the posts of the last {FIRST_LOOK_DAYS} days once, within minutes."
        )
        yield {"code": "no_kept_posts", "message": message}
    elif not counts["kept"]:
        message = "The account published nothing in this period that the gateway has seen. Ask for a longer period."
        yield {"code": "no_kept_posts", "message": message}
    else:
        young, not_read = counted(counts["too_young"], "is", "are"), counted(counts["not_read"], "was", "were")
        message = (
            f"None of the {counted(counts['kept'], 'post')} of this period can be compared: {young} younger than "
            f"{COMPARED_FROM} hours, {not_read} not read at that age. Ask for a longer period, or later."
        )
        yield {"code": "no_posts_compared", "message": message}
