"""Public clients of the Graph API, their code unchanged, read the simulator as they read graph.facebook.com.

They were written by others against Meta's servers, so what they accept is evidence that the simulator speaks as those
do. facebook_business is large and therefore not among the requirements; where it is installed it reads along.
"""

import importlib.util
import json
import warnings
from datetime import datetime
from functools import partial
from itertools import islice, pairwise
from urllib.request import Request, urlopen
from zoneinfo import ZoneInfo

import pytest

from simulator import Simulator

ACCOUNT = "17841400000000000"
TOKEN = "EAASANDBOXUSERTOKEN"
APP, SECRET = "200000000000000", "sandbox-app-secret"
PACIFIC = ZoneInfo("America/Los_Angeles")
NOW = "2026-09-15T19:00:00Z"
DAYS = ("2026-09-01", "2026-09-02", "2026-09-03")  # Long enough ago for nothing to be held back.
NEWEST = 20  # posts that are read with their insights, on two pages
POST = ["id", "timestamp", "media_product_type", "like_count", "comments_count"]


def library(name):
    """Import a client; facebook-sdk 3.1.0 has an invalid escape, which only its first import reveals."""
    with warnings.catch_warnings():
        for category in (DeprecationWarning, SyntaxWarning):  # The first up to Python 3.11, the second from 3.12.
            warnings.filterwarnings("ignore", ".*invalid escape sequence", category)
        return importlib.import_module(name)


class PyFacebook:
    """python-facebook-api, by sns-sdks: its `base_url`; it signs with appsecret_proof and follows `paging.next`."""

    def __init__(self, graph, token, monkeypatch):
        pyfacebook = library("pyfacebook")
        self.failure = pyfacebook.FacebookError
        self._api = pyfacebook.IGBusinessApi(
            app_id=APP, app_secret=SECRET, access_token=token, instagram_business_id=ACCOUNT, base_url=f"{graph}/"
        )

    def profile(self, *fields):
        return self._api.user.get_info(fields=fields).to_dict()

    def posts(self):
        return self._api.user.get_media(fields=POST, count=None, limit=100, return_json=True)["data"]

    def newest(self, *fields):
        return self._api.user.get_media(fields=fields, count=NEWEST, limit=NEWEST // 2, return_json=True)["data"]

    def post(self, media_id, *fields):
        return self._api.media.get_info(media_id, fields=fields, return_json=True)

    def post_insights(self, media_id, *metrics, **options):
        return self._api.media.get_insights(media_id, metric=metrics, return_json=True, **options)["data"]

    def insights(self, *metrics, **options):
        return self._api.user.get_insights(metric=metrics, period="day", return_json=True, **options)["data"]

    def token_details(self):
        return self._api.debug_token(TOKEN, access_token=f"{APP}|{SECRET}")["data"]

    def codes(self, failure):
        return failure.code, getattr(failure, "error_subcode", None)


class FacebookSdk:
    """facebook-sdk, by Mobolic: a constant of its module; it asks for v3.1, which ended years ago."""

    def __init__(self, graph, token, monkeypatch):
        facebook = library("facebook")
        monkeypatch.setattr(facebook, "FACEBOOK_GRAPH_URL", f"{graph}/")
        self.failure = facebook.GraphAPIError
        self._api = facebook.GraphAPI(access_token=token, version="3.1")

    def profile(self, *fields):
        return self._api.get_object(ACCOUNT, fields=",".join(fields))

    def posts(self):
        return list(self._api.get_all_connections(ACCOUNT, "media", fields=",".join(POST), limit=100))

    def newest(self, *fields):
        posts = self._api.get_all_connections(ACCOUNT, "media", fields=",".join(fields), limit=NEWEST // 2)
        return list(islice(posts, NEWEST))

    def post(self, media_id, *fields):
        return self._api.get_object(media_id, fields=",".join(fields))

    def post_insights(self, media_id, *metrics, **options):
        return self._api.get_connections(media_id, "insights", metric=",".join(metrics), **options)["data"]

    def together(self, media_ids, metric):
        parts = [{"method": "GET", "relative_url": f"{media_id}/insights?metric={metric}"} for media_id in media_ids]
        answers = self._api.request("v3.1/", post_args={"batch": json.dumps(parts)})
        return [json.loads(answer["body"]) for answer in answers]

    def insights(self, *metrics, **options):
        return self._api.get_connections(ACCOUNT, "insights", metric=",".join(metrics), period="day", **options)["data"]

    def token_details(self):
        return self._api.debug_access_token(TOKEN, APP, SECRET)["data"]

    def codes(self, failure):
        return failure.code, failure.result["error"].get("error_subcode")


class BusinessSdk:
    """facebook_business, by Meta: a constant of its session; lists go as JSON, and a node's path ends in a slash."""

    def __init__(self, graph, token, monkeypatch):
        api = library("facebook_business.api")
        monkeypatch.setattr(api.FacebookSession, "GRAPH", graph)
        self.failure = importlib.import_module("facebook_business.exceptions").FacebookRequestError
        self._api = api.FacebookAdsApi(api.FacebookSession(APP, SECRET, token))
        users = importlib.import_module("facebook_business.adobjects.iguser")
        self._account = users.IGUser(ACCOUNT, api=self._api)

    def profile(self, *fields):
        return self._account.api_get(fields=list(fields)).export_all_data()

    def posts(self):
        return [post.export_all_data() for post in self._account.get_media(fields=POST, params={"limit": 100})]

    def newest(self, *fields):
        posts = self._account.get_media(fields=fields, params={"limit": NEWEST // 2})
        return [post.export_all_data() for post in islice(posts, NEWEST)]

    def post(self, media_id, *fields):
        return self._media(media_id).api_get(fields=fields).export_all_data()

    def post_insights(self, media_id, *metrics, **options):
        breakdown = {"breakdown": [options["breakdown"]]} if options else {}
        items = self._media(media_id).get_insights(params={"metric": list(metrics), **breakdown})
        return [item.export_all_data() for item in items]

    def together(self, media_ids, metric):
        batch, answers = self._api.new_batch(), {}
        for media_id in media_ids:
            callback = partial(answers.__setitem__, media_id)
            params = {"metric": [metric]}
            self._media(media_id).get_insights(params=params, batch=batch, success=callback, failure=callback)
        batch.execute()
        return [answers[media_id].json() for media_id in media_ids]

    def _media(self, media_id):
        return importlib.import_module("facebook_business.adobjects.igmedia").IGMedia(media_id, api=self._api)

    def insights(self, *metrics, **options):
        breakdown = {"breakdown": [options.pop("breakdown")]} if "breakdown" in options else {}
        params = {"metric": list(metrics), "period": ["day"], **options, **breakdown}
        return [item.export_all_data() for item in self._account.get_insights(params=params)]

    def token_details(self):
        params = {"input_token": TOKEN, "access_token": f"{APP}|{SECRET}", "appsecret_proof": None}
        return self._api.call("GET", ("debug_token",), params=params).json()["data"]

    def codes(self, failure):
        return failure.api_error_code(), failure.api_error_subcode()


@pytest.fixture(scope="module")
def simulator():
    running = Simulator(seed=1)
    running.start(port=0)
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def frozen(simulator):
    own(simulator, "reset", {})
    own(simulator, "clock", {"now": NOW})


INSTALLED = [PyFacebook, FacebookSdk, *([BusinessSdk] if importlib.util.find_spec("facebook_business") else [])]


@pytest.fixture(params=INSTALLED)
def connect(request, simulator, monkeypatch):
    def connect(token=TOKEN, host="graph.facebook.com"):
        return request.param(f"{simulator.url}/{host}", token, monkeypatch)

    return connect


@pytest.fixture
def truth(simulator):
    return own(simulator, f"truth/{ACCOUNT}?since=2020-01-01")


@pytest.fixture
def published(simulator):
    """The posts of some months with their insights, by media product type."""
    posts = own(simulator, f"truth/{ACCOUNT}?since=2026-06-01&insights=true")["posts"]
    return {kind: [post for post in posts if post["media_product_type"] == kind] for kind in ("FEED", "REELS", "AD")}


def own(simulator, path, body=None):
    """Return the answer of one of the simulator's own paths."""
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{simulator.url}/_simulator/{path}", data, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)


def midnight(day):
    return int(datetime.fromisoformat(day).replace(tzinfo=PACIFIC).timestamp())


def of_days(truth, *names):
    days = {day["date"]: day for day in truth["days"]}
    return [days[date]["metrics"][name] for name in names for date in DAYS]


def test_the_profile_is_read(connect, truth):
    profile = connect().profile("id", "username", "followers_count", "media_count")

    assert profile["id"] == ACCOUNT
    assert profile["username"] == "corner.bakery"
    assert profile["followers_count"] == truth["followers_count"]


def test_all_pages_of_the_media_are_read(connect, truth):
    posts = connect().posts()

    assert {post["id"] for post in posts} == {post["id"] for post in truth["posts"]}
    assert all(earlier["timestamp"] >= later["timestamp"] for earlier, later in pairwise(posts))
    hidden = {post["id"] for post in truth["posts"] if post["likes_hidden"]}
    assert {post["id"] for post in posts if post.get("like_count") is None} == hidden


def test_a_series_has_one_value_for_each_day(connect, truth):
    series = connect().insights("reach", since=midnight(DAYS[0]) + 1, until=midnight("2026-09-04"))

    assert [(item["name"], item["period"]) for item in series] == [("reach", "day")]
    assert [value["value"] for value in series[0]["values"]] == of_days(truth, "reach")
    assert series[0]["values"][0]["end_time"] == "2026-09-02T07:00:00+0000"


def test_a_total_is_the_sum_of_its_days(connect, truth):
    until = midnight("2026-09-04") - 1

    totals = connect().insights("views", "likes", metric_type="total_value", since=midnight(DAYS[0]), until=until)

    assert {item["name"]: item["total_value"]["value"] for item in totals} == {
        name: sum(of_days(truth, name)) for name in ("views", "likes")
    }


def test_a_total_is_broken_down(connect, truth):
    window = {"since": midnight(DAYS[0]), "until": midnight("2026-09-02") - 1}

    [total] = connect().insights("views", metric_type="total_value", breakdown="follow_type", **window)

    [breakdown] = total["total_value"]["breakdowns"]
    [day] = [day for day in truth["days"] if day["date"] == DAYS[0]]
    expected = {name: value for name, value in day["breakdowns"]["views"]["follow_type"].items() if value}
    assert breakdown["dimension_keys"] == ["follow_type"]
    assert {bucket["dimension_values"][0]: bucket["value"] for bucket in breakdown["results"]} == expected


def test_the_token_is_described(connect):
    details = connect().token_details()

    assert details["is_valid"] is True
    assert details["app_id"] == APP
    assert "instagram_manage_insights" in details["scopes"]


def test_an_unknown_token_is_refused(connect):
    client = connect("EAAUNKNOWN")

    with pytest.raises(client.failure) as caught:
        client.profile("id")

    assert client.codes(caught.value) == (190, None)


@pytest.mark.filterwarnings("ignore:value of metric might not be compatible:UserWarning:facebook_business")
def test_an_unknown_metric_is_refused(connect):
    client = connect()

    with pytest.raises(client.failure, match=r"metric\[1\] must be one of the following values") as caught:
        client.insights("reach", "follower_demographics_by_mood", metric_type="total_value")

    assert client.codes(caught.value) == (100, None)


def test_an_expired_token_has_its_subcode(connect, simulator):
    own(simulator, "faults", {"provider": "instagram", "kind": "token", "subcode": 463, "times": 1})
    client = connect()

    with pytest.raises(client.failure) as caught:
        client.profile("id")

    assert client.codes(caught.value) == (190, 463)


def test_a_limit_is_reported(connect, simulator):
    own(simulator, "faults", {"provider": "instagram", "kind": "throttled", "code": 80002, "minutes": 11, "times": 1})
    client = connect()

    with pytest.raises(client.failure, match="too many calls to this Instagram account") as caught:
        client.profile("id")

    assert client.codes(caught.value)[0] == 80002


LOGINS = [(TOKEN, "graph.facebook.com"), ("IGAASANDBOXUSERTOKEN", "graph.instagram.com")]
COMMON = ("reach", "views", "saved", "shares", "total_interactions")
OF_REELS = ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reels_skip_rate")


def values(items):
    return {item["name"]: item["values"][0]["value"] for item in items}


def expected(post, names=COMMON):
    return {name: post["insights"][name] for name in names}


@pytest.mark.filterwarnings("ignore:value of metric might not be compatible:UserWarning:facebook_business")
@pytest.mark.parametrize(("token", "host"), LOGINS)
def test_insights_of_media_are_read(connect, published, token, host):
    client, [post, *_], [reel, *_] = connect(token, host), published["FEED"], published["REELS"]

    assert values(client.post_insights(post["id"], *COMMON)) == expected(post)
    assert values(client.post_insights(reel["id"], *OF_REELS)) == expected(reel, OF_REELS)


@pytest.mark.parametrize(("token", "host"), LOGINS)
def test_profile_activity_is_broken_down(connect, published, token, host):
    post = published["FEED"][0]

    [item] = connect(token, host).post_insights(post["id"], "profile_activity", breakdown="action_type")

    [breakdown] = item["total_value"]["breakdowns"]
    buckets = {name: value for name, value in post["insights_buckets"]["profile_activity"].items() if value}
    assert {bucket["dimension_values"][0]: bucket["value"] for bucket in breakdown["results"]} == buckets


@pytest.mark.filterwarnings("ignore:.*does not allow field:UserWarning:facebook_business")
@pytest.mark.parametrize(("token", "host"), LOGINS)
def test_insights_come_with_the_list_of_posts(connect, published, token, host):
    truth = {post["id"]: post for posts in published.values() for post in posts}

    posts = connect(token, host).newest("id", "like_count", f"insights.metric({','.join(COMMON)})")

    assert len(posts) == NEWEST
    for post in posts:
        assert values(post["insights"]["data"]) == expected(truth[post["id"]])


@pytest.mark.filterwarnings("ignore:.*does not allow field:UserWarning:facebook_business")
@pytest.mark.parametrize(("token", "host"), LOGINS)
def test_insights_come_with_one_post(connect, published, token, host):
    post = published["FEED"][0]

    read = connect(token, host).post(post["id"], "id", f"insights.metric({','.join(COMMON)})")

    assert values(read["insights"]["data"]) == expected(post)


@pytest.mark.parametrize(("token", "host"), LOGINS)
def test_what_media_does_not_have_is_refused(connect, simulator, published, token, host):
    own(simulator, "switches", {"shared_to_facebook": "none", "pre_conversion_before": "2026-07-01T00:00:00Z"})
    client, reel, old = connect(token, host), published["REELS"][0]["id"], published["FEED"][-1]["id"]

    refused = []
    for media_id, metric in ((reel, "follows"), (reel, "crossposted_views"), (old, "reach")):
        with pytest.raises(client.failure) as caught:
            client.post_insights(media_id, metric)
        refused.append(client.codes(caught.value))

    assert refused == [(100, None), (-1, 2207086), (100, 2108006)]


@pytest.mark.parametrize("connect", [client for client in INSTALLED if hasattr(client, "together")], indirect=True)
def test_insights_of_many_media_are_read_in_a_batch(connect, published):
    posts = published["FEED"][:5]

    *answers, missing = connect().together([*(post["id"] for post in posts), "18000001000009999"], "reach")

    assert [values(answer["data"]) for answer in answers] == [expected(post, ["reach"]) for post in posts]
    assert missing["error"]["error_subcode"] == 33
