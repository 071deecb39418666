"""Freshness: every time-to-live (TTL) of the program, in one table, and the policies that apply them.

Policies that have to know a domain (a metric value, a list of posts, a report) stay in its package and take their
numbers from here. One time-to-live is a setting: that of reports, `PERFORMANCE_TTL`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0  # seconds
FOR_EVER = math.inf

Json = Mapping[str, object]

K = TypeVar("K")
V = TypeVar("V")


class FreshnessPolicy(Protocol):
    """How long one kind of value is fresh, and how long after that it is served while a new one is fetched."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a value expires (Unix seconds, infinite for never), or None if it cannot be used at all."""

    def stale_while_revalidate(self, value: Json) -> float:
        """Return the seconds after its expiry in which a value is served at once and refreshed in the background."""

    def merge(self, known: Json, new: Json) -> Json:
        """Return what is cached of a new value where an older one is known: the new one, or `merge` of both."""


def merge(known: Mapping[K, V | None], new: Mapping[K, V | None]) -> dict[K, V | None]:
    """Return the new numbers, but the known one for each that is newly unknown (None, or missing).

    A provider that leaves a number out, refuses it or sends something unreadable does not make unknown what it gave an
    hour ago. Every policy whose values can be unknown in part uses this one rule.
    """
    return {**known, **{key: value for key, value in new.items() if value is not None or known.get(key) is None}}


@dataclass(frozen=True)
class FixedTTL:
    """Fresh for a number of seconds, whatever the value is."""

    ttl: float  # seconds
    swr: float = 0.0  # stale-while-revalidate, in seconds
    needs: tuple[str, ...] = ()  # keys without which a value cannot be used

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a value expires."""
        return fetched_at + self.ttl if value.keys() >= set(self.needs) else None

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how many seconds an expired value is served at once."""
        return self.swr

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new value, with the known one of each field that is newly unknown."""
        return merge(known, new)


# All values
STALE_IF_ERROR = 7 * DAY  # after its expiry a value is kept for so long, and served while the provider fails
RETRY_UNKNOWN_AFTER = MINUTE  # after a known value was asked for again and came back unknown
RETRY_FAILED_AFTER = 3.0  # after an explicit refresh of a fresh value, or one in the background, failed
REFRESH_WAIT = 2.0  # that a caller waits for a newer value when it could have an expired one
FINAL_VALUE_KEPT_FOR = DAY  # a value that never expires; the history keeps it without expiry

# Accounts
PROFILE = FixedTTL(HOUR, swr=6 * HOUR)  # the number of followers; the text in it would do for longer
PROFILE_TEXT = FixedTTL(DAY)  # the username, from the same value
PROFILE_RECHECK = FixedTTL(MINUTE)  # the username, when a caller's does not match: it may be the account's new one
LAST_KNOWN_PROFILE = FixedTTL(STALE_IF_ERROR)  # the username that is only shown, in `meta.username`
JOINT_CALL_REFUSED = FixedTTL(DAY, needs=("refused",))  # that Instagram does not give profile and posts in one call
ACCOUNT_ID = FixedTTL(DAY, needs=("id",))  # the account that belongs to a page or token
STATUS_CHECKS = FixedTTL(5 * MINUTE, swr=5 * MINUTE, needs=("checks",))  # the checks behind GET /status

# Insights
TODAY_TTL = HOUR  # of a window that is not over
FINISHED_DAY_TTL = 6 * HOUR  # of a finished day, week or 28 days whose values may still change (provisional)
UNKNOWN_VALUE_TTL = DAY  # of a window whose values can no longer change, but for which Instagram gave none
METRIC_VALUE_SWR = DAY  # of a known value; an unknown one is never served stale without waiting
REFUSED_VALUE_TTL = 10 * MINUTE  # of one value of a refused metric, so that it does not outlive the refusal for long
REFUSAL_CHECK = FixedTTL(HOUR, needs=("answered",))  # whether Instagram answered when all it was asked for was refused
EVERYTHING_REFUSED = FixedTTL(10 * MINUTE, needs=("refused",))  # whether Instagram refused all of the last request
FAULTY_METRIC = FixedTTL(MINUTE, needs=("failure",))  # that Instagram has a fault (code 1) with a metric
REFUSED_METRIC = FixedTTL(HOUR, needs=("message",))  # that Instagram refuses a metric to an account

# Media
# Numbers of a single media are read only where a caller asks for that media, and some grow late: a reel is found for
# weeks. Meta reports them up to 48 hours late.
YOUNG_MEDIA_AGE = 7 * DAY  # up to here the numbers of a media grow fast
GROWING_MEDIA_AGE = 30 * DAY  # up to here they still grow
YOUNG_MEDIA_TTL = HOUR  # of a number of a media below `YOUNG_MEDIA_AGE`
MIDDLE_AGED_MEDIA_TTL = 6 * HOUR  # of one below `GROWING_MEDIA_AGE`
OLD_MEDIA_TTL = DAY  # of an older one
MEDIA_NODE = FixedTTL(HOUR, needs=("id",))  # the type and age of a media whose type could not be read for good
UNKNOWN_MEDIA = FixedTTL(MINUTE, needs=("failure",))  # that Instagram has no such media; it may be a limit in disguise
FEW_VIEWERS = FixedTTL(10 * MINUTE, needs=("failure",))  # that too few people have seen a story
INSIGHTS_GRANTED = FixedTTL(HOUR, needs=("granted",))  # whether the token may read insights at all
FEW_OF_METRIC = FixedTTL(HOUR, needs=("reason", "message"))  # that a media has too little of one metric
FEW_BEFORE = FixedTTL(DAY, needs=("reason", "message"))  # the same, for metrics that are then asked for alone
ANSWERED_MEDIA = FixedTTL(30 * DAY, needs=("metrics",))  # which metrics Instagram answers for a type of media
REFUSED_MEDIA_METRIC = FixedTTL(30 * DAY, needs=("reason", "message"))  # that a type of media, or one, lacks a metric
REFUSED_ONCE = FixedTTL(30 * DAY, needs=("media",))  # which media refused a metric that others of its type had
REFUSED_MEDIA = FixedTTL(30 * DAY, needs=("failure",))  # that a media has no insights and never will

# Audience
DEMOGRAPHICS_TTL = 6 * HOUR  # of a table of people by age, gender, city or country
UNKNOWN_DEMOGRAPHICS_TTL = HOUR  # of a table in whose place Instagram sent nothing
DEMOGRAPHICS_SWR = DAY  # of a known table

# Stories
STORIES_TTL = 15 * MINUTE  # of the list of live stories with their numbers
STORIES_SWR = 45 * MINUTE
STORIES_LISTED = FixedTTL(6 * HOUR, needs=("listed",))  # which stories the last list of them by itself had

# Posts
NEW_POSTS_TTL = HOUR  # of the newest page
OLD_POSTS_TTL = 6 * HOUR  # of the other pages, whose counts hardly change
POST_LIST_SWR = 6 * HOUR
KEPT_COUNT_TTL = DAY  # of a known count that the answers lack; for longer, its owner hides it
KEPT_POSTS_TTL = DAY  # of a known list in whose place the answers are empty; for longer, the posts are gone

# A ranking reads the insights of all posts of a window, and each page with a post that is due costs a call. So its
# limits are lower than those of single media: Meta reports up to 48 hours late, and after two weeks the order of posts
# hardly changes.
YOUNG_POST_AGE = 2 * DAY
RANKED_POST_AGE = 14 * DAY
YOUNG_POST_INSIGHTS_TTL = HOUR  # of the insights of a post below `YOUNG_POST_AGE`
POST_INSIGHTS_TTL = 6 * HOUR  # of one below `RANKED_POST_AGE`
OLD_POST_INSIGHTS_TTL = DAY  # of an older one, whose insights hardly change
POST_INSIGHTS_SWR = DAY  # of insights of which a number is known
POST_INSIGHTS_DENIED = FixedTTL(6 * HOUR, needs=("denied",))  # that a token may not read them, for background work
NO_POST_INSIGHTS_TTL = 30 * DAY  # that a post has no insights and never will, as `REFUSED_MEDIA`

# Reports
UNKNOWN_CREATOR_TTL = HOUR  # that Modash has no such creator
CALL_FAILURE_TTL = (
    3.0  # that a call failed: for the requests that waited for it, and before the next background purchase
)

# Webhooks
WEBHOOK_KEPT_FOR = 7 * DAY  # a delivery and its changes, once applied; Meta repeats a delivery for 36 hours

# Replies
HISTORY_REPLY_TTL = 5 * MINUTE  # of a reply from what is kept, to which any process may add at any time
UNKNOWN_ACCOUNT_REPLY_TTL = MINUTE  # of a comparison with an account that does not exist, and may be added
INCOMPLETE_REPLY_TTL = 5.0  # of a reply with a part that could not be fetched
STALE_REPLY_TTL = 1.0  # of a cached response made of stale values; then the cache is asked for newer ones
NAMELESS_REPLY_TTL = MINUTE  # of a cached response whose `meta.username` is not known yet
