"""Posts of others that an account takes part in: an edge of the Facebook login."""

import pytest

from tests.simulator.caller import error

FIELDS = (
    "id,username,media_type,media_product_type,timestamp,like_count,comments_count,"
    "total_like_count,total_comments_count,total_views_count,shares_count"
)


def shared(caller, **parameters):
    return caller.graph(f"/{caller.account}/collaborative_media", **parameters)


def walk(caller, **parameters):
    media, after = [], {}
    while True:
        page = shared(caller, **parameters, **after).json()
        media += page["data"]
        if "next" not in page.get("paging", {}):
            return list({each["id"]: each for each in media}.values())
        after = {"after": page["paging"]["cursors"]["after"]}


def truth(caller):
    return caller.own(f"/truth/{caller.account}/collaborations")["posts"]


@pytest.fixture
def partner(caller):
    """An account that takes part in many posts of others."""
    caller.become("hidden_likes")
    return caller


def test_the_posts_that_an_account_takes_part_in_are_listed_newest_first(partner):
    expected = [post for post in truth(partner) if post["takes_part"]]

    media = walk(partner, fields=FIELDS, limit=30)

    assert [each["id"] for each in media] == [post["id"] for post in expected]
    assert len(expected) > 50
    own = {post["id"] for post in partner.truth(since="2022-04-01")["posts"]}
    assert own.isdisjoint(post["id"] for post in expected)
    assert {each["media_product_type"] for each in media} == {"FEED", "REELS"}


def test_the_sums_come_inline_and_views_for_videos_only(partner):
    numbers = {post["id"]: post for post in truth(partner)}

    for media in walk(partner, fields=FIELDS, limit=100):
        expected = numbers[media["id"]]["insights"]
        assert media["comments_count"] == expected["comments"]
        assert media["total_comments_count"] == expected["total_comments"]
        assert media["shares_count"] == expected["shares"]
        views = expected["total_views"] if media["media_type"] == "VIDEO" else None
        assert media.get("total_views_count") == views
        likes = None if numbers[media["id"]]["likes_hidden"] else expected["total_likes"]
        assert media.get("total_like_count") == likes


def test_some_posts_have_several_partners_and_some_partners_were_removed(partner):
    posts = truth(partner)

    assert any(len(post["partners"]) > 1 for post in posts)
    removed = [post["id"] for post in posts if not post["takes_part"]]
    assert removed
    assert all(partner.account in post["partners"] for post in posts if post["takes_part"])


def test_a_removed_partner_loses_the_post(partner):
    removed = next(post for post in truth(partner) if not post["takes_part"])
    assert error(search(partner, removed["id"]))["error_subcode"] == 33

    partner.order("/clock", now=partner.order("/clock", now=removed["timestamp"]).json()["now"] + 86_400)

    assert search(partner, removed["id"]).json()["collaborative_media_search"]["id"] == removed["id"]
    assert shared(partner).json()["data"][0]["id"] == next(each["id"] for each in truth(partner) if each["takes_part"])


def search(caller, media_id, fields="id,username"):
    field = f"collaborative_media_search.media_id({media_id}){{{fields}}}"
    return caller.graph(f"/{caller.account}", fields=field)


def test_a_post_of_another_is_read_through_the_account_only(partner):
    post = next(post for post in truth(partner) if post["takes_part"])

    found = search(partner, post["id"], "id,comments_count").json()["collaborative_media_search"]

    assert found == {"id": post["id"], "comments_count": post["comments_count"]}
    for path in (f"/{post['id']}", f"/{post['id']}/insights"):
        assert error(partner.graph(path, metric="reach"))["error_subcode"] == 33


@pytest.mark.parametrize("position", ["refused", "missing", "answered"])
def test_insights_of_posts_of_others(partner, position):
    partner.switch(collaborative_insights=position)

    reply = shared(partner, fields="id,insights.metric(reach)", limit=5)

    if position == "refused":
        assert (error(reply)["code"], error(reply)["error_subcode"]) == (100, 33)
    else:
        assert all(("insights" in media) == (position == "answered") for media in reply.json()["data"])


@pytest.mark.parametrize("position", ["ignored", "filtered"])
def test_since_has_no_effect_unless_a_switch_says_so(partner, position):
    partner.switch(collaborative_window=position)

    media = walk(partner, fields="timestamp", since="2026-10-01", limit=100)

    old = [each for each in media if each["timestamp"] < "2026-10-01"]
    assert bool(old) == (position == "ignored")


def test_large_pages_with_total_views_are_too_much_by_a_switch(partner):
    partner.switch(collaborative_page=3)

    assert error(shared(partner, fields=FIELDS, limit=10))["code"] == 1
    assert shared(partner, fields=FIELDS, limit=3).status_code == 200
    assert shared(partner, fields="id,like_count", limit=10).status_code == 200


def test_a_fault_finds_the_edge_by_its_page(partner):
    partner.fault("instagram", "reduce_data", above=5)

    assert error(shared(partner, limit=6))["code"] == 1
    assert error(partner.graph(f"/{partner.account}", fields="collaborative_media.limit(6){id}"))["code"] == 1
    assert shared(partner, limit=5).status_code == 200


def test_the_list_is_a_field_of_the_account_with_its_own_cursor(partner):
    partner.switch(repeat_post=False)
    expected = walk(partner, fields="id,username", limit=100)[:6]

    first = partner.graph(f"/{partner.account}", fields="collaborative_media.limit(3){id,username}").json()
    cursor = first["collaborative_media"]["paging"]["cursors"]["after"]
    fields = f"collaborative_media.limit(3).after({cursor}){{id,username}}"
    second = partner.graph(f"/{partner.account}", fields=fields).json()

    assert first["collaborative_media"]["data"] + second["collaborative_media"]["data"] == expected


def test_the_owner_sees_who_was_invited(partner):
    post = next(post for post in truth(partner) if len(post["partners"]) > 1)
    owner = next(each for each in partner.own("/accounts")["accounts"] if each["id"] == post["owner"])

    listed = partner.graph(f"/{post['id']}/collaborators", access_token=owner["token"]).json()["data"]
    field = partner.graph(f"/{post['id']}", fields="collaborators", access_token=owner["token"]).json()

    accepted = [each["id"] for each in listed if each["invite_status"] == "Accepted"]
    assert accepted == post["partners"]
    assert [each["id"] for each in field["collaborators"]["data"]] == [each["id"] for each in listed]


def test_an_account_without_partners_has_an_empty_list(caller):
    caller.become("nothing")

    assert shared(caller).json() == {"data": []}


def test_the_instagram_login_has_no_such_edge(partner):
    refused = partner.instagram(f"/{partner.account}/collaborative_media")

    assert (refused.status_code, error(refused)["code"], error(refused)["type"]) == (400, 100, "IGApiException")
    assert error(refused)["message"].startswith("Tried accessing nonexisting field (collaborative_media)")
    assert error(partner.instagram("/me", fields="collaborative_media{id}"))["code"] == 100
    own = partner.instagram("/me/media", limit=1).json()["data"][0]["id"]
    assert error(partner.instagram(f"/{own}/collaborators"))["code"] == 100
