"""Top posts by their insights: few calls by field expansion, single posts without insights, what was known."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta

import pytest
import responses

from services.cache.policies import HOUR, MINUTE
from tests.planners import GRAPH, MEDIA, NEXT_PAGE, body_of, post, query_of
from tests.support import graph_error

METRICS = ("reach", "views", "saved", "shares", "total_interactions")
TOO_OLD = graph_error(100, 2108006, message="Invalid parameter", error_user_title="Media posted before conversion")
FEW = graph_error(10, message="(#10) Not enough viewers for the media to show insights")
NOT_SUPPORTED = "(#100) The Media Insights API does not support the {} metric for this media product type."


class Media:
    """Instagram's posts and their insights; one post that is refused has the whole page refused."""

    def __init__(self, clock):
        self.clock = clock
        self.posts, self.page = [], 100
        self.refused, self.lacking = {}, {}  # by post: the error of all, the metrics that it does not have
        self.few = {}  # by post: the metrics for which it has too few viewers
        self.missing, self.heavy, self.down = {}, 0, None
        self.deleted_after = {}  # by post: the number of the call for it alone that does not find it any more
        self.omits = False  # Refused posts come without insights.
        self.unnamed = ()  # metrics that are not on Instagram's list
        self.asked, self.failed, self.down_after = [], [], None

    def publish(self, count, **fields):
        """Have so many posts, one every hour; the newest is numbered 0."""
        times = [self.clock.now() - timedelta(hours=number + 1) for number in range(count)]
        self.posts = [post(f"{n}", f"{at:%Y-%m-%dT%H:%M:%S+0000}", **fields) for n, at in enumerate(times)]

    def listed(self, request):
        query = query_of(request)
        metrics = metrics_of(query["fields"])
        start, limit = int(query.get("after", 0)), min(self.page, int(query["limit"]))
        chosen = self.posts[start : start + limit]
        if metrics:
            self.asked.append(len(chosen))
            refused = {item["id"]: each for item in chosen if (each := self.refusal(item["id"], metrics))}
            refusal = next((each for each in refused.values() if not self.omits), None)
            if len(chosen) > self.heavy > 0:
                refusal = graph_error(1, message="Please reduce the amount of data you're asking for")
            if self.down_after is not None and len(self.asked) > self.down_after + 1:
                refusal = graph_error(4, message="(#4) Application request limit reached")
            if refusal or self.down:
                self.failed.append(len(chosen))
                return 400, {}, json.dumps(refusal or self.down)
            chosen = [
                {"id": item["id"], "timestamp": item["timestamp"]}
                | (self.insights(item["id"], metrics) if item["id"] not in refused else {})
                for item in chosen
            ]
        else:
            self.asked.append("list" if "caption" in query["fields"] else "skip")
        end = start + len(chosen)
        paging = {"cursors": {"after": str(end)}} | ({"next": NEXT_PAGE} if end < len(self.posts) else {})
        return 200, {}, json.dumps({"data": chosen, "paging": paging})

    def single(self, request):
        metrics = query_of(request)["metric"].split(",")
        post_id = request.url.split("?")[0].split("/")[-2]
        self.asked.append(f"{post_id}:{len(metrics)}")
        if self.deleted_after.get(post_id) == len([each for each in self.asked if str(each).startswith(f"{post_id}:")]):
            self.refused[post_id] = graph_error(100, 33)
        if (refusal := self.refusal(post_id, metrics)) is not None:
            self.failed.append(post_id)
            return 400, {}, json.dumps(refusal)
        return 200, {}, json.dumps(self.insights(post_id, metrics).get("insights", {"data": []}))

    def refusal(self, post_id, metrics):
        if (place := next((n for n, metric in enumerate(metrics) if metric in self.unnamed), None)) is not None:
            return graph_error(100, message=f"(#100) metric[{place}] must be one of the following values: reach, views")
        lacks = [metric for metric in metrics if metric in self.lacking.get(post_id, ())]
        if lacks:
            return self.refused.get(post_id) or graph_error(100, message=NOT_SUPPORTED.format(lacks[0]))
        return self.refused.get(post_id) or (FEW if {*metrics} & {*self.few.get(post_id, ())} else None)

    def insights(self, post_id, metrics):
        given = [metric for metric in metrics if metric not in self.missing.get(post_id, ())]
        items = [{"name": name, "period": "lifetime", "values": [{"value": value_of(post_id, name)}]} for name in given]
        return {"insights": {"data": items}} if given else {}

    def calls(self):
        asked, failed = self.asked, self.failed
        self.asked, self.failed = [], []
        return asked, failed


@pytest.fixture
def media(wire, clock):
    media = Media(clock)
    wire.add_callback(responses.GET, MEDIA, callback=media.listed)
    wire.add_callback(
        responses.GET, responses.matchers.re.compile(rf"{GRAPH}/v25.0/\d{{1,3}}/insights"), callback=media.single
    )
    wire.assert_all_requests_are_fired = False
    return media


def metrics_of(fields):
    _, _, expansion = fields.partition("insights.metric(")
    return expansion.rstrip(")").split(",") if expansion else []


def value_of(post_id, metric):
    """The true number; reach falls from post to post, total_interactions do not."""
    number = int(post_id)
    return {"reach": 10_000 - number, "total_interactions": (number * 37) % 500}.get(
        metric, METRICS.index(metric) + number
    )


def top(client, by="reach", limit=50, time_range="30d", **query):
    return body_of(client, "/top-posts", time_range=time_range, limit=limit, by=by, **query)


def settle(client):
    assert client.application.extensions["services"].wait_until_quiet(10)


def test_a_post_has_its_insights_and_the_ranking_is_named(client, media):
    media.publish(2)
    media.missing["1"] = ("saved",)

    body = top(client)

    first, second = body["top_posts"]
    assert {name: first[name] for name in METRICS} == {name: value_of("0", name) for name in METRICS}
    assert (first["engagement_rate"], first["reasons"]) == (0.0, {})
    assert (second["saved"], second["reasons"]) == (None, {"saved": "not_answered"})
    assert second["engagement_rate"] == pytest.approx(37 / 9999)
    assert body["meta"]["ranking"] == {"by": "reach", "posts_unknown": 0}
    assert [(each["metric"], each["reason"]) for each in body["meta"]["unavailable"]] == [("saved", "not_answered")]


def test_without_by_nothing_of_it_is_asked_or_shown(client, media):
    media.publish(3)

    body = body_of(client, "/top-posts", time_range="30d")

    assert media.calls()[0] == ["list"]
    assert "reach" not in body["top_posts"][0]
    assert "ranking" not in body["meta"]


@pytest.mark.parametrize("by", [*METRICS, "engagement_rate"])
def test_posts_come_by_each_insight_and_ties_by_newest(client, media, by):
    media.publish(60)

    body = top(client, by)

    def rank(number):
        value = value_of(str(number), "total_interactions" if by == "engagement_rate" else by)
        return (-(value / value_of(str(number), "reach") if by == "engagement_rate" else value), number)

    assert [post["id"] for post in body["top_posts"]] == [str(number) for number in sorted(range(60), key=rank)[:50]]


def test_an_unknown_value_comes_last_is_counted_and_explained(client, media):
    media.publish(4)
    media.missing |= {"0": METRICS, "2": ("reach",)}

    body = top(client)

    assert [(post["id"], post["reach"]) for post in body["top_posts"]] == [
        ("1", 9999),
        ("3", 9997),
        ("0", None),
        ("2", None),
    ]
    assert body["top_posts"][3]["reasons"] == {"reach": "not_answered", "engagement_rate": "not_answered"}
    assert body["meta"]["ranking"] == {"by": "reach", "posts_unknown": 2}
    unavailable = {each["metric"]: each for each in body["meta"]["unavailable"]}
    assert unavailable["reach"]["message"].endswith("(2 posts)")
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["insights_unknown"]


def test_posts_that_come_without_insights_are_asked_for_alone_and_what_they_refuse_is_remembered(client, media, clock):
    """Instagram may leave a refused post's insights out instead of refusing the page."""
    media.publish(12)
    media.omits = True
    media.lacking = {"3": ("views",)}
    media.refused = dict.fromkeys(("8", "9", "10", "11"), TOO_OLD)

    first = {post["id"]: post for post in top(client)["top_posts"]}
    asked, failed = media.calls()
    clock.wait(3 * HOUR)
    top(client, refresh="true")

    assert {number: first[number]["reach"] for number in ("2", "3")} == {"2": 9998, "3": 9997}
    assert (first["3"]["views"], first["3"]["reasons"]["views"]) == (None, "refused")
    assert {first[number]["reasons"]["reach"] for number in ("8", "11")} == {"media_too_old"}
    # The page of all; post 3 in parts, and two others of its type; the newest of those that are too old.
    assert (asked[:2], failed.count("8"), set(failed)) == (["list", 12], 1, {"3", "8"})
    assert media.calls()[1] == []


def test_a_post_that_is_not_found_alone_is_refused_itself_and_older_ones_are_read(client, media):
    media.publish(4)  # in pages of two
    media.page = 2
    media.omits, media.refused["1"] = True, graph_error(100, 33, message="Unsupported get request.")

    found = {each["id"]: each for each in top(client)["top_posts"]}

    assert {each: shown["reach"] for each, shown in found.items()} == {"0": 10_000, "1": None, "2": 9_998, "3": 9_997}
    assert found["1"]["reasons"]["reach"] == "object_not_found"
    assert media.calls()[1] == ["1"]


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_post_that_is_deleted_while_it_is_asked_alone_is_not_found_and_no_metric_is_refused(
    client, media, clock, calls
):
    media.publish(3)
    media.lacking["1"] = ("shares",)
    media.deleted_after["1"] = calls

    first = top(client)["top_posts"]
    media.refused.clear()
    clock.wait(2 * HOUR)
    top(client)
    settle(client)
    again = top(client)["top_posts"]

    assert {post["id"]: set(post["reasons"].values()) for post in first} == {
        "0": set(),
        "1": {"object_not_found"},
        "2": set(),
    }
    assert {post["id"]: post["reasons"] for post in again}["1"] == {"shares": "refused"}


def test_a_page_that_is_not_found_is_not_about_one_of_its_posts(client, media):
    media.publish(4)
    media.refused["1"] = graph_error(100, 33, message="Unsupported get request.")

    top(client)

    assert len(media.calls()[1]) == 1


def test_a_type_without_insights_is_found_out_also_where_its_oldest_posts_are_too_old(client, media):
    media.publish(48)
    advertisements = {item["id"] for item in media.posts[::3]}
    for item in media.posts[::3]:
        item["media_product_type"] = "AD"
    media.lacking = dict.fromkeys(advertisements, METRICS)
    media.refused = {str(number): TOO_OLD for number in range(40, 48)}

    body = top(client)

    unknown = {post["id"]: post["reasons"]["reach"] for post in body["top_posts"] if post["reach"] is None}
    assert unknown.keys() == advertisements | media.refused.keys()
    assert set(unknown.values()) == {"refused", "media_too_old"}


def test_a_reach_of_0_gives_no_rate(client, media, monkeypatch):
    media.publish(1)
    monkeypatch.setitem(globals(), "value_of", lambda *_: 0)

    (only,) = top(client, "engagement_rate")["top_posts"]

    assert (only["reach"], only["engagement_rate"], only["reasons"]) == (0, None, {"engagement_rate": "no_reach"})


def test_a_post_whose_value_is_unknown_comes_after_an_older_one_of_0(client, media, monkeypatch):
    media.publish(2)
    media.missing = {"0": METRICS}
    monkeypatch.setitem(globals(), "value_of", lambda *_: 0)

    assert [(post["id"], post["reach"]) for post in top(client)["top_posts"]] == [("1", 0), ("0", None)]


@pytest.mark.parametrize("by", ["reach", "engagement_score"])
def test_a_longer_ranking_that_follows_a_shorter_one_is_whole(client, media, by):
    media.publish(4)

    assert [len(top(client, by, limit=limit)["top_posts"]) for limit in (1, 3, 2, 50)] == [1, 3, 2, 4]


def test_csv_has_the_insights_and_the_reason(client, media):
    media.publish(2)
    media.refused["1"] = TOO_OLD

    media.missing["0"] = ("shares",)

    asked = [f"by={by}&limit={limit}" for limit in (50, 2, 3) for by in ("reach", "shares")]
    tables = [client.get(f"/top-posts?time_range=7d&{each}&format=csv").get_data(as_text=True) for each in asked]
    lines = tables[0].splitlines()

    assert [",not_answered\r\n" in text for text in tables] == [False, True] * 3
    assert lines[0].endswith(",reach,views,saved,shares,total_interactions,engagement_rate,reason")
    assert lines[1].endswith(",10000,1,2,,0,0.0,")
    assert lines[2].endswith(",,,,,,,media_too_old")


def test_200_posts_cost_few_calls_and_the_next_request_none(client, media):
    media.publish(200)

    response = client.get("/top-posts?time_range=30d&by=reach&limit=50")

    assert media.calls() == (["list", "list", 50, 50, 50, 50], [])
    assert int(response.headers["X-Provider-Calls"]) == 6
    top(client, "views")
    top(client, "engagement_rate", time_range="7d")
    assert media.calls() == ([], [])


def test_young_posts_are_read_often_and_old_ones_seldom(client, media, clock):
    media.publish(500)
    top(client)
    media.calls()
    asked = []
    for _ in range(24):
        clock.wait(HOUR + 1)
        top(client)
        settle(client)
        asked.append(sum(each for each in media.calls()[0] if isinstance(each, int)))

    # Posts of the last 48 hours hourly, of the last 14 days every six hours, the others once a day.
    assert asked[0] == 47
    assert asked[5] > 300
    assert sum(asked) < 24 * 48 + 4 * 340 + 500


@pytest.mark.parametrize("place", [(size, at) for size in (2, 7, 50, 120) for at in (0.0, 0.3, 0.5, 0.99)])
@pytest.mark.parametrize("kind", ["too_old", "few", "lacking"])
def test_a_culprit_anywhere_is_isolated_by_few_failed_calls_and_remembered(client, media, clock, place, kind):
    size, at = place
    media.publish(size)
    culprit = str(int(at * size))
    media.refused |= {culprit: {"too_old": TOO_OLD, "few": FEW}[kind]} if kind != "lacking" else {}
    media.lacking |= {culprit: ("saved",)} if kind == "lacking" else {}
    if kind == "too_old":  # As are all that are older.
        media.refused |= {str(number): TOO_OLD for number in range(int(culprit), size)}

    body = top(client, limit=50)

    _, failed = media.calls()
    pages = [each for each in failed if isinstance(each, int)]
    assert len(pages) <= 2 * math.log2(max(2, min(size, 50)))
    assert len(failed) - len(pages) <= 4  # to find the metric
    posts = {post["id"]: post for post in body["top_posts"]}
    for number in range(min(size, 50)):
        without = {"few": METRICS, "lacking": ("saved",)}.get(kind, ()) if str(number) == culprit else ()
        without = METRICS if kind == "too_old" and number >= int(culprit) else without
        for metric in METRICS:
            if str(number) in posts:
                assert posts[str(number)][metric] == (None if metric in without else value_of(str(number), metric))
    for minutes in (1, 90):
        clock.wait(60 * minutes)
        body = top(client, refresh="true")
        # Viewers may come: it is asked again, later and alone.
        assert media.calls()[1] == ([1] if kind == "few" and minutes == 90 else [])


def test_three_posts_from_before_the_conversion_cost_at_most_20_calls_once_and_9_later(client, media, clock):
    media.publish(200)
    media.refused = {str(number): TOO_OLD for number in (197, 198, 199)}

    body = top(client)

    assert body["meta"]["ranking"]["posts_unknown"] == 3
    assert len(media.calls()[0]) <= 20
    clock.wait(60)
    later = top(client, refresh="true")
    asked, failed = media.calls()
    assert (len(asked) <= 9, failed) == (True, [])
    assert [post["id"] for post in later["top_posts"]] == [post["id"] for post in body["top_posts"]]


def test_a_metric_that_a_type_does_not_have_is_asked_of_the_other_types_only(client, media, clock):
    media.publish(40)
    ads = {str(number) for number in range(0, 40, 8)}
    media.posts = [{**each, "media_product_type": "AD"} if each["id"] in ads else each for each in media.posts]
    media.lacking = dict.fromkeys(ads, ("saved", "shares"))

    body = top(client)

    for each in body["top_posts"]:
        assert (each["saved"] is None) == (each["id"] in ads)
        assert each["reach"] == value_of(each["id"], "reach")
    _, failed = media.calls()
    assert len(failed) < 30
    clock.wait(60)
    top(client, refresh="true")
    assert media.calls()[1] == []


@pytest.mark.parametrize("unnamed", [("saved",), ("saved", "reach")])
def test_a_metric_that_is_not_on_the_list_any_more_is_dropped_for_all_posts_at_once(client, media, clock, unnamed):
    media.publish(60)
    media.posts = [{**each, "media_product_type": ["FEED", "REELS"][n % 2]} for n, each in enumerate(media.posts)]
    media.unnamed = unnamed

    body = top(client, by="shares")

    for each in body["top_posts"]:
        assert {metric: each[metric] for metric in METRICS} == {
            metric: None if metric in unnamed else value_of(each["id"], metric) for metric in METRICS
        }
        assert {each["reasons"][metric] for metric in unnamed} == {"refused"}
    assert len(media.calls()[1]) <= 2 * len(unnamed)
    clock.wait(20 * 86_400)
    top(client, by="shares", refresh="true")
    assert media.calls()[1] == []


@pytest.mark.parametrize("was_known", [True, False])
def test_a_metric_that_is_withdrawn_costs_few_failed_calls_once(client, media, clock, was_known):
    media.publish(120)
    types = ["FEED", "REELS", "REELS"]
    media.posts = [{**each, "media_product_type": types[n % 3]} for n, each in enumerate(media.posts)]
    if was_known:
        top(client)
    media.lacking = {each["id"]: ("saved",) for each in media.posts}
    clock.wait(86_400 * 2)
    media.calls()

    body = top(client, refresh="true")

    assert body["meta"]["ranking"]["posts_unknown"] == 0
    assert len(media.calls()[1]) <= 16
    clock.wait(86_400)
    top(client, refresh="true")
    assert media.calls()[1] == []


def test_many_culprits_are_found_in_several_requests_and_none_lends_its_reason_to_others(client, media, clock):
    media.publish(60)
    media.refused = {str(number): FEW for number in range(0, 60, 4)}

    first = top(client)
    media.calls()
    clock.wait(60)
    later = top(client, refresh="true")

    few = {post["id"] for post in first["top_posts"] if post["reasons"].get("reach") == "insufficient_viewers"}
    assert few <= media.refused.keys()
    assert first["meta"]["ranking"]["posts_unknown"] > later["meta"]["ranking"]["posts_unknown"] == 15
    assert {each["reason"] for each in first["meta"]["unavailable"]} == {"insufficient_viewers", "provider_refused"}


def test_a_metric_with_too_few_viewers_has_that_reason_beside_a_refused_one(client, media, clock):
    media.publish(4)
    media.lacking, media.few = {"1": ("views",)}, {"1": ("shares", "saved")}

    first = {post["id"]: post for post in top(client)["top_posts"]}
    media.calls()
    clock.wait(10 * MINUTE)
    top(client, refresh="true")
    asked_again = media.calls()
    media.few.clear()
    clock.wait(HOUR)
    later = {post["id"]: post for post in top(client, refresh="true")["top_posts"]}

    few = "insufficient_viewers"
    assert first["1"]["reasons"] == {"views": "refused", "shares": few, "saved": few}
    assert first["1"]["reach"] == 9_999
    assert {each: first[each]["reasons"] for each in ("0", "2", "3")} == {"0": {}, "2": {}, "3": {}}
    assert asked_again[1] == []
    assert later["1"]["reasons"] == {"views": "refused"}


def test_where_everything_is_refused_no_post_is_remembered_as_refused(client, media, clock):
    media.publish(30)
    media.refused = {str(number): graph_error(100, message="(#100) No insights today") for number in range(30)}

    body = top(client)

    assert {post["reasons"]["reach"] for post in body["top_posts"]} == {"refused"}
    assert len(media.calls()[1]) < 20
    media.refused = {}
    clock.wait(60)
    assert {post["reach"] for post in top(client, refresh="true")["top_posts"]} == {
        value_of(str(number), "reach") for number in range(30)
    }


def test_a_page_that_is_too_much_is_asked_for_in_smaller_ones(client, media):
    media.publish(60)
    media.heavy = 30

    body = top(client)

    assert body["meta"]["ranking"]["posts_unknown"] == 0
    assert media.calls() == (["list", 50, 25, 25, 10], [50])


def test_without_the_permission_the_posts_are_answered_with_the_reason(client, media):
    media.publish(3)
    media.down = graph_error(10, message="(#10) Application does not have permission for this action")

    body = top(client)

    assert [(post["id"], post["reasons"]["reach"]) for post in body["top_posts"]] == [
        (number, "permission_denied") for number in "012"
    ]
    assert body["meta"]["warnings"][0]["code"] == "insights_unknown"


def test_insights_that_come_after_the_list_are_shown_with_the_same_list(client, media, clock):
    media.publish(3)
    body_of(client, "/top-posts", time_range="30d")
    media.down = graph_error(2, message="(#2) Service temporarily unavailable")
    before = top(client)
    media.down = None
    media.calls()
    clock.wait(600)

    after = [top(client), top(client, limit=2)]

    assert "list" not in media.calls()[0]
    assert [post["reach"] for post in before["top_posts"]] == [None] * 3
    assert [[post["reach"] for post in each["top_posts"]] for each in after] == [
        [value_of(number, "reach") for number in "012"[:limit]] for limit in (3, 2)
    ]


def test_a_throttle_in_the_middle_keeps_what_was_answered(client, media, clock):
    media.publish(120)
    media.down_after = 3

    body = top(client)

    assert body["meta"]["ranking"]["posts_unknown"] == 20
    assert {each["reason"] for each in body["meta"]["unavailable"]} == {"throttled"}
    assert body["meta"]["unavailable"][0]["retry_after"] > 0
    assert datetime.fromisoformat(body["meta"]["expires_at"]) - clock.now() == timedelta(seconds=5)
    media.calls()
    media.down_after = None
    clock.wait(3600)
    assert top(client)["meta"]["ranking"]["posts_unknown"] == 0


def test_a_known_number_stays_when_a_later_answer_lacks_it(client, media, clock):
    media.publish(3)
    known = top(client)
    media.missing = {"0": METRICS, "1": ("reach",)}
    clock.wait(3 * HOUR)

    later = top(client, refresh="true")

    for before, after in zip(known["top_posts"], later["top_posts"], strict=True):
        assert {name: before[name] for name in METRICS} == {name: after[name] for name in METRICS}
    assert later["meta"]["stale"] is True
    assert later["meta"]["fetched_at"] == known["meta"]["fetched_at"]


def test_insights_that_were_unknown_are_waited_for_once_they_have_expired(client, media, clock):
    media.publish(1)
    media.missing = {"0": METRICS}
    before = top(client)
    media.missing = {}
    clock.wait(HOUR + 1)

    assert [body["top_posts"][0]["reach"] for body in (before, top(client))] == [None, 10_000]


def test_known_insights_are_answered_stale_while_instagram_is_down(client, media, clock):
    media.publish(3)
    known = top(client)
    media.down = graph_error(2, message="(#2) Service temporarily unavailable")
    clock.wait(30 * HOUR)

    later = top(client)

    assert [post["reach"] for post in later["top_posts"]] == [post["reach"] for post in known["top_posts"]]
    assert later["meta"]["stale"] is True


def test_a_post_that_was_deleted_since_the_list_was_read_hides_no_other(client, media):
    media.publish(60)
    body_of(client, "/top-posts", time_range="30d")
    deleted = media.posts.pop(20)
    media.refused["40"] = TOO_OLD
    media.refused |= {str(number): TOO_OLD for number in range(41, 60)}

    body = top(client)

    unknown = {post["id"]: post["reasons"]["reach"] for post in body["top_posts"] if post["reach"] is None}
    assert unknown.pop(deleted["id"]) == "not_answered"
    assert set(unknown.values()) <= {"media_too_old"}
    assert body["meta"]["ranking"]["posts_unknown"] == 21


def test_posts_that_were_published_since_do_not_end_the_walk(client, media, clock):
    media.publish(70)
    body_of(client, "/top-posts", time_range="30d")
    at = datetime.fromisoformat(media.posts[0]["timestamp"])
    newer = [post(f"{900 + n}", f"{at + timedelta(minutes=n):%Y-%m-%dT%H:%M:%S+0000}") for n in range(12, 0, -1)]
    media.posts = newer + media.posts

    assert top(client)["meta"]["ranking"]["posts_unknown"] == 0


def test_a_pinned_post_is_no_end_either(client, media):
    media.publish(60)
    media.posts.insert(0, media.posts.pop(55))

    assert top(client)["meta"]["ranking"]["posts_unknown"] == 0


def test_unknown_rankings_are_refused_with_the_nearest_name(client):
    response = client.get("/top-posts?time_range=7d&by=reech")

    assert response.status_code == 400
    assert "Did you mean reach?" in response.get_json()["message"]
