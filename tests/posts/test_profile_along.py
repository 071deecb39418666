"""The profile comes along with the first page of posts: one call where both are due, two where that is refused."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
import responses

from benchmarks.polling_day import MOST_CALLS, START, WIDGETS
from services.days import utc as moment
from tests.planners import MEDIA, NEXT_PAGE, USER, body_of, follows, plan_insights, post, query_of
from tests.support import ACCOUNT_ID, graph_error

GROWTH, POSTS = "/growth-trends?period=7d", "/top-posts?time_range=7d"
PROFILE = {"id": ACCOUNT_ID, "username": "someone", "followers_count": 1000}


@pytest.fixture
def instagram(wire):
    """Instagram's profile and posts, by one call or by two; each may fail."""

    class Instagram:
        def __init__(self):
            self.posts, self.asked, self.answers = [post("b"), post("a")], [], {}

        def user(self, request):
            is_joint = "media.limit(" in query_of(request)["fields"]
            self.asked.append("both" if is_joint else "profile")
            if (answer := self.answers.get(self.asked[-1])) is not None:
                return answer[0], {}, json.dumps(answer[1])
            return 200, {}, json.dumps(PROFILE | ({"media": self.page()} if is_joint else {}))

        def media(self, _request):
            self.asked.append("posts")
            status, body = self.answers.get("posts", (200, self.page()))
            return status, {}, json.dumps(body)

        def page(self):
            return {"data": self.posts, "paging": {"cursors": {"after": "C"}}}

        def calls(self):
            asked, self.asked = self.asked, []
            return asked

    instagram = Instagram()
    wire.add_callback(responses.GET, USER, callback=instagram.user)
    wire.add_callback(responses.GET, MEDIA, callback=instagram.media)
    plan_insights(wire, lambda _query: follows(gained=50, lost=20))
    wire.assert_all_requests_are_fired = False
    return instagram


@pytest.fixture
def settled(client):
    """Wait until nothing is read in the background."""
    services = client.application.extensions["services"]
    return lambda: services.wait_until_quiet(10)


def trends(client):
    body = body_of(client, GROWTH)
    return {trend["key"]: trend for trend in body["trends"]}, body["meta"]


def test_one_call_reads_both_where_both_are_due(client, instagram, clock, settled):
    found, meta = trends(client)

    assert instagram.calls() == ["both"]
    assert found["followers"]["current_value"] == 1000
    assert found["engagement_rate"]["coverage"]["current"]["posts_used"] == 2
    assert meta["username"] == "someone"
    body_of(client, POSTS)
    assert instagram.calls() == []

    clock.wait(3700)
    body_of(client, GROWTH)
    settled()
    assert instagram.calls() == ["both"]


def test_the_list_takes_a_profile_along_that_some_endpoint_uses(client, instagram, clock, settled):
    body_of(client, POSTS)
    assert instagram.calls() == ["posts"]
    body_of(client, GROWTH)
    assert instagram.calls() == ["profile"]

    clock.wait(3700)
    body_of(client, POSTS)
    settled()
    body_of(client, GROWTH)

    assert instagram.calls() == ["both"]


def test_a_profile_that_comes_along_without_its_followers_leaves_those_that_were_known(
    client, instagram, clock, settled
):
    before, _ = trends(client)
    instagram.answers["both"] = (200, {"id": ACCOUNT_ID, "username": "someone", "media": instagram.page()})
    clock.wait(timedelta(hours=7, minutes=1).total_seconds())
    instagram.calls()

    body_of(client, POSTS)
    settled()
    asked = instagram.calls()
    instagram.answers = {"profile": (500, graph_error(2)), "both": (500, graph_error(2))}
    after, _ = trends(client)

    assert asked == ["both"]
    assert after["followers"]["current_value"] == before["followers"]["current_value"] == 1000


def test_an_expired_profile_is_read_with_a_list_that_must_be_waited_for(client, instagram, clock, settled):
    """After midnight the list has to be read again; the profile may be stale, and is not read by a call of its own."""
    clock.set(moment(clock.now().timestamp()) + timedelta(hours=12, minutes=30))  # half past eleven in California
    body_of(client, GROWTH)
    instagram.calls()
    clock.wait(3700)

    body_of(client, GROWTH)
    settled()

    assert instagram.calls() == ["both"]


@pytest.mark.parametrize(
    "answer",
    [
        (400, graph_error(100, message="(#100) Tried accessing nonexisting field (media) on node type (IGUser)")),
        (400, graph_error(2500, message="Syntax error")),
        (200, PROFILE),  # without any list
    ],
)
def test_where_the_joint_call_is_refused_each_has_its_own_for_a_day(client, instagram, clock, settled, answer):
    instagram.answers["both"] = answer

    found, _ = trends(client)

    assert found["followers"]["current_value"] == 1000
    assert found["engagement_rate"]["current_value"] is not None
    first = instagram.calls()
    assert first[:2] == ["both", "posts"]
    assert len(first) == (2 if answer[0] == 200 else 3)
    clock.wait(3700)
    body_of(client, GROWTH)
    settled()
    assert sorted(instagram.calls()) == ["posts", "profile"]
    clock.wait(86_400)
    del instagram.answers["both"]
    body_of(client, GROWTH)
    settled()
    assert instagram.calls() == ["both"]


def test_a_failure_of_the_joint_call_leaves_the_posts(client, instagram):
    instagram.answers["both"] = (400, graph_error(10, message="(#10) Application does not have permission"))

    found, meta = trends(client)

    assert found["followers"]["reason"] == "permission_denied"
    assert found["engagement_rate"]["coverage"]["current"]["posts_used"] == 2
    assert [each["metric"] for each in meta["unavailable"]] == ["Follower Growth Rate", "Engagement Rate Change"]
    assert instagram.calls() == ["both", "posts"]


def test_a_list_that_fails_leaves_the_profile_that_came(client, instagram):
    instagram.answers["posts"] = (400, graph_error(10, message="(#10) Application does not have permission"))
    instagram.answers["both"] = (200, PROFILE)

    found, _ = trends(client)

    assert found["followers"]["current_value"] == 1000
    assert found["engagement_rate"]["reason"] == "permission_denied"


def test_a_list_of_several_pages_goes_on_by_its_own_calls(client, instagram, wire, clock):
    instagram.page = lambda: {
        "data": [
            post(
                f"{len(instagram.asked)}",
                f"{clock.now() - timedelta(days=len(instagram.asked)):%Y-%m-%dT%H:%M:%S+0000}",
            )
        ],
        "paging": {"cursors": {"after": f"C{len(instagram.asked)}"}}
        | ({"next": NEXT_PAGE} if len(instagram.asked) < 3 else {}),
    }

    found, _ = trends(client)

    assert instagram.calls() == ["both", "posts", "posts"]
    assert found["engagement_rate"]["coverage"]["current"]["posts_used"] == 3


@pytest.fixture
def two_pages(instagram, clock):
    """Instagram, which lists two pages of one post each."""

    def page():
        number = len(instagram.asked)
        posted = f"{clock.now() - timedelta(days=number):%Y-%m-%dT%H:%M:%S+0000}"
        more = {"next": NEXT_PAGE} if number < 2 else {}
        return {"data": [post(f"{number}", posted)], "paging": {"cursors": {"after": f"C{number}"}} | more}

    instagram.page = page
    return instagram


@pytest.mark.parametrize("table", ["posts", "media", "follower_counts"])
def test_the_next_page_is_requested_while_what_came_before_is_written(client, two_pages, store, monkeypatch, table):
    requested, in_time, written = threading.Event(), [], []
    name = "put" if table == "media" else "keep"
    write, media = getattr(getattr(store, table), name), two_pages.page

    def slow(*arguments, **options):
        if not in_time:
            in_time.append(requested.wait(10))
        result = write(*arguments, **options)
        written.append(table)
        return result

    def page():
        if two_pages.asked == ["both", "posts"]:
            requested.set()
        return media()

    monkeypatch.setattr(getattr(client.application.extensions["services"].store, table), name, slow)
    monkeypatch.setattr(two_pages, "page", page)

    found, _ = trends(client)

    assert set(in_time) == {True}
    assert len(written) == (1 if table == "follower_counts" else 2)
    assert found["engagement_rate"]["coverage"]["current"]["posts_used"] == 2
    assert found["followers"]["current_value"] == 1000


def test_what_came_before_is_written_although_the_next_page_fails(client, two_pages):
    two_pages.answers["posts"] = (400, graph_error(10, message="(#10) Application does not have permission"))

    found, _ = trends(client)

    assert found["followers"]["current_value"] == 1000
    store = client.application.extensions["services"].store
    assert store.posts.find(ACCOUNT_ID, "1").id == "1"
    assert store.media.read(["1"]).keys() == {"1"}


def test_a_day_of_four_widgets_costs_few_calls(make_world):
    """As the benchmark `polling_day`, but every half hour, which is often enough for each expiry."""
    world = make_world("ordinary")
    world.clock.set(moment(START))
    world.advance(seconds=0)
    world.calls()
    made = []
    for _ in range(24 * 2):
        for path in WIDGETS:
            world.body(path)
        made += [path for path in world.calls() if "/performance" not in path]
        world.advance(minutes=30)

    assert 40 < len([path for path in made if world.account["id"] in path]) <= MOST_CALLS
