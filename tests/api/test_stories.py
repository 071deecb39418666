"""GET /stories and GET /stories/<id>: live, kept and reported stories, with honest numbers."""

from __future__ import annotations

import math
import re

import pytest
import responses

from services.accounts.token_encryption import new_key
from services.days import provider_time
from services.store.database import DatabaseUnavailableError
from services.store.webhooks import Change
from tests import deliveries
from tests.planners import USER, body_of, query_of
from tests.support import ACCOUNT_ID, APP_SECRET, GRAPH, add_account, graph_error, settings, table_rows

OTHER_ACCOUNT = "17841400000000009"

NOW = 1_781_546_400  # of the clock: 2026-06-15T18:00:00Z
HOUR, DAY = 3600, 86_400
PLAIN = (
    "views",
    "reach",
    "shares",
    "reposts",
    "total_interactions",
    "follows",
    "profile_visits",
    "replies",
    "link_clicks",
)
NAVIGATION = {"tap_forward": 40, "tap_back": 2, "tap_exit": 7, "swipe_forward": 1}
STORIES = f"{USER}/stories"
ONE_MEDIA = re.compile(rf"{GRAPH}/v[\d.]+/(\d+)/insights")


def item(name, value):
    return {"name": name, "period": "lifetime", "values": [{"value": value}]}


def by_action(buckets):
    results = [{"dimension_values": [name], "value": count} for name, count in buckets.items() if count]
    total = {
        "value": sum(buckets.values()),
        "breakdowns": [{"dimension_keys": ["story_navigation_action_type"], "results": results}],
    }
    return {"name": "navigation", "period": "lifetime", "total_value": total}


class Provider:
    """Live stories as Instagram gives them: `stories` has their ages in seconds, `few` those without viewers."""

    def __init__(self, wire, clock):
        self.wire, self.clock = wire, clock
        self.stories = {"18001": 2 * HOUR, "18002": HOUR}
        self.values = dict.fromkeys(PLAIN, 10)
        self.few = set()
        self.refused = set()
        self.odd = {}  # metrics that single stories refuse
        self.failure = None
        self.calls = []
        self.failed = 0
        self.as_id = str
        wire.add_callback(responses.GET, STORIES, callback=self.page)
        wire.add_callback(responses.GET, ONE_MEDIA, callback=self.single)

    def page(self, request):
        query = query_of(request)
        self.calls.append(query["fields"])
        if self.failure is not None:
            return self.failure[0], {}, json_of(self.failure[1])
        asked = re.search(r"insights\.metric\(([\w,]+)\)(\.breakdown)?", query["fields"])
        names = asked[1].split(",") if asked else []
        live = self.live()
        start = live.index(query["after"]) + 1 if "after" in query else 0
        end = start + int(query["limit"])
        listed = live[start:end]
        if (error := self.refusal(names, listed)) is not None:
            self.failed += 1
            return 400, {}, json_of(error)
        cursors = {"cursors": {"after": listed[-1]}} if listed else {}
        paging = cursors | ({"next": "https://graph"} if end < len(live) else {})
        data = [self.node(story, names, query["fields"]) for story in listed]
        return 200, {}, json_of({"data": data, "paging": paging})

    def live(self):
        return sorted(
            (name for name in self.stories if self.posted(name) + DAY > self.now()), key=self.posted, reverse=True
        )

    def now(self):
        return self.clock.timestamp()

    def posted(self, name):
        return NOW - self.stories[name]

    def node(self, story, names, fields):
        node = {"id": self.as_id(story)}
        if "timestamp" in fields:
            node |= {"timestamp": provider_time(self.posted(story)), "media_type": "IMAGE", "permalink": f"p/{story}"}
        if names:
            node["insights"] = {"data": self.data(names)}
        return node

    def data(self, names):
        return [by_action(NAVIGATION) if name == "navigation" else item(name, self.values[name]) for name in names]

    def refusal(self, names, stories):
        if names and self.few & set(stories):
            return graph_error(10, message="(#10) Not enough viewers for the media to show insights")
        odd = set().union(*(self.odd.get(story, ()) for story in stories))
        if (self.refused | odd) & set(names):
            return graph_error(100, message="does not support the metric")
        return None

    def single(self, request):
        story, names = ONE_MEDIA.match(request.url)[1], query_of(request)["metric"].split(",")
        self.calls.append(f"{story} {','.join(names)}")
        if (error := self.refusal(names, [story])) is not None:
            self.failed += 1
            return 400, {}, json_of(error)
        return 200, {}, json_of({"data": self.data(names)})


def json_of(body):
    return responses.json_module.dumps(body)


@pytest.fixture
def provider(clock):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield Provider(wire, clock)


def numbers_of(story):
    return {insight["name"]: insight["value"] for insight in story["insights"]}


def reasons_of(story):
    return {insight["name"]: insight["reason"] for insight in story["insights"] if insight["value"] is None}


def stories_of(client, path="/stories"):
    return body_of(client, path)["stories"]


def report(client, story="18001", *, time=NOW + DAY, **value):
    change = Change(ACCOUNT_ID, "story_insights", {"media_id": story, **value}, float(time))
    client.application.extensions["services"].kept_stories.apply_webhook(change)


def test_live_stories_take_two_calls_and_a_second_request_none(client, provider):
    body = body_of(client, "/stories")
    again = body_of(client, "/stories")

    assert body == again
    assert len(provider.calls) == 2
    newest, older = body["stories"]
    assert (newest["id"], older["id"]) == ("18002", "18001")
    assert {name: newest[name] for name in ("timestamp", "expires_at", "media_type", "permalink", "source")} == {
        "timestamp": "2026-06-15T17:00:00+0000",
        "expires_at": "2026-06-16T17:00:00Z",
        "media_type": "IMAGE",
        "permalink": "p/18002",
        "source": "live",
    }
    assert numbers_of(newest) == dict.fromkeys(PLAIN, 10) | {"navigation": 50}
    [navigation] = [insight for insight in newest["insights"] if insight["name"] == "navigation"]
    assert (navigation["read_at"], navigation["source"], navigation["reason"]) == (
        "2026-06-15T18:00:00Z",
        "polling",
        None,
    )
    [part] = navigation["breakdowns"]
    assert part["dimension_keys"] == ["story_navigation_action_type"]
    assert {row["dimension_values"][0]: row["value"] for row in part["results"]} == NAVIGATION
    assert (body["meta"]["unavailable"], body["meta"]["warnings"], body["meta"]["stale"]) == ([], [], False)


def test_a_look_that_found_none_before_stories_were_read_leaves_them_live(client, provider, clock):
    looked_at = clock.timestamp()
    clock.wait(5)
    before, _ = stories_of(client)
    provider.calls.clear()

    client.application.extensions["services"].kept_stories.note_none(ACCOUNT_ID, at=looked_at)

    assert (stories_of(client)[0], provider.calls) == (before, [])


def test_a_story_without_viewers_does_not_affect_the_others(client, provider):
    provider.few = {"18001"}

    body = body_of(client, "/stories")

    newest, few = body["stories"]
    assert numbers_of(newest)["navigation"] == 50
    assert reasons_of(few) == dict.fromkeys((*PLAIN, "navigation"), "insufficient_viewers")
    assert {(each["metric"], each["reason"]) for each in body["meta"]["unavailable"]} >= {
        ("views", "insufficient_viewers")
    }
    # The page, the list, a page of the newest, the viewers of the other one, and the navigation of the newest.
    assert (len(provider.calls), provider.failed) == (5, 2)


@pytest.mark.parametrize("place", [0, 5, 11])
def test_a_story_that_is_refused_is_isolated_by_halving_and_then_costs_no_refused_page(client, provider, clock, place):
    provider.stories = {f"18{number:03}": (number + 1) * 600 for number in range(12)}
    few = list(provider.stories)[place]
    provider.few = {few}

    first = stories_of(client)
    failed, provider.failed = provider.failed, 0
    provider.calls.clear()
    clock.wait(HOUR)
    again = stories_of(client, "/stories?refresh=true")

    for stories in (first, again):
        assert [story["id"] for story in stories] == list(provider.stories)
        for story in stories:
            assert set(reasons_of(story).values()) == ({"insufficient_viewers"} if story["id"] == few else set())
    assert failed <= 2 * math.log2(12)
    # Two or three calls for each of the two lists, one of which passes over it; and its viewers, which may have come.
    assert (len(provider.calls) <= 8, provider.failed) == (True, 1)
    assert provider.calls.count(f"{few} reach") == 1


def test_the_metric_that_one_story_refuses_is_not_taken_from_the_others(client, provider, clock):
    provider.odd = {"18001": {"shares"}}
    first = stories_of(client)
    provider.calls.clear()
    provider.failed = 0
    clock.wait(HOUR)
    again = stories_of(client, "/stories?refresh=true")

    for newest, odd in (first, again):
        assert (reasons_of(newest), reasons_of(odd)) == ({}, {"shares": "refused"})
    assert (len(provider.calls) <= 5, provider.failed) == (True, 0)


def test_a_refused_metric_is_taken_apart_once(client, provider, clock):
    provider.refused = {"reposts"}
    first = stories_of(client)
    calls = len(provider.calls)
    clock.wait(16 * 60)
    body_of(client, "/stories")
    client.application.extensions["services"].wait_until_quiet(10)

    assert reasons_of(first[0]) == {"reposts": "refused"}
    assert len(provider.calls) == calls + 2


def test_a_known_number_is_never_replaced_by_an_unknown_one_and_may_fall(client, provider, clock):
    stories_of(client)
    provider.values |= {"reach": 8, "views": None}
    clock.wait(600)

    story = body_of(client, "/stories?refresh=true")["stories"][0]

    assert (numbers_of(story)["reach"], numbers_of(story)["views"]) == (8, 10)
    read_at = {insight["name"]: insight["read_at"] for insight in story["insights"]}
    assert (read_at["reach"], read_at["views"]) == ("2026-06-15T18:10:00Z", "2026-06-15T18:00:00Z")


def test_stories_that_are_over_are_answered_from_what_was_kept(client, provider, clock):
    stories_of(client)
    provider.calls.clear()
    clock.wait(2 * DAY)
    provider.stories = {"18003": -2 * DAY + HOUR}

    body = body_of(client, "/stories")

    assert [(story["id"], story["source"]) for story in body["stories"]] == [
        ("18003", "live"),
        ("18002", "kept"),
        ("18001", "kept"),
    ]
    assert numbers_of(body["stories"][2])["reach"] == 10
    assert len(provider.calls) == 2


def test_a_range_of_the_past_takes_no_call(client, provider, clock):
    stories_of(client)
    provider.calls.clear()
    clock.wait(3 * DAY)

    inside = stories_of(client, "/stories?since=2026-06-15&until=2026-06-15")
    exact = stories_of(client, f"/stories?since={NOW - HOUR}&until={NOW - HOUR}")
    outside = stories_of(client, "/stories?until=2026-06-14")

    assert [[story["id"] for story in found] for found in (inside, exact, outside)] == [
        ["18002", "18001"],
        ["18002"],
        [],
    ]
    assert provider.calls == []


def test_live_stories_are_those_of_the_range(client, provider):
    provider.stories = {"18001": 11 * HOUR, "18002": HOUR}  # The first one at midnight in California.
    ranges = (f"until={NOW - HOUR}", f"since={NOW - HOUR}", f"until={NOW - HOUR - 1}", "until=2026-06-14")

    found = [[story["id"] for story in stories_of(client, f"/stories?{each}")] for each in ranges]

    assert found == [["18002", "18001"], ["18002"], ["18001"], []]


def test_a_limit_says_where_to_go_on(client, provider, clock):
    first = body_of(client, "/stories?limit=1")
    [warning] = first["meta"]["warnings"]
    [until] = re.findall(r"until=(\d+)", warning["message"])

    assert [story["id"] for story in first["stories"]] == ["18002"]
    assert warning["code"] == "limit_reached"
    assert [story["id"] for story in stories_of(client, f"/stories?limit=1&until={until}")] == ["18001"]
    clock.wait(3 * DAY)
    assert body_of(client, "/stories?limit=1&until=2026-06-15")["meta"]["warnings"] == [warning]


def test_a_limit_leaves_out_no_story_that_stands_between_two_seconds(client, provider, clock):
    clock.wait(3 * DAY)
    for story, time in (("18008", NOW + DAY), ("18009", NOW + DAY + 0.5), ("18010", NOW + 2 * DAY)):
        report(client, story, time=time, reach=17)
    found, until = [], ""
    while not found or until:
        body = body_of(client, f"/stories?limit=1{until}")
        found += [story["id"] for story in body["stories"]]
        until = next(
            (f"&until={re.search('until=([0-9]+)', each['message'])[1]}" for each in body["meta"]["warnings"]), ""
        )

    assert found == ["18010", "18009", "18008"]


def test_kept_stories_are_answered_while_instagram_is_down(client, provider, clock):
    stories_of(client)
    clock.wait(9 * DAY)
    provider.failure = (500, graph_error(2))

    body = body_of(client, "/stories")

    assert len(body["stories"]) == 2
    assert body["meta"]["stale"] is True


def test_without_the_database_live_stories_are_still_answered(client, provider, monkeypatch):
    def unavailable(*_args, **_options):
        raise DatabaseUnavailableError("away")

    table = client.application.extensions["services"].store.stories
    for name in ("keep", "begin", "end", "find", "listed", "owners"):
        monkeypatch.setattr(table, name, unavailable)

    body = body_of(client, "/stories")
    one = body_of(client, "/stories/18001")

    assert [numbers_of(story)["reach"] for story in body["stories"]] == [10, 10]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["kept_unavailable"]
    assert [story["id"] for story in one["stories"]] == ["18001"]


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [((400, graph_error(190)), 401, "token_invalid"), ((400, graph_error(10)), 403, "permission_denied")],
)
def test_where_nothing_is_kept_the_failure_is_the_reply(client, provider, failure, status, code):
    provider.failure = failure

    for path in ("/stories", "/stories/18001"):
        response = client.get(path)
        assert (response.status_code, response.get_json()["code"]) == (status, code)


def test_no_replies_come_with_the_rule_of_regions(client, provider):
    provider.values["replies"] = 0

    assert [warning["code"] for warning in body_of(client, "/stories")["meta"]["warnings"]] == ["replies_region"]


# Webhooks


def test_a_webhook_is_merged_with_what_was_polled(client, provider, clock):
    stories_of(client)
    clock.wait(DAY + HOUR)
    report(client, impressions=30, reach=12, taps_forward=44, taps_back=-1, exits=9, replies=-1)

    story = stories_of(client)[1]

    assert (story["id"], story["source"]) == ("18001", "webhook")
    assert numbers_of(story) == {
        "views": 10,
        "reach": 12,
        "replies": 10,
        "shares": 10,
        "reposts": 10,
        "total_interactions": 10,
        "profile_visits": 10,
        "follows": 10,
        "link_clicks": 10,
        "navigation": 44 + 2 + 9 + 1,
        "impressions": 30,
    }
    sources = {insight["name"]: insight["source"] for insight in story["insights"]}
    assert (sources["reach"], sources["replies"], sources["navigation"]) == ("webhook", "polling", "webhook")
    [navigation] = [insight for insight in story["insights"] if insight["name"] == "navigation"]
    own = {each["dimension_values"][0]: each.get("source") for each in navigation["breakdowns"][0]["results"]}
    assert own == {"tap_forward": None, "tap_exit": None, "tap_back": "polling", "swipe_forward": "polling"}


@pytest.mark.parametrize("path", ["/stories/18009", "/api/instagram/insights/18009?metrics=reach", "/stories"])
def test_a_reply_that_is_ready_gives_way_to_what_a_webhook_reports(client, provider, clock, path):
    clock.wait(DAY)
    found = []
    for reach in (17, 21):
        report(client, "18009", time=NOW + DAY + reach, reach=reach)
        found.append({"17", "21"} & set(re.findall(r'"value": ?([0-9]+)', client.get(path).text)))

    assert found == [{"17"}, {"21"}]


def test_a_story_that_only_a_webhook_reported_is_answered(client, provider, clock):
    clock.wait(DAY)
    report(client, "18009", impressions=28, reach=17, replies=-1, taps_forward=12, taps_back=0, exits=1)

    body = body_of(client, "/stories/18009")

    [story] = body["stories"]
    assert (story["source"], story["timestamp"], story["expires_at"]) == ("webhook", None, None)
    assert (numbers_of(story)["reach"], numbers_of(story)["views"]) == (17, 28)
    assert reasons_of(story)["replies"] == "insufficient_viewers"
    assert (reasons_of(story)["navigation"], reasons_of(story)["shares"]) == ("total_not_reported", "story_expired")
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["views_from_impressions"]
    assert provider.calls == []


def deliver(client, reach, *, time):
    delivery = deliveries.body(deliveries.entry(ACCOUNT_ID, deliveries.story_insights("18009", reach=reach), time=time))
    client.post(deliveries.PATH, data=delivery, headers=deliveries.signed(delivery, APP_SECRET))
    client.application.extensions["services"].webhook_application.run(seconds=5)


@pytest.mark.parametrize("time", [4_000_000_000, 4_000_000_000_000, 1])
def test_a_delivery_of_an_impossible_time_is_as_old_as_it_was_received(client, provider, clock, time):
    clock.wait(DAY)
    deliver(client, 33, time=time)
    [first] = stories_of(client, "/stories/18009")
    clock.wait(60)
    deliver(client, 34, time=NOW + DAY + 60)

    [story] = stories_of(client, "/stories/18009")

    read_at = [each["read_at"] for found in (first, story) for each in found["insights"] if each["name"] == "reach"]
    assert (numbers_of(story)["reach"], read_at) == (34, ["2026-06-16T18:00:00Z", "2026-06-16T18:01:00Z"])


def test_a_signed_delivery_reaches_the_story(client, provider, clock):
    clock.wait(DAY)
    delivery = deliveries.body(
        deliveries.entry(ACCOUNT_ID, deliveries.story_insights("18009", reach=33), time=NOW + DAY)
    )
    services = client.application.extensions["services"]

    answer = client.post(deliveries.PATH, data=delivery, headers=deliveries.signed(delivery, APP_SECRET))
    services.webhook_application.run(seconds=5)
    services.webhook_application.run(seconds=5)

    assert answer.status_code == 200
    [story] = stories_of(client, "/stories/18009")
    assert (story["source"], numbers_of(story)["reach"]) == ("webhook", 33)
    assert {insight["read_at"] for insight in story["insights"] if insight["value"] is not None} == {
        "2026-06-16T18:00:00Z"
    }


def test_a_bucket_whose_name_is_too_long_is_left_out_and_hides_no_other(client, provider, clock):
    clock.wait(DAY)
    long = "a" * 64
    report(client, "18009", navigation={long: 7, f"{long}b": 5, f"{long}c": 6, "tap_exit": 1})

    [story] = stories_of(client, "/stories/18009")

    [navigation] = [each for each in story["insights"] if each["name"] == "navigation"]
    shown = {each["dimension_values"][0]: each["value"] for each in navigation["breakdowns"][0]["results"]}
    assert {name: count for name, count in shown.items() if count is not None} == {long: 7, "tap_exit": 1}


def test_a_bucket_without_a_name_is_not_the_total(client, provider, clock):
    clock.wait(DAY)
    report(client, "18009", reach={"": 7, "other": 2}, **{"": 5})

    [story] = stories_of(client, "/stories/18009")

    assert numbers_of(story)["reach"] is None
    assert "" not in numbers_of(story)


def test_deliveries_may_come_twice_and_in_any_order(client, provider, clock):
    clock.wait(DAY)
    for time, reach in ((200, 7), (200, 7), (100, 9), (300, -1)):
        report(client, "18009", time=NOW + time, reach=reach)

        assert numbers_of(stories_of(client, "/stories/18009")[0])["reach"] == 7


@pytest.mark.parametrize(
    "value", [{}, {"media_id": None}, {"media_id": True}, {"media_id": "9" * 65}, {"media_id": ""}]
)
def test_a_delivery_without_a_story_changes_nothing(client, provider, value):
    services = client.application.extensions["services"]
    services.kept_stories.apply_webhook(Change(ACCOUNT_ID, "story_insights", value, 1.0))

    assert services.store.stories.counts().kept == 0


# Other endpoints

INSIGHTS = "/api/instagram/insights"


def test_insights_of_a_story_that_is_over_are_those_that_were_kept(client, provider, clock):
    stories_of(client)
    provider.calls.clear()
    clock.wait(DAY + HOUR)
    report(client, reach=12, taps_forward=44, exits=9)

    body = body_of(client, f"{INSIGHTS}/18001", metrics="views,reach")
    navigation = body_of(client, f"{INSIGHTS}/18001/navigation")

    assert {each["name"]: each["values"][0]["value"] for each in body["insights"]} == {"views": 10, "reach": 12}
    [part] = navigation["breakdown"]
    assert {row["dimension_values"][0]: row["value"] for row in part["results"]} == NAVIGATION | {
        "tap_forward": 44,
        "tap_exit": 9,
    }
    assert provider.calls == []


def test_insights_of_a_story_that_only_a_webhook_reported_are_answered(client, provider, clock):
    clock.wait(DAY)
    report(client, "18009", impressions=28, reach=17)

    body = body_of(client, f"{INSIGHTS}/18009", metrics="reach,views")

    assert {each["name"]: each["values"][0]["value"] for each in body["insights"]} == {"reach": 17, "views": 28}
    assert provider.calls == []


@pytest.mark.parametrize("path", [f"{INSIGHTS}/18001?metrics=views,reach,likes", f"{INSIGHTS}/18001"])
def test_what_was_read_of_a_live_story_stays_where_it_has_too_few_viewers_now(client, provider, clock, path):
    stories_of(client)
    provider.few = {"18001"}

    for _ in range(2):  # The second time the refusal is remembered.
        body = body_of(client, path)
        numbers = {each["name"]: each["values"][0]["value"] for each in body["insights"]}
        assert (numbers["views"], numbers["reach"], body["meta"]["stale"]) == (10, 10, True)
        assert body["meta"]["fetched_at"] == "2026-06-15T18:00:00Z"
        assert numbers.get("likes") is None


# One story


def test_one_story_is_answered_live_and_kept(client, provider, clock):
    live = stories_of(client, "/stories/18001")
    clock.wait(2 * DAY)
    kept = stories_of(client, "/stories/18001")

    assert [story["source"] for story in live + kept] == ["live", "kept"]
    assert numbers_of(live[0]) == numbers_of(kept[0])
    assert len(provider.calls) == 2


def test_an_unknown_story_is_looked_for_again_but_not_every_time(client, provider, clock):
    stories_of(client)
    clock.wait(120)
    provider.stories["18003"] = -60

    [story] = stories_of(client, "/stories/18003")
    refused = [client.get("/stories/18004") for _ in range(3)]

    assert story["source"] == "live"
    assert {(each.status_code, each.get_json()["code"]) for each in refused} == {(404, "object_not_found")}
    assert len(provider.calls) == 4


def test_a_story_that_is_over_and_was_never_read_is_gone(client, provider, clock):
    report(client, "18009")
    clock.wait(2 * DAY)

    response = client.get("/stories/18009")

    assert (response.status_code, response.get_json()["code"]) == (410, "story_expired")


@pytest.mark.parametrize("path", ["/stories/18001", "/api/instagram/insights/18001"])
def test_a_story_that_was_seen_but_not_kept_is_gone_once_it_is_over(client, provider, clock, monkeypatch, path):
    def unavailable(*_args, **_options):
        raise DatabaseUnavailableError("away")

    table = client.application.extensions["services"].store.stories
    with monkeypatch.context() as patched:
        patched.setattr(table, "keep", unavailable)
        stories_of(client)
    clock.wait(DAY)

    response = client.get(path)

    assert (response.status_code, response.get_json()["code"]) == (410, "story_expired")


@pytest.fixture
def two_accounts(make_client, clock):
    """A client of a gateway with the account of the settings and an added one."""
    key = new_key()
    client = make_client(settings(token_key=key), clock=clock)
    add_account(client.application.extensions["services"].store, key, OTHER_ACCOUNT)
    clock.wait(2)
    return client


@pytest.mark.parametrize("path", ["/stories/18009", "/api/instagram/insights/18009"])
def test_of_several_accounts_a_story_belongs_to_the_one_whose_list_has_shown_it(
    two_accounts, provider, clock, monkeypatch, path
):
    def unavailable(*_args, **_options):
        raise DatabaseUnavailableError("away")

    live = {"id": "18009", "timestamp": provider_time(NOW - HOUR), "media_type": "IMAGE"}
    url = STORIES.replace(ACCOUNT_ID, OTHER_ACCOUNT)
    provider.wire.get(url, json={"data": [live]})
    unknown = two_accounts.get(path)
    with monkeypatch.context() as patched:
        patched.setattr(two_accounts.application.extensions["services"].store.stories, "keep", unavailable)
        body_of(two_accounts, "/stories", account=OTHER_ACCOUNT)
    provider.wire.replace(responses.GET, url, json={"data": []})
    clock.wait(DAY)
    provider.calls.clear()

    over = two_accounts.get(path)

    assert (unknown.status_code, unknown.get_json()["code"]) == (400, "bad_request")
    assert "account is missing" in unknown.get_json()["message"]
    assert (over.status_code, over.get_json()["code"]) == (410, "story_expired")
    assert provider.calls == []


def test_an_id_that_was_never_seen_is_unknown_and_the_hint_names_stories_that_are_over(client, provider, clock):
    response = client.get("/stories/18009")

    assert (response.status_code, response.get_json()["code"]) == (404, "object_not_found")
    assert "over" in response.get_json()["hint"]


def test_ids_that_come_as_numbers_are_the_same_ids(client, provider, clock):
    provider.as_id = int

    listed = stories_of(client)
    navigation = body_of(client, "/api/instagram/insights/18002/navigation")

    assert [story["id"] for story in listed] == ["18002", "18001"]
    assert stories_of(client, "/stories/18002") == listed[:1]
    assert navigation["data"]["values"][0]["value"] == 50


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/stories/abc", "numeric id"),
        ("/stories?limit=0", "1 to 200"),
        ("/stories?since=now", "2026-11-20"),
        ("/stories?story_id=1", "story_id"),
    ],
)
def test_a_wrong_parameter_is_refused(client, path, word):
    response = client.get(path)

    assert response.status_code == 400
    assert word in f"{response.get_json()['message']} {response.get_json()['hint']}"


def test_the_table_has_a_row_for_each_number_and_bucket(client, provider):
    rows = table_rows(client.get("/stories?format=csv&limit=1"))

    assert len(rows) == len(PLAIN) + 1 + len(NAVIGATION)
    [exits] = [row for row in rows if row["bucket"] == "tap_exit"]
    assert (exits["id"], exits["name"], exits["value"]) == ("18002", "navigation", "7")
