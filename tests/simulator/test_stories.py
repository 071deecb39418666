"""Stories: the list of live ones, the node, the end after 24 hours, and the counts that grow until then."""

from datetime import datetime
from itertools import pairwise

import pytest

from tests.simulator.caller import NOW, Caller, error, midnight

DAY, HOUR = 86_400, 3_600
NAVIGATION = ("tap_forward", "tap_back", "tap_exit", "swipe_forward")


def stories(caller, **parameters):
    return caller.graph(f"/{caller.account}/stories", **parameters).json()


def true_stories(caller, **parameters):
    return caller.own(f"/truth/{caller.account}/stories", **parameters)["stories"]


def ids(listed):
    return [story["id"] for story in listed["data"]]


@pytest.mark.parametrize("kind", ["ordinary", "prolific", "no_posts"])
def test_the_live_stories_are_listed_newest_first(caller, kind):
    caller.become(kind)

    listed = ids(stories(caller, limit=100))

    assert listed == [story["id"] for story in true_stories(caller) if story["is_live"]]


def test_a_story_is_listed_for_24_hours_from_its_publication_on(caller):
    story = true_stories(caller)[-1]
    for moment, is_listed in ((-1, False), (0, True), (DAY - 1, True), (DAY, False)):
        published = caller.order("/clock", now=story["timestamp"]).json()["now"]
        caller.order("/clock", now=published + moment)

        assert (story["id"] in ids(stories(caller, limit=100))) is is_listed
        assert caller.graph(f"/{story['id']}").ok is is_listed


def test_the_sandbox_account_has_a_live_story_at_every_moment_of_a_year(caller):
    listed = true_stories(caller, since="2025-11-20", until="2026-11-20")

    published = sorted(datetime.fromisoformat(story["timestamp"]).timestamp() for story in listed)
    assert published[-1] - published[0] > 364 * DAY
    assert [earlier for earlier, later in pairwise(published) if later > earlier + DAY] == []


@pytest.mark.parametrize("clock_change", ["2026-03-08", "2026-11-01"])
def test_the_sandbox_account_has_a_story_with_insights_at_every_hour(caller, clock_change):
    without = []
    for hour in range(midnight(clock_change, -1), midnight(clock_change, 2), HOUR):
        caller.order("/clock", now=hour)
        if not any(caller.graph(f"/{story}/insights", metric="reach").ok for story in ids(stories(caller))):
            without.append(hour)

    assert without == []


def test_pages_are_those_of_media(caller):
    caller.become("prolific")
    caller.switch(repeat_post=False)
    everything = ids(stories(caller, limit=100))
    first = stories(caller, limit=3)

    second = stories(caller, limit=3, after=first["paging"]["cursors"]["after"])
    back = stories(caller, limit=3, before=second["paging"]["cursors"]["before"])
    by_address = caller.session.get(first["paging"]["next"], timeout=5).json()

    assert len(everything) > 6
    assert ids(first) + ids(second) == everything[:6]
    assert ids(back) == ids(first)
    assert by_address == second
    assert "previous" not in first["paging"]
    assert "after" in stories(caller, limit=100)["paging"]["cursors"]
    assert "next" not in stories(caller, limit=100)["paging"]


def test_stories_are_no_media(caller):
    caller.become("prolific")
    product_types = {
        post["media_product_type"] for post in caller.media(fields="media_product_type", limit=100).json()["data"]
    }

    assert "STORY" not in product_types
    assert not {story["id"] for story in true_stories(caller)} & set(ids(caller.media(limit=100).json()))


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_a_live_story_can_be_read(caller, login):
    caller.become("prolific")
    read = getattr(caller, login)
    fields = "id,media_type,media_product_type,timestamp,permalink,like_count,thumbnail_url,owner{id}"
    for truth in (story for story in true_stories(caller) if story["is_live"]):
        story = read(f"/{truth['id']}", fields=fields).json()

        assert story == {
            "id": truth["id"],
            "media_type": truth["media_type"],
            "media_product_type": "STORY",
            "timestamp": truth["timestamp"],
            "permalink": truth["permalink"],
            "like_count": truth["counts"]["like_count"],
            "owner": {"id": caller.account},
            **({"thumbnail_url": story.get("thumbnail_url")} if truth["media_type"] == "VIDEO" else {}),
        }


def test_the_instagram_login_lists_the_same_stories(caller):
    caller.become("prolific")

    assert ids(caller.instagram("/me/stories", limit=100).json()) == ids(stories(caller, limit=100))


def test_stories_are_a_field_of_the_account(caller):
    caller.become("prolific")

    nested = caller.graph(f"/{caller.account}", fields="stories.limit(2){id,media_type}").json()["stories"]

    assert nested["data"] == stories(caller, fields="id,media_type", limit=2)["data"]
    assert "next" in nested["paging"]


def test_a_story_that_is_over_is_missing(caller):
    over = next(story for story in true_stories(caller) if not story["is_live"])

    refused = caller.graph(f"/{over['id']}", fields="media_type")

    assert (refused.status_code, error(refused)["code"], error(refused)["error_subcode"]) == (400, 100, 33)


def test_a_story_that_is_over_is_empty_by_a_switch(caller):
    caller.switch(expired_story="empty")
    over = next(story for story in true_stories(caller) if not story["is_live"])

    assert caller.graph(f"/{over['id']}", fields="media_type,like_count").json() == {"id": over["id"]}


def test_a_story_of_another_account_is_missing(caller):
    story = next(story for story in true_stories(caller) if story["is_live"])
    caller.become("big")

    assert error(caller.graph(f"/{story['id']}"))["error_subcode"] == 33


def test_counts_grow_until_the_end_and_then_stand_still(caller):
    story = true_stories(caller)[-1]
    published = caller.order("/clock", now=story["timestamp"]).json()["now"]
    seen = []
    for age in (0, HOUR, 6 * HOUR, 23.5 * HOUR, DAY, 3 * DAY):
        caller.order("/clock", now=published + age)
        seen.append(next(each["counts"] for each in true_stories(caller) if each["id"] == story["id"]))

    assert set(seen[0].values()) == {0}
    for before, after in pairwise(seen):
        assert all(before[name] <= after[name] for name in before)
    assert seen[1]["reach"] < seen[2]["reach"] < seen[4]["reach"]
    assert seen[4] == seen[5] == story["final"]
    for counts in seen:
        assert counts["navigation"] == sum(counts[name] for name in NAVIGATION)
        assert counts["views"] >= counts["reach"]


def test_some_stories_never_have_five_viewers(caller):
    reach = [story["final"]["reach"] for story in true_stories(caller, since="2026-01-01")]

    assert 0.01 < sum(viewers < 5 for viewers in reach) / len(reach) < 0.15


@pytest.mark.parametrize("login", ["graph", "instagram"])
def test_a_story_has_no_insights_until_five_people_have_seen_it(caller, login):
    story = next(each for each in true_stories(caller, until="2026-11-10") if each["final"]["reach"] > 100)
    published = caller.order("/clock", now=story["timestamp"]).json()["now"]
    early, later = (read_at(caller, login, story["id"], published + age) for age in (60, 12 * HOUR))

    assert error(early)["code"] == 10
    assert later.json()["data"][0]["values"][0]["value"] >= 5


def read_at(caller, login, story_id, moment):
    caller.order("/clock", now=moment)
    return getattr(caller, login)(f"/{story_id}/insights", metric="reach")


def test_replies_are_not_counted_in_some_regions(caller):
    replies, regions = {}, set()
    for account in caller.own("/accounts")["accounts"]:
        if account["kind"] == "ordinary" or account["kind"] == "prolific":
            truth = caller.own(f"/truth/{account['id']}/stories")
            regions.add(truth["region"])
            replies.setdefault(truth["region"] in ("EUROPE", "JAPAN"), 0)
            replies[truth["region"] in ("EUROPE", "JAPAN")] += sum(
                story["final"]["replies"] for story in truth["stories"]
            )

    assert replies[True] == 0
    assert replies[False] > 0
    assert regions >= {"EUROPE", "ELSEWHERE"}


def test_the_stories_are_the_same_for_the_same_seed(caller, same_world, another_world):
    same, other = Caller(same_world, caller.session), Caller(another_world, caller.session)
    for each in (same, other):
        each.order("/clock", now=NOW)

    assert true_stories(same) == true_stories(caller)
    assert true_stories(other) != true_stories(caller)
