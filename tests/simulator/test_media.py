"""Media: the list of posts with its paging, and one post."""

import pytest

from tests.simulator.caller import ACCOUNT, midnight

ALL = (
    "id,shortcode,permalink,username,owner{id},media_type,media_product_type,timestamp,caption,media_url,thumbnail_url,"
    "like_count,comments_count,children{id}"
)


def walk(caller, **parameters):
    pages, after = [], None
    while True:
        page = caller.media(**parameters, **({"after": after} if after else {})).json()
        pages.append(page)
        after = page.get("paging", {}).get("cursors", {}).get("after")
        if "next" not in page.get("paging", {}):
            return pages


def ids(pages):
    return [media["id"] for page in pages for media in page["data"]]


@pytest.mark.parametrize("repeats", [True, False])
def test_a_walk_finds_every_post_once_the_repeated_ones_are_dropped(caller, repeats):
    caller.switch(repeat_post=repeats)
    truth = [post["id"] for post in caller.truth(since="2022-04-01")["posts"]]

    pages = walk(caller, limit=100)

    assert list(dict.fromkeys(ids(pages))) == truth
    assert len(ids(pages)) - len(truth) == (len(pages) - 1 if repeats else 0)
    assert "after" in pages[-1]["paging"]["cursors"]


def test_pages_have_25_posts_newest_first_and_at_most_the_page_limit(caller):
    page = caller.media(fields="timestamp").json()["data"]

    assert len(page) == 25
    assert page == sorted(page, key=lambda media: media["timestamp"], reverse=True)
    assert len(caller.media(limit=1000).json()["data"]) == 100
    caller.switch(media_max_page=30)
    assert len(caller.media(limit=1000).json()["data"]) == 30


def test_without_fields_only_ids_come(caller):
    assert {frozenset(media) for media in caller.media(limit=5).json()["data"]} == {frozenset({"id"})}


def test_before_leads_back(caller):
    first = caller.media(limit=10).json()
    second = caller.media(limit=10, after=first["paging"]["cursors"]["after"]).json()

    back = caller.media(limit=10, before=second["paging"]["cursors"]["before"]).json()

    assert "previous" not in first["paging"]
    assert "previous" in second["paging"]
    assert ids([back]) == ids([first])[:-1]


def test_next_is_a_working_address_with_the_token_in_it(caller):
    first = caller.media(limit=3, fields="id,caption").json()

    second = caller.session.get(first["paging"]["next"], timeout=5).json()

    assert caller.token in first["paging"]["next"]
    assert second["data"][0] == first["data"][-1]
    assert len(second["data"]) == 3


def test_since_and_until_cut_by_time(caller):
    truth = caller.truth(since="2026-10-01", until="2026-10-10")["posts"]

    pages = walk(caller, since=midnight("2026-10-01"), until=midnight("2026-10-11") - 1, limit=7)

    assert list(dict.fromkeys(ids(pages))) == [post["id"] for post in truth]


def test_no_more_than_the_newest_10000_are_listed(caller):
    caller.become("prolific")
    caller.switch(repeat_post=False, media_max_page=1000)
    truth = caller.truth(since="2022-04-01")["posts"]

    pages = walk(caller, limit=1000)

    assert len(truth) > 10_000
    assert ids(pages) == [post["id"] for post in truth[:10_000]]


def test_a_post_of_the_moment_does_not_disturb_a_walk(caller):
    first = caller.media(limit=50).json()
    caller.order("/clock", advance=5 * 86_400)

    second = caller.media(limit=50, after=first["paging"]["cursors"]["after"]).json()

    assert second["data"][0] == first["data"][-1]
    assert caller.media(limit=50).json()["data"][0] != first["data"][0]


def test_posts_of_every_shape_appear_with_the_fields_of_their_shape(caller):
    posts = [media for page in walk(caller, fields=ALL, limit=100) for media in page["data"]]
    shapes = {(media["media_product_type"], media["media_type"]) for media in posts}

    assert shapes >= {
        ("FEED", "IMAGE"),
        ("FEED", "VIDEO"),
        ("FEED", "CAROUSEL_ALBUM"),
        ("REELS", "VIDEO"),
        ("AD", "IMAGE"),
    }
    for media in posts:
        assert ("thumbnail_url" in media) == (media["media_type"] == "VIDEO")
        assert ("children" in media) == (media["media_type"] == "CAROUSEL_ALBUM")
        assert media["owner"] == {"id": ACCOUNT}
        assert media["timestamp"].endswith("+0000")
    assert any("media_url" not in media for media in posts)
    captions = [media.get("caption") for media in posts]
    assert None in captions
    assert max(len(caption or "") for caption in captions) > 1500
    assert any("🥐" in (caption or "") for caption in captions)


def test_hidden_likes_are_left_out_of_lists_and_shown_on_a_direct_read(caller):
    caller.become("hidden_likes")
    listed = caller.media(fields="like_count,comments_count", limit=20).json()["data"]

    direct = caller.graph(f"/{listed[0]['id']}", fields="like_count").json()

    assert all("like_count" not in media and "comments_count" in media for media in listed)
    assert direct["like_count"] >= 0
    caller.switch(hidden_likes_omitted=False)
    assert "like_count" in caller.media(fields="like_count").json()["data"][0]


def test_comments_are_hidden_with_likes_by_a_switch(caller):
    caller.become("hidden_likes")
    caller.switch(hidden_counts="all")

    listed = caller.media(fields="like_count,comments_count", limit=5).json()["data"]

    assert [set(media) for media in listed] == [{"id"}] * 5
    assert "comments_count" in caller.graph(f"/{listed[0]['id']}", fields="comments_count").json()


def test_the_sandbox_account_hides_the_likes_of_a_few_posts(caller):
    posts = caller.truth(since="2025-11-21")["posts"]
    hidden = [post["id"] for post in posts if post["likes_hidden"]]

    listed = [m for page in walk(caller, fields="like_count", limit=100, since="2025-11-21") for m in page["data"]]

    assert 0 < len(hidden) < len(posts) / 10
    assert {media["id"] for media in listed if "like_count" not in media} >= set(hidden)


def test_counts_are_those_of_the_truth_and_only_grow(caller):
    post = caller.truth(since="2026-11-18")["posts"][0]
    seen = []
    for _ in range(4):
        media = caller.graph(f"/{post['id']}", fields="like_count,comments_count").json()
        seen.append((media["like_count"], media["comments_count"]))
        caller.order("/clock", advance=86_400)

    assert seen[0] == (post["like_count"], post["comments_count"])
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_the_truth_has_the_counts_of_each_day(caller):
    post = caller.truth(since="2026-10-01", until="2026-10-05", by_day="true")["posts"][-1]

    likes = [counts["like_count"] for counts in post["by_day"].values()]

    assert likes == sorted(likes)
    assert likes[-1] == post["like_count"]


def test_a_direct_read_gives_totals_that_lists_keep_to_themselves(caller):
    [listed] = caller.media(fields="shares_count,total_views_count", limit=1).json()["data"]

    direct = caller.graph(f"/{listed['id']}", fields="shares_count,total_views_count").json()

    assert set(listed) == {"id"}
    assert set(direct) == {"id", "shares_count", "total_views_count"}


def test_a_child_of_an_album_has_no_counts(caller):
    album = next(m for m in caller.media(fields="media_type,children", limit=100).json()["data"] if "children" in m)
    child = album["children"]["data"][0]["id"]

    media = caller.graph(f"/{child}", fields="media_type,media_url,like_count,comments_count,permalink,caption").json()

    assert set(media) == {"id", "media_type", "media_url"}
    assert caller.graph(f"/{album['id']}/children").json()["data"] == album["children"]["data"]


@pytest.mark.parametrize(
    ("field", "code", "text"),
    [
        (
            "view_count",
            36104,
            "(#36104) You do not have permission to access this field outside of the Business Discovery API.",
        ),
        ("nonsense", 100, "(#100) Tried accessing nonexisting field (nonsense) on node type (IGMedia)"),
    ],
)
def test_fields_that_are_not_for_everyone_are_refused(caller, field, code, text):
    error = caller.media(fields=f"id,{field}").json()["error"]

    assert (error["code"], error["message"]) == (code, text)


def test_copyright_is_checked_for_videos_only(caller):
    posts = caller.media(fields="media_type", limit=100).json()["data"]
    image, video = (next(m["id"] for m in posts if m["media_type"] == kind) for kind in ("IMAGE", "VIDEO"))

    refused = caller.graph(f"/{image}", fields="copyright_check_information").json()["error"]

    assert (refused["code"], refused["error_subcode"]) == (9005, 1452042)
    assert caller.graph(f"/{video}", fields="copyright_check_information").status_code == 200


@pytest.mark.parametrize(
    "parameters", [{"after": "nonsense"}, {"limit": "0"}, {"limit": "many"}, {"since": "once"}, {"limit": "9" * 5000}]
)
def test_paging_that_cannot_be_read_is_refused(caller, parameters):
    assert caller.media(**parameters).json()["error"]["code"] == 100


def test_an_account_without_posts_has_an_empty_list(caller):
    caller.become("no_posts")

    assert caller.media(fields="id").json() == {"data": []}
    assert caller.graph(f"/{caller.account}", fields="media_count").json()["media_count"] == 0


def test_a_prolific_account_posts_more_than_100_times_a_month(caller):
    caller.become("prolific")

    assert len(caller.truth(since="2026-10-01", until="2026-10-30")["posts"]) > 100


def test_a_post_of_another_account_or_of_the_future_is_not_there(caller):
    mine = caller.media(limit=1).json()["data"][0]["id"]
    caller.order("/clock", now="2026-01-01T00:00:00Z")

    assert caller.graph(f"/{mine}").json()["error"]["error_subcode"] == 33
    caller.order("/clock", now="2026-11-21T20:00:00Z")
    caller.become("big")
    assert caller.graph(f"/{mine}").json()["error"]["error_subcode"] == 33


def test_a_range_beyond_all_posts_is_empty(caller):
    assert caller.media(since="2099-01-01").json() == {"data": []}
    assert caller.media(until="1999-01-01").json() == {"data": []}
    assert len(caller.media(until="2099-01-01").json()["data"]) == 25
