"""Insights of media: which product type has which metric by which login, the values, and the refusals."""

import pytest

from tests.simulator.caller import answered, error

COMMON = ("reach", "views", "shares", "reposts", "total_interactions")
POSTS, PROFILE = ("likes", "comments", "saved"), ("follows", "profile_visits", "profile_activity")
WATCHED = ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate", "crossposted_views")
FACEBOOK = ("facebook_views", "total_likes", "total_comments", "total_views", "link_clicks")
# Section 3.1 of the fact sheet; impressions is for media from before 2024-07-02 only.
MATRIX = {
    "FEED": {*COMMON, *POSTS, *PROFILE, "facebook_views", "total_likes", "total_comments", "total_views"},
    "REELS": {*COMMON, *POSTS, *WATCHED, "facebook_views", "total_likes", "total_comments", "total_views"},
}
LISTED = (
    "impressions, reach, replies, saved, likes, comments, shares, total_interactions, follows, profile_visits, "
    "profile_activity, navigation, ig_reels_video_view_total_time, ig_reels_avg_watch_time, views, reels_skip_rate, "
    "reposts, facebook_views, crossposted_views, total_views, total_likes, total_comments, link_clicks"
)
SHAPES = {
    "image": ("FEED", "IMAGE"),
    "video": ("FEED", "VIDEO"),
    "album": ("FEED", "CAROUSEL_ALBUM"),
    "reel": ("REELS", "VIDEO"),
    "ad": ("AD", "IMAGE"),
}


@pytest.fixture
def posts(caller):
    """The truth about one post of each shape."""
    caller.switch(shared_to_facebook="all")
    return {name: one_of(caller, *shape) for name, shape in SHAPES.items()}


def one_of(caller, product_type, media_type, since="2026-08-01", **parameters):
    found = caller.truth(since=since, insights="true", **parameters)["posts"]
    return next(p for p in found if (p["media_product_type"], p["media_type"]) == (product_type, media_type))


@pytest.mark.parametrize("login", ["graph", "instagram"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_product_type_answers_its_metrics_and_refuses_the_others(read, posts, login, shape):
    product_type = {"AD": "FEED"}.get(SHAPES[shape][0], SHAPES[shape][0])
    expected = MATRIX[product_type] - (set(FACEBOOK) if login == "instagram" else set())

    assert answered(read, login, posts[shape]["id"]) == expected


@pytest.mark.parametrize("login", ["graph", "instagram"])
@pytest.mark.parametrize("shape", ["image", "reel"])
def test_values_are_those_of_the_truth_in_the_shape_of_the_api(read, posts, login, shape):
    post = posts[shape]
    names = sorted(MATRIX[post["media_product_type"]] - set(FACEBOOK))

    reply = read(login, post["id"], ",".join(names))

    assert reply.status_code == 200
    assert set(reply.json()) == {"data"}
    for item, name in zip(reply.json()["data"], names, strict=True):
        assert item["values"] == [{"value": post["insights"][name]}]
        assert item["id"] == f"{post['id']}/insights/{name}/lifetime"
        assert set(item) == {"name", "period", "values", "title", "description", "id"}
        assert (item["name"], item["period"]) == (name, "lifetime")
    if shape == "reel":
        assert isinstance(post["insights"]["reels_skip_rate"], float)
        watched = post["insights"]["ig_reels_avg_watch_time"] * post["insights"]["views"]
        assert post["insights"]["ig_reels_video_view_total_time"] == watched


def test_interactions_are_likes_comments_saves_and_shares(posts):
    for post in posts.values():
        numbers = post["insights"]
        assert numbers["total_interactions"] == sum(numbers[name] for name in ("likes", "comments", "saved", "shares"))
        assert numbers["likes"] == post["like_count"]
        assert numbers["total_likes"] >= numbers["likes"]


def test_values_grow_with_the_post_and_the_truth_has_them_for_any_moment(caller, read):
    post = one_of(caller, "FEED", "IMAGE", since="2026-11-15")
    seen = []
    for days in range(3):
        moment = caller.own("/clock")["now"]
        items = read("graph", post["id"], "reach,views,profile_visits").json()["data"]
        values = {item["name"]: item["values"][0]["value"] for item in items}
        truth = caller.truth(since="2026-11-15", until="2026-11-21", insights="true", at=moment)["posts"]
        expected = next(each for each in truth if each["id"] == post["id"])["insights"]
        assert values == {name: expected[name] for name in values}
        seen.append(values)
        caller.order("/clock", advance=86_400 * (days + 1))

    for name in ("reach", "views", "profile_visits"):
        values = [each[name] for each in seen]
        assert values == sorted(values)
    assert seen[-1]["reach"] > seen[0]["reach"]


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_a_breakdown_comes_beside_the_value_in_lower_case_without_zeros(read, posts, login):
    post = posts["image"]

    [item] = read(login, post["id"], "profile_activity", breakdown="action_type").json()["data"]

    [breakdown] = item["total_value"]["breakdowns"]
    found = {entry["dimension_values"][0]: entry["value"] for entry in breakdown["results"]}
    expected = {name.lower(): value for name, value in post["insights_buckets"]["profile_activity"].items() if value}
    assert breakdown["dimension_keys"] == ["action_type"]
    assert found == expected
    assert item["values"] == [{"value": item["total_value"]["value"]}]
    assert item["total_value"]["value"] == sum(found.values()) == post["insights"]["profile_activity"]


def test_a_total_value_can_be_asked_for(read, posts):
    [item] = read("graph", posts["image"]["id"], "views", metric_type="total_value", period="lifetime").json()["data"]

    assert item["total_value"]["value"] == item["values"][0]["value"] == posts["image"]["insights"]["views"]


@pytest.mark.parametrize(
    ("login", "kind", "beginning"),
    [
        ("graph", "OAuthException", "(#100) The Media Insights API does not support the profile_visits metric"),
        ("instagram", "IGApiException", "The Media Insights API does not support the profile_visits, follows metric"),
    ],
)
def test_a_metric_of_another_product_type_is_named(read, posts, login, kind, beginning):
    reply = read(login, posts["reel"]["id"], "reach,profile_visits,follows")

    assert (reply.status_code, error(reply)["code"], error(reply)["type"]) == (400, 100, kind)
    assert error(reply)["message"] == f"{beginning} for this media product type."


@pytest.mark.parametrize("name", ["plays", "engagement", "video_views", "clips_replays_count", "taps_forward", "x"])
@pytest.mark.parametrize("shape", ["image", "reel"])
def test_an_unknown_metric_is_refused_with_the_list_of_all(read, posts, shape, name):
    reply = read("graph", posts[shape]["id"], f"reach,{name}")

    assert error(reply)["message"] == f"(#100) metric[1] must be one of the following values: {LISTED}"
    assert error(reply)["code"] == 100


def test_metrics_of_the_facebook_login_are_refused_in_either_wording(caller, read, posts):
    for name in FACEBOOK:
        assert "must be one of" in error(read("instagram", posts["image"]["id"], name))["message"]
    caller.switch(igl_facebook_metrics="unsupported")
    for name in FACEBOOK:
        assert "does not support" in error(read("instagram", posts["image"]["id"], name))["message"]
    caller.switch(igl_facebook_metrics="answered")
    assert answered(read, "instagram", posts["reel"]["id"]) == MATRIX["REELS"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"metric": "reach", "breakdown": "mood"},
            "(#100) breakdown[0] must be one of the following values: follow_type, surface_type, action_type, "
            "story_navigation_action_type",
        ),
        (
            {"metric": "reach", "breakdown": "follow_type"},
            "(#100) Incompatible breakdowns (follow_type) for metric (reach)",
        ),
        (
            {"metric": "profile_activity,views", "breakdown": "action_type"},
            "(#100) Incompatible breakdowns (action_type) for metric (views)",
        ),
        (
            {"metric": "reach", "period": "day"},
            "(#100) The following periods (day) are incompatible with the metric (reach)",
        ),
        ({"metric": ""}, "(#100) The parameter metric is required"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(read, posts, parameters, message):
    reply = read("graph", posts["image"]["id"], **parameters)

    assert (reply.status_code, error(reply)["code"], error(reply)["message"]) == (400, 100, message)


@pytest.mark.parametrize(
    ("login", "kind", "message"),
    [("graph", "OAuthException", "Invalid parameter"), ("instagram", "IGApiException", "Parâmetro inválido")],
)
def test_media_from_before_the_conversion_has_no_insights(caller, read, login, kind, message):
    caller.switch(locale="pt")
    caller.become("converted")
    posts = caller.truth(since="2026-01-01", insights="true")["posts"]
    before = next(post["id"] for post in posts if post["before_conversion"])
    after = next(post["id"] for post in posts if not post["before_conversion"])

    refused = error(read(login, before, "reach"))

    assert (refused["code"], refused["error_subcode"], refused["type"]) == (100, 2108006, kind)
    assert refused["message"] == message
    assert refused["error_data"] == {"blame_field_specs": [[""]]}
    assert refused["error_user_title"]
    assert read(login, after, "reach").status_code == 200


def test_a_switch_converts_every_account_at_a_moment(caller, read):
    third, fourth = caller.truth(since="2026-08-01", insights="true")["posts"][-4:-2][::-1]
    caller.switch(pre_conversion_before=fourth["timestamp"])

    posts = caller.truth(since="2026-08-01", insights="true")["posts"]

    assert [post["before_conversion"] for post in posts[-4:]] == [False, True, True, True]
    assert error(read("graph", third["id"], "reach"))["error_subcode"] == 2108006
    assert read("graph", fourth["id"], "reach").status_code == 200


@pytest.mark.parametrize(("metric", "shape"), [("facebook_views", "FEED"), ("crossposted_views", "REELS")])
def test_media_that_is_not_on_facebook_refuses_its_views_there(caller, read, metric, shape):
    posts = [p for p in caller.truth(since="2026-08-01", insights="true")["posts"] if p["media_product_type"] == shape]
    shared, alone = (next(p["id"] for p in posts if p["on_facebook"] is is_on) for is_on in (True, False))

    reply = read("graph", alone, f"reach,{metric}")

    refused = error(reply)
    assert (reply.status_code, refused["code"], refused["error_subcode"]) == (400, -1, 2207086)
    assert refused["message"] == "Fatal"
    assert read("graph", shared, f"reach,{metric}").status_code == 200
    caller.switch(shared_to_facebook="none")
    assert error(read("graph", shared, metric))["code"] == -1


def test_only_old_media_has_impressions(caller, read):
    for since, is_old in (("2024-06-01", True), ("2024-07-03", False)):
        until = "2024-07-01" if is_old else "2024-08-15"
        for media_type, text in (
            ("IMAGE", "(#100) Starting from version v22.0 and above, the impressions metric is no longer supported"),
            ("VIDEO", "(#100) The Media Insights API does not support the impressions metric for this media product"),
        ):
            post = one_of(caller, "FEED", media_type, since=since, until=until)
            reply = read("graph", post["id"], "impressions")
            if is_old:
                assert reply.json()["data"][0]["values"] == [{"value": post["insights"]["views"]}]
            else:
                assert error(reply)["message"].startswith(text)


def test_only_newer_media_has_profile_activity(caller, read, posts):
    caller.switch(profile_activity_since=caller.own("/clock")["now"])

    refused = error(read("graph", posts["image"]["id"], "reach,profile_activity"))

    assert "does not support the profile_activity metric" in refused["message"]


def test_pictures_of_an_album_have_no_insights(caller, read, posts):
    album = posts["album"]["id"]
    child = caller.graph(f"/{album}", fields="children").json()["children"]["data"][0]["id"]

    refused = error(read("graph", child, "reach"))

    assert (refused["code"], refused["error_subcode"]) == (100, 33)
    caller.switch(album_child_insights="empty")
    assert read("instagram", child, "reach").json() == {"data": []}
    assert caller.graph(f"/{child}", fields="id,insights.metric(reach)").json() == {"id": child}


@pytest.mark.parametrize(
    ("switch", "metric", "code"),
    [
        ({"ad_insights": "refused"}, "reach", 100),
        ({"total_views": "refused"}, "total_views", 200),
        ({"plain_navigation": "refused"}, "profile_activity", 100),
        ({"views_needs_metric_type": True}, "views", 100),
    ],
)
def test_what_is_open_has_a_switch(caller, posts, switch, metric, code):
    path = f"/{posts['ad']['id']}/insights"
    assert caller.graph(path, metric=metric).status_code == 200

    caller.switch(**switch)

    assert error(caller.graph(path, metric=metric))["code"] == code
    if metric == "views":
        assert caller.graph(path, metric=metric, metric_type="total_value").status_code == 200


def test_some_media_refuse_views_by_a_switch(caller, read):
    caller.switch(media_without_views=300)
    posts = [p for p in caller.truth(since="2026-08-01", insights="true")["posts"] if p["media_product_type"] == "FEED"]
    odd, usual = (next(p["id"] for p in posts if p["without_views"] is is_odd) for is_odd in (True, False))

    assert "does not support the views metric" in error(read("graph", odd, "reach,views"))["message"]
    assert read("graph", odd, "reach").status_code == 200
    assert read("graph", usual, "reach,views").status_code == 200


def test_some_numbers_fall_at_times_by_a_switch(caller, read):
    caller.switch(media_dips=True)
    post, values = one_of(caller, "FEED", "IMAGE", until="2026-08-31"), []
    for hour in ("20:30", "21:30", "22:30"):
        caller.order("/clock", now=f"2026-11-21T{hour}:00Z")
        items = read("graph", post["id"], "reach,likes").json()["data"]
        values.append({item["name"]: item["values"][0]["value"] for item in items})

    reach, likes = ([value[name] for value in values] for name in ("reach", "likes"))
    assert min(reach) < reach[0]
    assert likes == sorted(likes)


def test_faults_of_single_metrics_reach_media_too(caller, read, posts):
    caller.fault("instagram", "refuse_metric", metric="views", path="/insights")
    assert "does not support the views metric" in error(read("graph", posts["image"]["id"], "reach,views"))["message"]
    caller.order("/reset")
    caller.order("/clock", now="2026-11-21T20:00:00Z")

    caller.fault("instagram", "drop_metric", metric="views")
    items = read("graph", posts["image"]["id"], "reach,views").json()["data"]

    assert [item["name"] for item in items] == ["reach"]


def test_media_of_another_account_has_no_insights_here(caller, read, posts):
    caller.become("big")

    assert error(read("graph", posts["image"]["id"], "reach"))["error_subcode"] == 33
