"""Every account metric, as data: how it is requested, what it counts, how long Meta keeps it, and what replaces it.

Source: https://developers.facebook.com/docs/instagram-platform/api-reference/instagram-user/insights and, where live
answers differ from it, those. Meta enforces its removals for every version at once, so nothing here depends on one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum

from services.insights.final_days import PROVISIONAL_HOURS, PROVISIONAL_HOURS_OF_FOLLOWS

RETENTION_DAYS = 729  # Older days are refused ("the last 2 years"); the pages of Meta promise 90 days only.
FOLLOWER_COUNT_DAYS = 30  # Not counting the current day.
MIN_FOLLOWERS = 100  # Below, Meta gives no follower metrics.


class Shape(Enum):
    """How the Graph API gives a metric."""

    TOTAL = "total"  # one number for the whole of a window
    DAILY = "daily"  # one value for each day, without a total
    BOTH = "both"
    LIFETIME = "lifetime"  # no days at all


@dataclass(frozen=True)
class Successor:
    """What Meta answers since it removed a metric: another metric, or one bucket of its breakdown."""

    metric: str
    since: str  # the date from which no version answers the old one
    breakdown: str | None = None
    bucket: str | None = None


@dataclass(frozen=True)
class Metric:
    """One metric; `unique` ones count people and can never be added up over days."""

    name: str
    title: str
    description: str
    unit: str
    shape: Shape = Shape.TOTAL
    unique: bool = False
    estimated: bool = False  # whether Meta calls it estimated
    breakdowns: tuple[str, ...] = ()
    combined: bool = False  # whether all its breakdowns may be requested at once
    retention_days: int = RETENTION_DAYS
    provisional_hours: int = PROVISIONAL_HOURS
    logins: tuple[str, ...] = ("facebook", "instagram")  # by which of them it is answered
    successor: Successor | None = None


BREAKDOWNS: Mapping[str, tuple[str, ...]] = {
    "media_product_type": ("AD", "CAROUSEL_CONTAINER", "POST", "REEL", "STORY"),
    "follow_type": ("FOLLOWER", "NON_FOLLOWER"),
    "contact_button_type": ("BOOK_NOW", "CALL", "DIRECTION", "EMAIL", "INSTANT_EXPERIENCE", "TEXT", "UNDEFINED"),
}
# Documented too, but hardly ever seen: known if they are listed, and not 0 if they are not.
RARE_BUCKETS: Mapping[str, tuple[str, ...]] = {
    "media_product_type": ("AR_EFFECT_PREVIEW", "IGTV"),
    "follow_type": ("UNKNOWN",),
}
# Beyond this, reach by follow_type was seen empty or frozen with the Instagram login.
BREAKDOWN_RETENTION_DAYS: Mapping[tuple[str, str, str], int] = {("instagram", "reach", "follow_type"): 365}
BREAKDOWN_SPELLINGS: Mapping[str, str] = {
    "follower_type": "follow_type"
}  # Meta's page has the first, its API takes the second.

_BY_PRODUCT = ("media_product_type",)
_BY_BOTH = ("media_product_type", "follow_type")
_BY_BUTTON = ("contact_button_type",)
_BUTTONS_REMOVED = "2025-01-08"


def _button(name: str, bucket: str, what: str) -> Metric:
    successor = Successor("profile_links_taps", _BUTTONS_REMOVED, "contact_button_type", bucket)
    return Metric(name, what, f"{what} on the profile", "taps", successor=successor)


_METRICS = (
    Metric(
        "reach",
        "Reach",
        "Accounts that saw any of the account's content at least once, ads included; an estimate of Meta",
        "accounts",
        Shape.BOTH,
        unique=True,
        estimated=True,
        breakdowns=_BY_BOTH,
        combined=True,
    ),
    Metric("views", "Views", "Times the account's content was played or shown", "views", breakdowns=_BY_BOTH),
    Metric(
        "accounts_engaged",
        "Accounts engaged",
        "Accounts that interacted with any content, ads included; an estimate of Meta",
        "accounts",
        unique=True,
        estimated=True,
    ),
    Metric(
        "total_interactions",
        "Interactions",
        "Likes, comments, saves, shares, replies and reposts together, those on boosted content included",
        "interactions",
        breakdowns=_BY_PRODUCT,
    ),
    Metric("likes", "Likes", "Likes on posts, reels and videos", "likes", breakdowns=_BY_PRODUCT),
    Metric(
        "comments", "Comments", "Comments on posts, reels, videos and live videos", "comments", breakdowns=_BY_PRODUCT
    ),
    Metric("saves", "Saves", "Times content was saved", "saves", breakdowns=_BY_PRODUCT),
    Metric("shares", "Shares", "Times content was shared", "shares", breakdowns=_BY_PRODUCT),
    Metric("replies", "Replies", "Replies to stories", "replies"),
    Metric("reposts", "Reposts", "Times content was reposted", "reposts"),
    Metric(
        "follows_and_unfollows",
        "Follows and unfollows",
        "Accounts that followed, and accounts that left",
        "accounts",
        breakdowns=("follow_type",),
        provisional_hours=PROVISIONAL_HOURS_OF_FOLLOWS,
    ),
    Metric("profile_links_taps", "Profile link taps", "Taps on the profile's buttons", "taps", breakdowns=_BY_BUTTON),
    # By the Instagram login it is missing from answers without a reason, so it is not requested there.
    Metric("profile_views", "Profile views", "Times the profile was viewed", "views", logins=("facebook",)),
    Metric("website_clicks", "Website clicks", "Taps on the profile's link to a website", "taps"),
    Metric(
        "follower_count",
        "New followers",
        "Accounts that began to follow on a day; accounts that left are not subtracted",
        "accounts",
        Shape.DAILY,
        retention_days=FOLLOWER_COUNT_DAYS,
        provisional_hours=PROVISIONAL_HOURS_OF_FOLLOWS,
    ),
    Metric(
        "impressions",
        "Impressions",
        "Times the account's content was on a screen",
        "views",
        successor=Successor("views", "2025-04-21"),
    ),
    _button("email_contacts", "EMAIL", "Taps on the e-mail button"),
    _button("get_directions_clicks", "DIRECTION", "Taps on the directions button"),
    _button("phone_call_clicks", "CALL", "Taps on the call button"),
    _button("text_message_clicks", "TEXT", "Taps on the text message button"),
    Metric("online_followers", "Online followers", "Followers online in each hour", "accounts", Shape.LIFETIME),
    Metric("follower_demographics", "Follower demographics", "Who the followers are", "accounts", Shape.LIFETIME),
    Metric(
        "engaged_audience_demographics",
        "Engaged audience demographics",
        "Who the engaged accounts are",
        "accounts",
        Shape.LIFETIME,
    ),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}


def first_retained(login: str, metric: str, breakdown: Sequence[str], *, today: date) -> date:
    """Return the first day of which Meta still keeps a metric by a breakdown."""
    usual = METRICS[metric].retention_days
    days = min([usual, *(BREAKDOWN_RETENTION_DAYS.get((login, metric, each), usual) for each in breakdown)])
    return today - timedelta(days=days)
