"""Insights within the fields of other calls: many media at once, all of them or none."""

import json

import pytest

from tests.simulator.caller import error

COMMON = "reach,views,saved,shares,total_interactions"
FIELDS = f"id,timestamp,media_product_type,like_count,insights.metric({COMMON})"


def numbers(media):
    return {item["name"]: item["values"][0]["value"] for item in media["insights"]["data"]}


def truth(caller, **parameters):
    posts = caller.truth(insights="true", **{"since": "2026-06-01", **parameters})["posts"]
    return {post["id"]: post["insights"] for post in posts}


def matches(media, insights):
    return numbers(media) == {name: insights[media["id"]][name] for name in COMMON.split(",")}


def used(caller):
    """Return how many calls were received, and for how many they count."""
    calls = caller.own("/calls")["instagram"]
    return calls["total"], calls["counted"]


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_a_page_of_the_list_has_the_insights_of_each_media(caller, login):
    read, insights = getattr(caller, login), truth(caller)

    page = read(f"/{caller.account}/media", fields=FIELDS, limit=50).json()["data"]

    assert len(page) == 50
    assert all(matches(media, insights) for media in page)
    alone = read(f"/{page[0]['id']}/insights", metric=COMMON).json()
    assert page[0]["insights"] == alone


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_the_list_within_the_profile_is_walked_by_its_cursor(caller, login):
    caller.switch(repeat_post=False)
    read, insights, walked, after = getattr(caller, login), truth(caller), [], ""
    for _ in range(3):
        fields = f"username,followers_count,media.limit(10){after}{{id,insights.metric({COMMON})}}"
        profile = read(f"/{caller.account}", fields=fields).json()
        walked += profile["media"]["data"]
        after = f".after({profile['media']['paging']['cursors']['after']})"
        assert profile["username"] == "corner.bakery"

    assert [media["id"] for media in walked] == list(insights)[:30]
    assert all(matches(media, insights) for media in walked)


def test_the_address_of_the_next_page_keeps_the_expansion(caller):
    nested = caller.graph(f"/{caller.account}", fields=f"media.limit(4){{{FIELDS}}}").json()["media"]

    second = caller.session.get(nested["paging"]["next"], timeout=10).json()

    assert len(second["data"]) == 4
    assert all(set(numbers(media)) == set(COMMON.split(",")) for media in second["data"])


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_one_media_comes_with_its_insights_in_one_call(caller, login):
    read, insights = getattr(caller, login), truth(caller)
    media_id = next(iter(insights))

    media = read(f"/{media_id}", fields=f"id,comments_count,insights.metric({COMMON})").json()

    assert matches(media, insights)
    assert "comments_count" in media


def test_breakdowns_and_single_fields_of_items_can_be_asked_for(caller):
    media_id = next(p["id"] for p in caller.truth(since="2026-06-01")["posts"] if p["media_product_type"] == "FEED")

    fields = "insights.metric(profile_activity).breakdown(action_type){name,total_value}"
    [item] = caller.graph(f"/{media_id}", fields=fields).json()["insights"]["data"]

    assert set(item) == {"name", "total_value", "id"}
    assert item["total_value"]["breakdowns"][0]["dimension_keys"] == ["action_type"]


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_one_media_that_is_refused_takes_the_whole_page_with_it(caller, login):
    read, (fifth, *_) = getattr(caller, login), list(caller.truth(since="2026-06-01")["posts"])[4:]
    caller.switch(pre_conversion_before=fifth["timestamp"])

    def page(limit, fields=FIELDS):
        return read(f"/{caller.account}/media", fields=fields, limit=limit)

    assert error(page(10))["error_subcode"] == 2108006
    assert len(page(5).json()["data"]) == 5
    assert len(page(10, "id,like_count").json()["data"]) == 10
    nested = read(f"/{caller.account}", fields=f"username,media.limit(6){{{FIELDS}}}")
    assert error(nested)["error_subcode"] == 2108006


def test_by_a_switch_only_the_refused_media_lacks_its_insights(caller):
    fifth = caller.truth(since="2026-06-01")["posts"][4]
    caller.switch(pre_conversion_before=fifth["timestamp"], expansion_refusals="omitted")

    page = caller.media(fields=FIELDS, limit=10).json()["data"]

    assert ["insights" in media for media in page] == [True] * 5 + [False] * 5
    assert "must be one of" in error(caller.media(fields="insights.metric(plays)"))["message"]
    assert error(caller.graph(f"/{page[-1]['id']}/insights", metric="reach"))["error_subcode"] == 2108006


@pytest.mark.parametrize(
    ("metrics", "code", "text"),
    [
        ("reach,follows", 100, "does not support the follows metric for this media product type"),
        ("reach,ig_reels_avg_watch_time", 100, "does not support the ig_reels_avg_watch_time metric"),
        ("reach,plays", 100, "metric[1] must be one of the following values"),
        ("reach,facebook_views", -1, "Fatal"),
    ],
)
def test_a_metric_that_one_media_does_not_have_refuses_the_page(caller, metrics, code, text):
    refused = error(caller.media(fields=f"id,insights.metric({metrics})", limit=25))

    assert refused["code"] == code
    assert text in refused["message"]


@pytest.mark.parametrize("fields", ["id,insights", "id,insights.period(lifetime)", "id,insights.metric()"])
def test_insights_without_a_metric_are_refused(caller, fields):
    refused = error(caller.media(fields=fields))

    assert (refused["code"], refused["message"]) == (
        100,
        "(#100) For field 'insights': The parameter metric is required",
    )


def test_pictures_of_albums_lack_the_key(caller):
    page = caller.media(fields="media_type,children{id,insights.metric(reach)}", limit=50).json()["data"]

    children = [child for media in page if "children" in media for child in media["children"]["data"]]
    assert children
    assert all(set(child) == {"id"} for child in children)


def test_live_stories_come_with_their_insights(caller):
    caller.become("prolific")
    stories = caller.own(f"/truth/{caller.account}/stories", insights="true")["stories"]
    expected = {story["id"]: story["insights"]["replies"] for story in stories if story["is_live"]}

    fields = "id,insights.metric(reach,replies)"
    listed = caller.graph(f"/{caller.account}/stories", fields=fields, limit=100).json()

    assert {media["id"]: numbers(media)["replies"] for media in listed["data"]} == expected


@pytest.mark.parametrize("weight", ["one", "media"])
def test_a_page_counts_as_one_call_or_as_one_for_each_media(caller, weight):
    caller.switch(expansion_weight=weight)
    media = 1 if weight == "one" else 100

    for _ in range(4):
        caller.media(fields=FIELDS, limit=100)
    headers = caller.media(fields="id", limit=100).headers

    percent = (4 * media + 1) // 120  # One percent of the limits is 120 calls.
    assert used(caller) == (5, 4 * media + 1)
    assert json.loads(headers["x-app-usage"])["call_count"] == percent
    assert json.loads(headers["x-business-use-case-usage"])[caller.account][0]["call_count"] == percent


def test_a_refused_page_counts_too(caller):
    caller.switch(expansion_weight="media", shared_to_facebook="none")

    caller.media(fields="insights.metric(facebook_views)", limit=25)

    assert used(caller) == (1, 1)


def test_a_batch_carries_expansions_and_counts_each_part(caller):
    caller.switch(expansion_weight="media", repeat_post=False)
    insights = truth(caller)
    parts = [
        {"method": "GET", "relative_url": f"{caller.account}/media?fields={FIELDS}&limit=10"},
        {"method": "GET", "relative_url": f"{caller.account}/media?fields=id,insights.metric(plays)&limit=10"},
        {"method": "GET", "relative_url": f"{next(iter(insights))}/insights?metric=reach"},
    ]

    form = {"batch": json.dumps(parts), "access_token": caller.token}
    reply = caller.session.post(f"{caller.simulator.url}/graph.facebook.com/v25.0/", data=form, timeout=10)

    page, refused, alone = reply.json()
    assert [part["code"] for part in (page, refused, alone)] == [200, 400, 200]
    assert all(matches(media, insights) for media in json.loads(page["body"])["data"])
    assert json.loads(refused["body"])["error"]["code"] == 100
    assert used(caller) == (3, 10 + 1 + 1)


def test_faults_of_single_metrics_reach_expansions(caller):
    caller.fault("instagram", "refuse_metric", metric="saved")

    assert "does not support the saved metric" in error(caller.media(fields=FIELDS))["message"]
    assert caller.media(fields="insights.metric(reach)").status_code == 200
    caller.order("/reset")
    caller.order("/clock", now="2026-11-21T20:00:00Z")
    caller.fault("instagram", "drop_metric", metric="saved")
    assert all("saved" not in numbers(media) for media in caller.media(fields=FIELDS).json()["data"])


def test_too_much_at_once_is_refused_by_a_fault(caller):
    caller.fault("instagram", "reduce_data", above=25)

    refused = caller.graph(f"/{caller.account}", fields=f"media.limit(50){{{FIELDS}}}")

    assert (refused.status_code, error(refused)["code"]) == (500, 1)
    assert caller.graph(f"/{caller.account}", fields=f"media.limit(25){{{FIELDS}}}").status_code == 200


def test_by_a_switch_the_range_of_the_list_is_ignored(caller):
    window = {"since": "2026-10-01", "until": "2026-10-02", "fields": "timestamp"}
    filtered = caller.media(**window).json()["data"]

    caller.switch(media_window="ignored")

    assert all(media["timestamp"].startswith("2026-10-0") for media in filtered)
    assert caller.media(**window).json()["data"] == caller.media(fields="timestamp").json()["data"]
