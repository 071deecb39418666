"""Good answers of both providers, and the questions to which they are part of the reply."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support import ACCOUNT_ID, GRAPH, graph_error, total_value

PAGE_ID = "555"
NOW = "2026-06-15T18:00:00"
DAYS = range(8, 15)  # of June 2026: the week that ended before NOW
FOLLOW, CONTACT, PRODUCT = "follow_type", "contact_button_type", "media_product_type"
INSIGHTS = "/account-insights?period=day&metrics="
RANGE = "&since=2026-06-08&until=2026-06-14"


def post(name: str, day: str, likes: int | None, comments: int, **more: Any) -> dict[str, Any]:
    counts = {} if likes is None else {"like_count": likes}
    head = {"id": name, "timestamp": f"2026-{day}T12:00:00+0000", "caption": f"Post {name}", **counts}
    return {**head, "comments_count": comments, **more}


def end_time(day: int) -> str:
    return f"2026-06-{day + 1:02}T07:00:00+0000"


def series(name: str, first: int) -> dict[str, Any]:
    return {"name": name, "values": [{"value": first + day, "end_time": end_time(day)} for day in DAYS]}


POSTS = [
    post("18001", "06-14", 120, 14, media_type="IMAGE", media_product_type="FEED", permalink="https://x.example/p/1"),
    post("18002", "06-12", None, 9, media_type="VIDEO", media_product_type="REELS"),
    post("18003", "06-07", 80, 3, media_type="CAROUSEL_ALBUM", media_product_type="FEED"),
    post("18004", "06-03", 0, 0),
]
BOTH = [(["REEL", "FOLLOWER"], 31), (["POST", "NON_FOLLOWER"], 12), (["STORY", "FOLLOWER"], 5)]


@dataclass(frozen=True)
class Kind:
    """A good answer: at which address it comes, with which statuses, and what is asked of the gateway for it."""

    address: str
    body: Any
    questions: tuple[str, ...]
    statuses: tuple[int, ...] = (200,)
    settings: dict[str, object] = field(default_factory=dict)  # where the gateway must not know its account yet


TOP, GROWTH, REPORT = "/top-posts?time_range=30d&limit=50", "/growth-trends?period=7d", "/performance-data?url=nasa"
EVERY_GRAPH_QUESTION = (
    TOP,
    f"{GROWTH}&metrics=reach,views",
    f"{INSIGHTS}views,reach{RANGE}",
    f"{INSIGHTS}impressions,email_contacts,follower_count",
)
UNKNOWN = {"instagram_account_id": "", "page_id": PAGE_ID}
WINDOWS = {"mean": [{"numberOfItems": 30, "value": 12.5}, {"numberOfItems": 6, "value": 10}], "max": []}
BLOCK = {"total": 30, "likes": WINDOWS, "engagement_rate": [{"numberOfItems": 30, "value": 0.035}]}

KINDS: dict[str, Kind] = {
    "profile": Kind(
        "profile",
        {"id": ACCOUNT_ID, "username": "us", "followers_count": 1000},
        (GROWTH, f"{GROWTH}&format=csv", f"{TOP}&account=us"),
    ),
    "posts": Kind(
        "media",
        {"data": POSTS, "paging": {"cursors": {"before": "b", "after": "a"}, "next": f"{GRAPH}/next"}},
        (TOP, f"{TOP}&format=csv", "/top-posts?time_range=30d&limit=2", f"{GROWTH}&metrics=posts"),
    ),
    "totals": Kind(
        "totals",
        {"data": [total_value(name, 70 + i) for i, name in enumerate(("views", "reach", "total_interactions"))]},
        (f"{INSIGHTS}views,impressions,reach", f"{INSIGHTS}views&format=csv", f"{GROWTH}&metrics=views,interactions"),
    ),
    "totals by follow type": Kind(
        FOLLOW,
        {
            "data": [
                total_value("views", 10, [([FOLLOW], [(["FOLLOWER"], 7), (["NON_FOLLOWER"], 3)])]),
                total_value("follows_and_unfollows", None, [([FOLLOW], [(["FOLLOWER"], 20), (["NON_FOLLOWER"], 5)])]),
            ]
        },
        (
            f"{INSIGHTS}views,follows_and_unfollows&breakdown={FOLLOW}",
            f"{INSIGHTS}views&breakdown={FOLLOW}&format=csv",
            GROWTH,
            "/growth-trends?period=40d",
        ),
    ),
    "totals by button": Kind(
        CONTACT,
        {"data": [total_value("profile_links_taps", 11, [([CONTACT], [(["email"], 4), (["CALL"], 7)])])]},
        (
            f"{INSIGHTS}email_contacts,text_message_clicks",
            f"{INSIGHTS}email_contacts,phone_call_clicks&format=csv",
            f"{INSIGHTS}profile_links_taps&breakdown={CONTACT}",
        ),
    ),
    "totals by two breakdowns": Kind(
        f"{PRODUCT},{FOLLOW}",
        {"data": [total_value("reach", 48, [([PRODUCT, FOLLOW], BOTH)])]},
        (
            f"{INSIGHTS}reach&breakdown={PRODUCT},{FOLLOW}",
            f"{INSIGHTS}reach&breakdown={PRODUCT},{FOLLOW}&format=csv",
        ),
    ),
    "series": Kind(
        "series",
        {"data": [series("reach", 100), series("follower_count", 10)]},
        (
            f"{INSIGHTS}reach{RANGE}",
            f"/account-insights?period=week&metrics=follower_count{RANGE}",
            f"{INSIGHTS}follower_count{RANGE}&format=csv",
        ),
    ),
    "graph refusal": Kind(
        "instagram",
        graph_error(100, 2108006, "It was posted before.", is_transient=False, error_user_msg="Sorry."),
        EVERY_GRAPH_QUESTION,
        (400, 200, 403, 429, 500),
    ),
    "throttled": Kind("instagram", graph_error(4), EVERY_GRAPH_QUESTION, (400, 429)),
    "linked page": Kind(
        "page",
        {"instagram_business_account": {"id": ACCOUNT_ID}, "id": PAGE_ID},
        (TOP,),
        settings=UNKNOWN,
    ),
    "own account": Kind(
        "me",
        {"user_id": ACCOUNT_ID, "id": "26000000000000001"},
        (TOP,),
        settings=UNKNOWN | {"page_id": "", "graph_login": "instagram", "access_long_lived_token": "IGAAtest0123456789"},
    ),
    "report": Kind(
        "report", {"posts": BLOCK, "reels": {"total": 0, "views": WINDOWS}}, (REPORT, f"{REPORT}&format=csv")
    ),
    "not ready, by code": Kind(
        "report", {"error": True, "code": "retry_later", "message": "Wait."}, (REPORT,), (400, 200, 429, 503)
    ),
    "not ready, by status": Kind("report", {"status": "retry_later", "message": "Wait."}, (REPORT,), (200, 202)),
    "modash refusal": Kind(
        "report",
        {"error": True, "code": "not_enough_credits", "message": "No credits."},
        (REPORT,),
        (403, 200, 400, 404, 429, 500),
    ),
    "balance": Kind(
        "balance", {"error": False, "billing": {"credits": 99.75, "rawRequests": -12}, "rateLimits": {}}, (REPORT,)
    ),
}
GOOD: dict[str, bytes] = {
    kind.address: json.dumps(kind.body).encode() for kind in reversed(KINDS.values()) if kind.address != "instagram"
}
LAST = {"/media": "media", "/performance-data": "report", "/user/info": "balance", "/me": "me", PAGE_ID: "page"}


def address_of(url: str) -> str:
    """Which of the good answers a provider's URL asks for."""
    parts = urlsplit(url)
    if parts.path.endswith("/insights"):
        query = parse_qs(parts.query)
        return query.get("breakdown", ["totals" if "metric_type" in query else "series"])[0]
    return next((name for end, name in LAST.items() if parts.path.endswith(end)), "profile")
