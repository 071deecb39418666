"""Planned provider answers and the calls that read them: the wire below, the gateway's caller above."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from urllib.parse import parse_qs, urlsplit

import responses
from responses.matchers import query_param_matcher

from services.days import EndTime, provider_time
from tests.support import ACCOUNT_ID, GRAPH, total_value

USER = f"{GRAPH}/v25.0/{ACCOUNT_ID}"
MEDIA = f"{USER}/media"
INSIGHTS = f"{USER}/insights"
NEXT_PAGE = "https://graph.facebook.com/next"
NOTHING = (200, {"data": []})


def body_of(client, path, **query):
    """The JSON of a reply that must be 200."""
    response = client.get(path, query_string=query or None)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def values_of(insight):
    return [value["value"] for value in insight["values"]]


def without(item, *names):
    return {name: value for name, value in item.items() if name not in names}


def query_of(request):
    """The query of a call on the wire, each parameter once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}


# Posts


def post(name, timestamp="2026-06-14T12:00:00+0000", **fields):
    """A post as the Graph API lists it."""
    return {
        "id": name,
        "timestamp": timestamp,
        "permalink": f"https://www.instagram.com/p/{name}/",
        "caption": name,
        "media_type": "IMAGE",
        "media_product_type": "FEED",
        "like_count": 1,
        "comments_count": 1,
    } | fields


def plan_posts(wire, *pages, more=False):
    """Plan pages that are reached by the cursors C1, C2 and so on; the last has a link only if there are `more`."""
    for number, posts in enumerate(pages or [[]]):
        paging = {"cursors": {"before": "B", "after": f"C{number + 1}"}}
        if more or number + 1 < len(pages):
            paging["next"] = NEXT_PAGE
        match = query_param_matcher({"after": f"C{number}"} if number else {}, strict_match=False)
        wire.get(MEDIA, json={"data": list(posts), "paging": paging}, match=[match])


# Profile and insights


def plan_profile(wire, *, followers=1000, **fields):
    counted = {} if followers is None else {"followers_count": followers}
    return wire.get(USER, json={"id": ACCOUNT_ID} | counted | fields)


def plan_insights(wire, answer):
    """Plan insights: `answer` gets the query of each call and returns status and body, as JSON or as raw text."""

    def callback(request):
        status, body = answer(query_of(request))
        return status, {}, body if isinstance(body, str) else json.dumps(body)

    wire.add_callback(responses.GET, INSIGHTS, callback=callback)


def totals(query, value):
    """The answer to a call for totals, the same value for each metric."""
    return 200, {"data": [total_value(name, value) for name in query["metric"].split(",")]}


def follows(gained=None, lost=None, total=None):
    """Follows and unfollows as Meta gives them: one metric with two buckets, either of which may be missing."""
    counts = [("FOLLOWER", gained), ("NON_FOLLOWER", lost)]
    results = [([name], count) for name, count in counts if count is not None]
    return 200, {"data": [total_value("follows_and_unfollows", total, [(["follow_type"], results)])]}


def series(name, values: dict[date, object] | Iterable[tuple[date, object]]):
    """A metric by day, with the end times of Meta."""
    points = [
        {"value": value, "end_time": provider_time(EndTime.DAY_END.of(day))} for day, value in dict(values).items()
    ]
    return {"name": name, "period": "day", "values": points}
