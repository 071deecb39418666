"""The requests that are measured, under the names that the tables give them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from services.days import PACIFIC

DOCUMENTED = (
    "impressions,reach,profile_views,website_clicks,email_contacts,"
    "get_directions_clicks,phone_call_clicks,text_message_clicks,follower_count"
)
PLAIN = (
    "reach,views,accounts_engaged,total_interactions,likes,comments,shares,saves,"
    "replies,reposts,follows_and_unfollows,profile_links_taps"
)
YESTERDAY = "/account-insights?period=day&metrics=impressions,reach"
GROWTH = "/growth-trends?period=30d"
POSTS = "/top-posts?time_range=7d"
CREATOR = "/performance-data?url=nasa"


def by_day(metrics: str, *, now: datetime, first: int = 28, last: int = 1) -> str:
    """Return the request for each day from `first` to `last` days before today."""
    today = now.astimezone(PACIFIC).date()
    since, until = today - timedelta(days=first), today - timedelta(days=last)
    return f"/account-insights?period=day&metrics={metrics}&since={since}&until={until}"


def warm_paths(now: datetime) -> Mapping[str, str]:
    """Return one request for each kind of answer."""
    return {
        "account-insights 1 day": YESTERDAY,
        "account-insights 28 days": by_day(PLAIN, now=now),
        "growth-trends 30d": GROWTH,
        "top-posts 7d": POSTS,
        "performance-data": CREATOR,
    }


def cold_paths(now: datetime) -> Mapping[str, str]:
    """Return the requests whose provider calls are many, or follow each other."""
    return {
        "top-posts 30d": "/top-posts?time_range=30d",
        "growth-trends 30d": GROWTH,
        "account-insights 1 day": f"/account-insights?period=day&metrics={DOCUMENTED}",
        "account-insights 28 days, 12 plain": by_day(PLAIN, now=now),
        "account-insights 28 days, documented": by_day(DOCUMENTED, now=now),
        "performance-data": CREATOR,
    }
