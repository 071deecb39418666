"""GET /capabilities: what Instagram has refused, by metric, breakdown and type of media, and since when."""

from __future__ import annotations

import json

import pytest
import responses

from tests.planners import body_of, plan_insights, post, totals
from tests.support import GRAPH, graph_error, total_value

WORDS = "(#100) The metric is not supported"
REELS = ("17900000000000001", "17900000000000002")


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


def capabilities(client, scope):
    found = body_of(client, "/capabilities")["capabilities"]
    return {(each["metric"], each["breakdown"]): each for each in found if each["scope"] == scope}


def test_a_refused_metric_does_not_work_since_its_refusal_nor_does_what_it_answers(client, clock, wire):
    def answer(query):
        asked = {(metric, query.get("breakdown", "")) for metric in query["metric"].split(",")}
        if asked & {("views", ""), ("likes", "media_product_type")}:
            return 400, graph_error(100, message=WORDS)
        return totals(query, 7)

    plan_insights(wire, answer)
    body_of(client, "/account-insights", period="day", metrics="views,likes,reach")
    body_of(client, "/account-insights", period="day", metrics="likes,reach", breakdown="media_product_type")
    clock.wait(60)

    found = capabilities(client, "account")

    refused = {name: each for name, each in found.items() if each["reason"] == "refused"}
    assert set(refused) == {("views", None), ("impressions", None), ("likes", "media_product_type")}
    assert {(each["works"], each["since"]) for each in refused.values()} == {(False, "2026-06-15T18:00:00Z")}
    assert all(each["message"].endswith(f" ({WORDS})") for each in refused.values())
    assert found["impressions", None]["answered_by"] == "views"
    assert [found[name]["works"] for name in (("likes", None), ("views", "media_product_type"))] == [True, True]


def test_what_instagram_refuses_under_the_name_of_a_successor_or_by_its_only_breakdown_does_not_work(client, wire):
    refused_by = {"contact_button_type", "age"}

    def answer(query):
        if query.get("breakdown") in refused_by or query["metric"] == "online_followers":
            return 400, graph_error(100, message=WORDS)
        if query["period"] == "lifetime":
            (dimension,), names = [query["breakdown"]], query["metric"].split(",")
            return 200, {"data": [total_value(name, None, [([dimension], [(["X"], 7)])]) for name in names]}
        return totals(query, 7)

    plan_insights(wire, answer)
    taps = body_of(client, "/account-insights", period="day", metrics="reach,email_contacts")
    body_of(client, "/audience")
    found = capabilities(client, "account")
    refused_by |= {"gender", "city", "country"}
    body_of(client, "/audience", metrics="follower_demographics", timeframe="this_week")
    later = capabilities(client, "account")

    assert taps["data"][1]["values"][0]["value"] is None
    buttons = ("email_contacts", "get_directions_clicks", "phone_call_clicks", "text_message_clicks")
    demographics = ("follower_demographics", "engaged_audience_demographics")
    refused = {name for name, each in found.items() if each["reason"] == "refused"}
    assert refused == {
        ("profile_links_taps", "contact_button_type"),
        ("online_followers", None),
        *((name, None) for name in buttons),
        *((name, "age") for name in demographics),
    }
    assert all(found[name]["message"].endswith(f" ({WORDS})") for name in refused)
    works = {(*name, each["works"]) for name, each in later.items() if name[0] in demographics}
    everything = (None, "age", "gender", "city", "country")
    assert works == {("follower_demographics", each, False) for each in everything} | {
        ("engaged_audience_demographics", each, each != "age") for each in everything
    }


def test_a_metric_of_media_works_only_if_each_does_that_stands_for_it(client, wire):
    def answer(request):
        metrics = request.params["metric"].split(",")
        if "comments" in metrics:
            return 400, {}, json.dumps(graph_error(100, message=WORDS))
        return 200, {}, json.dumps({"data": [{"name": name, "values": [{"value": 7}]} for name in metrics]})

    for reel in REELS:
        wire.get(f"{GRAPH}/v25.0/{reel}", json=post(reel, media_product_type="REELS"))
        wire.add_callback("GET", f"{GRAPH}/v25.0/{reel}/insights", answer)
        body_of(client, f"/api/instagram/insights/{reel}", metrics="views,likes,comments")

    found = capabilities(client, "REELS")

    assert {name: found[name, None]["works"] for name in ("views", "likes", "comments", "engagement")} == {
        "views": True,
        "likes": True,
        "comments": False,
        "engagement": False,
    }
    assert found["engagement", None]["reason"] == found["comments", None]["reason"]


def test_an_answer_without_a_number_says_nothing_of_a_type_of_media(client, wire):
    wire.get(f"{GRAPH}/v25.0/{REELS[0]}", json=post(REELS[0], media_product_type="AD"))
    wire.get(f"{GRAPH}/v25.0/{REELS[0]}/insights", json={"data": []})

    body_of(client, f"/api/instagram/insights/{REELS[0]}", metrics="views")

    assert capabilities(client, "AD")["views", None]["works"] is None
