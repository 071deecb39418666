"""Real answers of the providers, as other projects recorded them, lead to the recorded outcome."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
import responses

from services.days import EndTime, parse_provider_time
from services.insights.values import read_days, read_total
from tests.movable_clock import MovableClock
from tests.support import ACCOUNT_ID, GRAPH, MODASH, settings, utc

RECORDED = Path(__file__).parent


def recorded(provider: str, *, succeeded: bool, requests: set[str] | None = None) -> list[object]:
    """The recorded answers of a provider, each a test of its own."""
    bodies = [(path.stem, json.loads(path.read_text())) for path in sorted((RECORDED / provider).glob("*.json"))]
    return [
        pytest.param(body, id=name)
        for name, body in bodies
        if (body["outcome"]["status"] == 200) == succeeded and (requests is None or body["request"] in requests)
    ]


def answer_with(mocked: responses.RequestsMock, host: str, body: dict) -> None:
    mocked.get(
        url=re.compile(f"{host}/.*"),
        json=body["body"],
        status=body["status"],
        headers=body["headers"],
    )


@pytest.mark.parametrize("body", recorded("instagram", succeeded=False))
@responses.activate
def test_a_refusal_of_instagram_gets_its_outcome(make_client, body):
    answer_with(responses, GRAPH, body)

    # A gateway that knows the page only must find its account first, which is one more read that can be refused.
    unknown = "" if body["request"] == "linked_account" else ACCOUNT_ID
    response = make_client(settings(instagram_account_id=unknown)).get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"]) == (body["outcome"]["status"], body["outcome"]["code"])
    assert response.get_json()["provider"] == "instagram"
    assert response.get_json()["hint"]


@pytest.mark.parametrize("body", recorded("modash", succeeded=False, requests={"performance_data"}))
@responses.activate
def test_a_refusal_of_modash_gets_its_outcome(make_client, body):
    answer_with(responses, MODASH, body)

    response = make_client().get("/performance-data?url=nasa")

    assert response.status_code == body["outcome"]["status"]
    reply = response.get_json()
    assert reply.get("code", reply.get("status")) == body["outcome"]["code"]
    assert len(responses.calls) == 1


@pytest.mark.parametrize("body", recorded("modash", succeeded=True, requests={"performance_data"}))
@responses.activate
def test_a_report_of_modash_is_passed_on_unchanged(make_client, body):
    responses.get(f"{MODASH}/v1/instagram/performance-data", json=body["body"])

    reply = make_client().get("/performance-data?url=nasa").get_json()

    assert (reply["posts"], reply["reels"]) == (body["body"].get("posts"), body["body"].get("reels"))
    assert reply["meta"]["cost"] == {"credits": 0.25, "credits_left": None, "as_of": None}


@pytest.mark.parametrize("body", recorded("instagram", succeeded=True, requests={"account_insights"}))
def test_a_number_is_read_only_where_there_is_one(body):
    items = {item["name"]: item for item in body["body"]["data"] if "name" in item}

    for metric, expected in body["outcome"]["numbers"].items():
        if isinstance(expected, list):
            days = read_days(items.get(metric), EndTime.DAY_END)
            known = {day: reading.value for day, reading in days.items() if reading.value is not None}
            wanted = {
                EndTime.DAY_END.day(int(parse_provider_time(end).timestamp())): value
                for end, value in expected
                if end is not None and isinstance(value, int | float)
            }
            assert known == wanted
        elif isinstance(expected, dict) and "total" in expected:
            reading = read_total(items[metric], expected.get("keys", []))
            assert reading.value == expected["total"]
            listed = {"|".join(bucket): value for bucket, value in (reading.buckets or {}).items() if value}
            assert listed == {bucket: value for bucket, value in expected.get("buckets", {}).items() if value}
        else:
            assert read_total(items.get(metric), []).value is None


@pytest.mark.parametrize("body", recorded("instagram", succeeded=True, requests={"media"}))
@responses.activate
def test_every_post_of_a_page_is_read_with_its_known_counts(make_client, body):
    pages = iter([body["body"], {"data": []}])
    responses.add_callback(
        responses.GET, f"{GRAPH}/v25.0/{ACCOUNT_ID}/media", lambda _: (200, {}, json.dumps(next(pages)))
    )
    times = [parse_provider_time(post.get("timestamp")) for post in body["body"]["data"]]
    now = max([time for time in times if time], default=utc("2026-01-01")) + timedelta(minutes=1)

    body_ = make_client(clock=MovableClock(now)).get("/top-posts?time_range=30d&limit=50").get_json()

    expected = body["outcome"]["numbers"]["posts"]
    within = [
        post["id"]
        for post, time in zip(body["body"]["data"], times, strict=True)
        if time and time >= now - timedelta(days=30)
    ]
    counts = {post["id"]: [post["like_count"], post["comments_count"]] for post in body_["top_posts"]}
    assert counts == {post_id: expected[post_id] for post_id in within}
