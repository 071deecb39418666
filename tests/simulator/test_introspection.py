"""What others recorded from Meta's API, read again from the simulator: each metric and field, asked alone.

The author of a Singer tap (plinxore/tap-instagram-user, scripts/introspect.py) asked graph.facebook.com for every
documented metric and field, one by one, on 2026-06-24, and published what came. The requests here are the tap's, the
results are those of the recording; its account was not shared to Facebook. Its script itself gives the same against the
simulator. The requests at the end are those of instagram-graph-api 7.0.0 of npm.
"""

import pytest

from tests.simulator.caller import ACCOUNT, TOKEN, error

RECORDED_AT = "2026-07-01T18:00:00Z"  # Its newest video is a reel, as on the day of the recording.
OK, FATAL = "ok", "Fatal"
UNSUPPORTED = "(#100) The Media Insights API does not support the {} metric for this media product type."
NO_IMPRESSIONS = (
    "(#100) Starting from version v22.0 and above, the impressions metric is no longer supported for the queried media."
    " Please refer to the documentation at https://developers.facebook.com/docs/instagram-api/reference/ig-media/"
    "insights for a list of supported metrics."
)
LISTED = [
    *("impressions", "reach", "replies", "saved", "likes", "comments", "shares", "total_interactions", "follows"),
    *("profile_visits", "profile_activity", "navigation", "ig_reels_video_view_total_time"),
    *("ig_reels_avg_watch_time", "views", "reels_skip_rate", "reposts", "facebook_views", "crossposted_views"),
    *("total_views", "total_likes", "total_comments", "link_clicks"),
]
COMMON = {
    **dict.fromkeys(("reach", "views", "comments", "likes", "saved", "shares", "reposts", "total_interactions"), OK),
    **dict.fromkeys(("total_comments", "total_likes", "total_views"), OK),
    **dict.fromkeys(("navigation", "replies", "link_clicks"), UNSUPPORTED),
    "facebook_views": FATAL,
}
OF_PROFILE = ("profile_activity", "profile_visits", "follows")
OF_REELS = ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate")
IMAGE = {
    **COMMON,
    **dict.fromkeys(OF_PROFILE, OK),
    **dict.fromkeys((*OF_REELS, "crossposted_views"), UNSUPPORTED),
    "impressions": NO_IMPRESSIONS,
}
RECORDED = {
    "IMAGE": IMAGE,
    "CAROUSEL_ALBUM": IMAGE,
    "VIDEO": {
        **COMMON,
        **dict.fromkeys((*OF_PROFILE, "impressions"), UNSUPPORTED),
        **dict.fromkeys(OF_REELS, OK),
        "crossposted_views": FATAL,
    },
}
MEDIA_FIELDS = (
    *("id", "timestamp", "media_type", "media_product_type", "caption", "permalink", "like_count", "comments_count"),
    *("media_url", "thumbnail_url", "owner", "shortcode", "username", "is_comment_enabled", "is_shared_to_feed"),
    *("media_audio_type", "alt_text", "boost_ads_list", "boost_eligibility_info", "legacy_instagram_media_id"),
    *("total_comments_count", "total_like_count", "total_views_count", "saved_count", "shares_count", "reposts_count"),
)


@pytest.fixture
def tap(caller):
    """The requests of the tap's introspection."""
    caller.switch(shared_to_facebook="none")
    caller.order("/clock", now=RECORDED_AT)

    def tap(path, **parameters):
        return caller.get(f"/graph.facebook.com/v22.0/{path}", **parameters, access_token=TOKEN)

    return tap


@pytest.fixture
def samples(caller, tap):
    """The newest media of each media type, found by walking the list from address to address."""
    found, page = {}, tap(f"{ACCOUNT}/media", fields="id,media_type", limit=50).json()
    while len(found) < len(RECORDED):
        for media in page["data"]:
            found.setdefault(media["media_type"], media["id"])
        page = caller.session.get(page["paging"]["next"], timeout=10).json()
    return found


def outcome(reply):
    return OK if reply.status_code == 200 else error(reply)["message"]


@pytest.mark.parametrize("media_type", RECORDED)
def test_each_of_the_23_metrics_of_media_has_the_recorded_outcome(tap, samples, media_type):
    recorded = {name: text.format(name) for name, text in RECORDED[media_type].items()}
    assert set(recorded) == set(LISTED)

    assert {name: outcome(tap(f"{samples[media_type]}/insights", metric=name)) for name in recorded} == recorded


def test_an_invalid_metric_reveals_the_recorded_list(tap, samples):
    refused = outcome(tap(f"{samples['IMAGE']}/insights", metric="__introspect_invalid__", period="day"))

    assert refused.partition("must be one of the following values: ")[2].split(", ") == LISTED


def test_each_field_of_media_has_the_recorded_outcome(tap, samples):
    assert {name: outcome(tap(samples["IMAGE"], fields=name)) for name in MEDIA_FIELDS} == dict.fromkeys(
        MEDIA_FIELDS, OK
    )
    assert outcome(tap(samples["IMAGE"], fields="view_count")) == (
        "(#36104) You do not have permission to access this field outside of the Business Discovery API."
    )


def test_the_tap_extracts_one_metric_of_one_post_a_call(tap):
    fields = "id,timestamp,media_type,media_product_type,comments_count,like_count,owner,shortcode,username"
    window = {"since": 1_781_000_000, "until": 1_782_000_000}
    posts = tap(f"{ACCOUNT}/media", fields=fields, limit=100, **window).json()["data"]
    post = next(post for post in posts if post["media_product_type"] == "FEED")

    plain = tap(f"{post['id']}/insights", metric="reach").json()
    broken_down = tap(f"{post['id']}/insights", metric="profile_activity", breakdown="action_type").json()

    assert [item["values"][0]["value"] >= 0 for item in plain["data"]] == [True]
    assert broken_down["data"][0]["total_value"]["breakdowns"][0]["dimension_keys"] == ["action_type"]


@pytest.mark.parametrize("version", ["", "v18.0"])  # Without a version its addresses have three slashes, else two.
def test_the_npm_client_reads_posts_and_their_insights(caller, version):
    def request(path, **parameters):
        address = f"/graph.facebook.com/{version}//{path}"
        return caller.get(address, access_token=TOKEN, **parameters)

    page = request(f"{ACCOUNT}/media", fields="id,media_product_type", limit="25").json()
    media = next(media["id"] for media in page["data"] if media["media_product_type"] == "FEED")
    after = request(f"{ACCOUNT}/media", fields="id", limit="25", after=page["paging"]["cursors"]["after"]).json()
    items = request(f"{media}/insights", metric="reach,saved").json()["data"]
    everything = request(f"{media}/insights", metric="engagement,impressions,reach,saved")

    assert len(after["data"]) == 25
    assert [(item["name"], item["period"]) for item in items] == [("reach", "lifetime"), ("saved", "lifetime")]
    assert all(set(item["values"][0]) == {"value"} for item in items)
    assert error(everything)["message"].startswith("(#100) metric[0] must be one of the following values: impressions")
