"""The trends of `/growth-trends`: their shape, and how each is made of what was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Literal, NamedTuple, NotRequired

from typing_extensions import TypedDict

from services.days import our_time, utc
from services.errors import ProviderError, reason_of
from services.growth.change import growth
from services.growth.followers_at_both_ends import Followers
from services.growth.parts import Fetched
from services.insights.final_days import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS, first_provisional
from services.posts.engagement_rate import EngagementRate, Method
from services.posts.rate_of_posts import Basis, rate_of_posts
from services.windows import Window

TrendKey = Literal["followers", "engagement_rate", "reach", "views", "interactions", "posts"]

TITLES: Mapping[TrendKey, str] = {
    "followers": "Follower Growth Rate",
    "engagement_rate": "Engagement Rate Change",
    "reach": "Reach Change",
    "views": "Views Change",
    "interactions": "Interactions Change",
    "posts": "Posts Change",
}
ALWAYS: tuple[TrendKey, ...] = ("followers", "engagement_rate")
METRIC_OF: Mapping[str, str] = {"reach": "reach", "views": "views", "interactions": "total_interactions"}
UNITS: Mapping[TrendKey, str] = {"followers": "accounts", "engagement_rate": "fraction", "reach": "accounts"}


class WindowDays(TypedDict):
    """The first and the last Pacific day of a window."""

    since: str
    until: str


class Engagement(TypedDict):
    """What an engagement rate is made of.

    By followers it is numerator / denominator / posts_used. By reach or views numerator and denominator are sums over
    the posts used, and `left_out` counts the other posts by reason. What rests on unknown posts is null.

    `counted_at` is when the followers were counted that are the denominator, where each window has those of its end.
    """

    numerator: float | None
    denominator: float | None
    posts_used: int | None
    posts_left_out: int | None
    left_out: NotRequired[Mapping[str, int] | None]
    counted_at: NotRequired[str]


class Coverage(TypedDict, total=False):
    """What the two values of a trend rest on; up to `covered_until` its parts are all reported, and seen.

    Of followers: when each of the two numbers was counted, if it was, and the days of the window without a kept count
    (`gap_days`), if there is one with.
    """

    covered_until: str | None
    start_counted_at: str | None
    end_counted_at: str | None
    gap_days: list[str]
    current: Engagement
    previous: Engagement
    method: Method


class Trend(TypedDict):
    """One change; `growth_rate` in percent, null with `reason` where a value is unknown.

    `key` names the trend for programs and never changes; `metric` is its title. `provisional_from` is the first day of
    its windows whose values may still change, null where all are final.
    """

    metric: str
    key: TrendKey
    current_value: float | None
    previous_value: float | None
    growth_rate: float | None
    reason: str | None
    unit: str
    basis: str | None
    approximate: bool
    provisional_from: str | None
    window: WindowDays
    previous_window: NotRequired[WindowDays]
    coverage: Coverage


class Denominator(NamedTuple):
    """The followers by which the interactions of a window are divided, and when they were counted (Unix seconds)."""

    followers: int | None
    counted_at: float | None = None


def followers_trend(window: Window, followers: Followers, fetched: Fetched) -> Trend:
    """Return the change of the followers between both ends of a window."""
    then, end = followers.values(fetched.followers, fetched.followers_read_at, fetched.metric_values)
    reason = end.reason or then.reason
    if isinstance(fetched.profile, ProviderError) and not followers.is_counted:
        reason = reason_of(fetched.profile)
    trend = _trend("followers", window, end.value, then.value, reason=reason)
    provisional = first_provisional(fetched.insights_read_at, PROVISIONAL_HOURS_OF_FOLLOWS)
    is_counted = then.counted_at is not None and end.counted_at is not None
    coverage: Coverage = {"covered_until": then.covered_until or end.covered_until}
    if end.counted_at is not None and is_counted:
        coverage["covered_until"] = our_time(end.counted_at)
    if followers.counts:
        coverage["start_counted_at"] = _moment(then.counted_at)
        coverage["end_counted_at"] = _moment(end.counted_at)
        coverage["gap_days"] = [day.isoformat() for day in followers.gap_days]
    return {
        **trend,
        "basis": then.basis,
        "approximate": not is_counted,
        # Followers who came and went after the window count too where its end is now.
        "provisional_from": None if then.value is None or is_counted else _clipped(provisional, window, window),
        "coverage": coverage,
    }


def engagement_trend(
    window: Window, before: Window, fetched: Fetched, followers: Followers, *, basis: Basis, method: Method
) -> Trend:
    """Return the change of the engagement rate against the window before."""
    at_ends = _followers_at_ends(fetched, followers) if basis == "followers" else None
    now, then = at_ends or (Denominator(fetched.followers), Denominator(fetched.followers))
    current = _rate(window, fetched, now.followers, basis=basis, method=method)
    previous = _rate(before, fetched, then.followers, basis=basis, method=method)
    trend = _trend("engagement_rate", window, current.rate, previous.rate, reason=current.reason or previous.reason)
    coverage: Coverage = {
        "covered_until": _seen_until(window, fetched),
        "current": _parts(current, basis, now),
        "previous": _parts(previous, basis, then),
    }
    if (basis, method) != ("followers", "mean_of_posts"):
        coverage["method"] = method
    provisional = None
    if basis != "followers" and (current.rate is not None or previous.rate is not None):
        provisional = _clipped(fetched.provisional_from, before, window)
    return {
        **trend,
        "basis": basis if basis != "followers" else "followers_at_end" if at_ends else "current_followers",
        "previous_window": _days(before),
        "approximate": _is_incomplete(fetched) or provisional is not None,
        "provisional_from": provisional,
        "coverage": coverage,
    }


def total_trend(key: TrendKey, window: Window, before: Window, fetched: Fetched) -> Trend:
    """Return the change of a total against the window before: of the posts, or of one of `METRIC_OF`."""
    if key == "posts":
        counts = [fetched.number_of_posts(each) for each in (window, before)]
        trend = _trend(key, window, *counts, reason=fetched.gap_in(window) or fetched.gap_in(before))
        covered_until = _seen_until(window, fetched)
        return {
            **trend,
            "previous_window": _days(before),
            "approximate": _is_incomplete(fetched),
            "coverage": {"covered_until": covered_until},
        }
    current, previous = (fetched.metric_values[METRIC_OF[key], (), each] for each in (window, before))
    trend = _trend(key, window, current.value, previous.value, reason=current.reason or previous.reason)
    provisional = None
    if current.value is not None or previous.value is not None:
        provisional = _clipped(fetched.provisional_from, before, window)
    complete = fetched.insights_read_at - timedelta(hours=PROVISIONAL_HOURS)
    return {
        **trend,
        "previous_window": _days(before),
        "approximate": provisional is not None,
        "provisional_from": provisional,
        "coverage": {"covered_until": our_time(min(complete, utc(window.until + 1)))},
    }


def _clipped(day: date, first: Window, last: Window) -> str | None:
    """Return the first provisional day within two windows, or None where all their days are final."""
    return max(day, first.first).isoformat() if day <= last.last else None


def _seen_until(window: Window, fetched: Fetched) -> str | None:
    """Return up to when the list has every post of a window, or None where it could not be read."""
    if isinstance(fetched.posts, ProviderError):
        return None
    return our_time(min(fetched.posts.read_at, utc(window.until + 1)))


def _is_incomplete(fetched: Fetched) -> bool:
    """Return whether posts may be missing from the list: without a readable time, or out of its order."""
    posts = fetched.posts
    return not isinstance(posts, ProviderError) and bool(posts.unreadable or posts.unordered)


def _trend(
    key: TrendKey, window: Window, current: float | None, previous: float | None, *, reason: str | None = None
) -> Trend:
    change = growth(current, previous)
    return {
        "metric": TITLES[key],
        "key": key,
        "current_value": current,
        "previous_value": previous,
        "growth_rate": change.rate,
        "reason": (reason or change.reason) if change.rate is None else change.reason,
        "unit": UNITS.get(key, key),
        "basis": None,
        "approximate": False,
        "provisional_from": None,
        "window": _days(window),
        "coverage": {},
    }


def _followers_at_ends(fetched: Fetched, followers: Followers) -> tuple[Denominator, Denominator] | None:
    """Return the followers at the end of the window and of the one before it, or None unless both were counted."""
    then, end = followers.at_start, followers.at_end
    if then is None or (followers.end is not None and end is None):
        return None
    now = Denominator(fetched.followers, fetched.followers_read_at)
    return now if end is None else Denominator(end.value, end.read_at), Denominator(then.value, then.read_at)


def _rate(window: Window, fetched: Fetched, followers: int | None, *, basis: Basis, method: Method) -> EngagementRate:
    by_followers = basis == "followers"
    if (gap := fetched.gap_in(window)) is not None:
        return EngagementRate(None, gap, None, followers if by_followers else None, None, None, left_out=None)
    if isinstance(fetched.posts, ProviderError):
        raise TypeError("A list that could not be read is a gap.")
    rate = rate_of_posts(
        fetched.posts,
        window,
        basis=basis,
        method=method,
        followers=followers,
        insights=fetched.post_insights,
    )
    if by_followers and followers is None and isinstance(fetched.profile, ProviderError):
        return replace(rate, reason=reason_of(fetched.profile))
    return rate


def _days(window: Window) -> WindowDays:
    return {"since": window.first.isoformat(), "until": window.last.isoformat()}


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else our_time(seconds)


def _parts(rate: EngagementRate, basis: Basis, denominator: Denominator) -> Engagement:
    parts: Engagement = {
        "numerator": rate.numerator,
        "denominator": rate.denominator,
        "posts_used": rate.posts_used,
        "posts_left_out": rate.posts_left_out,
    }
    if denominator.followers is not None and denominator.counted_at is not None:
        parts["counted_at"] = our_time(denominator.counted_at)
    if basis != "followers":
        parts["left_out"] = None if rate.left_out is None else dict(rate.left_out)
    return parts
