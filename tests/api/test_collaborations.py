"""Top posts with the posts of others on which the account collaborates: marked, counted once, never a failure."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.planners import MEDIA, USER, body_of, plan_posts, post
from tests.support import ACCOUNT_ID, graph_error
from tests.world import NOW

COLLABORATIONS = f"{USER}/collaborative_media"
OTHER = {"owner": {"id": "99", "username": "other"}}


def ask(client, **query):
    return body_of(client, "/top-posts", time_range="7d", include="collaborations", **query)


def plan_shared(wire, *posts):
    wire.get(COLLABORATIONS, json={"data": list(posts)})


def test_posts_of_others_are_marked_with_their_owner_and_ranked_among_the_own(client, wire):
    plan_posts(wire, [post("own", like_count=5), post("least", like_count=0)])
    plan_shared(wire, post("shared", like_count=3, **OTHER), post("old", "2026-06-01T12:00:00+0000", **OTHER))

    body = ask(client)

    assert [(each["id"], each["collaboration"], each["owner"]) for each in body["top_posts"]] == [
        ("own", False, None),
        ("shared", True, {"id": "99", "username": "other"}),
        ("least", False, None),
    ]
    assert (body["meta"]["time_range"]["posts"], body["meta"]["time_range"]["collaborations"]) == (3, 1)


def test_a_post_is_counted_once_and_one_of_the_account_is_in_its_own_list_only(client, wire):
    plan_posts(wire, [post("both", like_count=5)])
    own = post("not listed any more", owner={"id": ACCOUNT_ID, "username": "us"})
    plan_shared(wire, post("both", **OTHER), post("shared", **OTHER), post("shared", **OTHER), own)

    body = ask(client)

    assert [(each["id"], each["collaboration"]) for each in body["top_posts"]] == [("both", False), ("shared", True)]


def test_csv_names_the_owner(client, wire):
    plan_posts(wire, [post("own", like_count=9)])
    plan_shared(wire, post("shared", **OTHER))

    lines = client.get("/top-posts?time_range=7d&include=collaborations&format=csv").get_data(as_text=True).splitlines()

    assert lines[0].endswith(",collaboration,owner")
    assert lines[1].lower().endswith(",false,")
    assert lines[2].lower().endswith(",true,other")


@pytest.mark.parametrize(
    ("status", "answer"),
    [(400, graph_error(10, message="(#10) Application does not have permission")), (503, {}), (400, graph_error(100))],
)
def test_where_they_cannot_be_read_the_own_posts_are_answered(client, wire, status, answer):
    plan_posts(wire, [post("own")])
    wire.get(COLLABORATIONS, status=status, json=answer)

    body = ask(client)

    assert [each["id"] for each in body["top_posts"]] == ["own"]
    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["collaborations_unavailable"]


def test_known_ones_stay_while_they_cannot_be_read(client, wire, clock):
    wire.assert_all_requests_are_fired = False
    plan_posts(wire, [post("own")])
    plan_shared(wire, post("shared", **OTHER))
    known = ask(client)
    wire.replace("GET", COLLABORATIONS, status=503, json={})
    clock.wait(60)

    later = ask(client, refresh="true")

    assert later["top_posts"] == known["top_posts"]
    assert later["meta"]["stale"] is True


def test_they_are_not_asked_for_again_and_not_at_all_without_the_parameter(client, wire):
    plan_posts(wire, [post("own")])
    body = body_of(client, "/top-posts", time_range="7d")
    assert "collaboration" not in body["top_posts"][0]
    plan_shared(wire, post("shared", **OTHER))

    ask(client)
    ask(client, limit=1)

    assert len([call for call in wire.calls if call.request.url.startswith(COLLABORATIONS)]) == 1
    assert len([call for call in wire.calls if call.request.url.startswith(f"{MEDIA}?")]) == 1


@pytest.mark.parametrize("insights", ["refused", "missing"])
def test_numbers_equal_the_truth_of_the_simulator(make_world, insights):
    world = make_world("prolific")
    world.switch(collaborative_insights=insights)
    truth = world.simulator.get(f"/_simulator/truth/{world.account['id']}/collaborations").json()["posts"]
    since = NOW - timedelta(days=30)
    expected = {
        each["id"]: each for each in truth if each["takes_part"] and datetime.fromisoformat(each["timestamp"]) >= since
    }

    body = world.body("/top-posts?time_range=30d&limit=50&include=collaborations&by=reach")

    shared = [each for each in body["top_posts"] if each["collaboration"]]
    assert body["meta"]["time_range"]["collaborations"] == len(expected) > 0
    assert {each["id"] for each in shared} <= expected.keys()
    for each in shared:
        assert each["owner"]["id"] == expected[each["id"]]["owner"]
        assert each["comments_count"] == expected[each["id"]]["comments_count"]
    assert body["meta"]["ranking"]["posts_unknown"] == len(expected)
    assert {each["reason"] for each in body["meta"]["unavailable"]} == {"not_own_post"}


def test_by_the_instagram_login_they_are_a_warning(make_world):
    world = make_world("ordinary")
    world.restart(
        ACCESS_LONG_LIVED_TOKEN=world.account["instagram_token"],
        GRAPH_BASE_URL=f"{world.simulator.url}/graph.instagram.com",
        INSTAGRAM_ACCOUNT_ID="",
    )

    body = world.body("/top-posts?time_range=7d&include=collaborations")

    assert [warning["code"] for warning in body["meta"]["warnings"]] == ["collaborations_unavailable"]
    assert body["meta"]["time_range"]["collaborations"] == 0
    assert not any(each["collaboration"] for each in body["top_posts"])
