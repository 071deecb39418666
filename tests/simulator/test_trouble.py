"""Accounts that are trouble: always there, each with what careless readers stumble over; and renamed ones."""

import json

import pytest

from simulator import Simulator
from simulator.world.account_kinds import EXTRAS
from tests.simulator.caller import ACCOUNT, NOW, error

DAY = 86_400


def test_they_exist_whatever_the_number_of_accounts(caller):
    few = [account.id for account in Simulator(seed=1, accounts=1, started=NOW).accounts][1:]
    listed = caller.own("/accounts")["accounts"][40:]

    assert [account["id"] for account in listed] == few
    assert [account["username"] for account in listed] == [name for name, _ in EXTRAS]
    assert {account["kind"] for account in listed} >= {"flood", "ninety_nine", "odd_texts", "digits", "nothing"}


def test_a_flood_is_5000_posts_in_a_month(caller):
    caller.become("flood")
    caller.switch(repeat_post=False)
    since = int(NOW) - 30 * DAY
    ids, after = [], None
    while True:
        page = caller.media(limit=100, since=since, **({"after": after} if after else {})).json()
        ids += [media["id"] for media in page["data"]]
        after = page["paging"]["cursors"]["after"]
        if "next" not in page["paging"]:
            break

    assert 4_700 < len(ids) < 5_500
    assert len(set(ids)) == len(ids)
    assert {len(one) for one in ids} == {17}
    for one in ids[:: len(ids) // 20]:
        assert caller.graph(f"/{one}").json() == {"id": one}
    assert caller.own("/calls")["instagram"]["by_path"].keys() >= {"GET /<ig>/media", "GET /<media>"}


def test_99_followers_are_one_too_few(caller):
    caller.become("ninety_nine")
    window = {"since": int(NOW) - 10 * DAY, "until": int(NOW) - 5 * DAY}

    assert {each["followers"] for each in caller.truth()["days"]} == {99}
    assert caller.graph(f"/{caller.account}", fields="followers_count").json()["followers_count"] == 99
    assert caller.insights("follower_count", **window).json()["data"] == []
    assert list(caller.totals("reach,follows_and_unfollows", **window)) == ["reach"]


def test_odd_texts_come_as_they_are(caller):
    account = caller.become("odd_texts")
    reply = caller.instagram("/me/media", fields="caption,username", limit=100)
    captions = "".join(media.get("caption", "") for media in reply.json()["data"])
    profile = caller.graph(f"/{caller.account}", fields="name,username")

    for odd in ("\x00", "\ud83d", "\u202e", "<b>", "\u2028", "👩‍👩‍👧‍👦"):
        assert odd in captions
    assert b"\\u0000" in reply.content
    assert b"\\ud83d," in reply.content
    assert b"\\u0000" in profile.content
    assert profile.json()["username"] == account["username"] == "_.odd_texts._"
    assert caller.truth(since="2026-11-01")["posts"]


def test_a_username_of_digits_is_no_id(caller):
    account = caller.become("digits")

    assert account["username"] == "1234567890"
    assert caller.own("/truth/creators/1234567890")["id"] == account["id"]
    assert caller.own(f"/truth/creators/{account['id']}")["handle"] == "1234567890"
    assert caller.modash("1234567890").json() == caller.modash(account["id"]).json()
    assert error(caller.graph("/1234567890"))["error_subcode"] == 33


def test_nothing_at_all(caller):
    caller.become("nothing")
    profile = caller.instagram("/me", fields="followers_count,media_count,follows_count").json()
    total = caller.totals("reach,views,likes", since=int(NOW) - 9 * DAY, until=int(NOW))

    assert (profile["followers_count"], profile["media_count"]) == (0, 0)
    assert caller.media().json() == {"data": []}
    assert total == {name: {"value": 0} for name in ("reach", "views", "likes")}


@pytest.mark.parametrize(
    ("name", "empty"),
    [("never.posted", "posts"), ("all.likes.hidden", "likes"), ("nobody.follows", "followers")],
)
def test_kinds_that_every_world_has(caller, name, empty):
    account = next(each for each in caller.own("/accounts")["accounts"] if each["username"] == name)
    caller.account, caller.token = account["id"], account["token"]
    truth = caller.truth(since="2026-09-01")

    if empty == "posts":
        assert truth["posts"] == []
    if empty == "likes":
        assert all(post["likes_hidden"] for post in truth["posts"])
    if empty == "followers":
        assert truth["followers_count"] == 0


def rename(caller, account=ACCOUNT, **body):
    return caller.order(f"/accounts/{account}", **body)


def test_an_account_can_be_renamed(caller):
    before = caller.truth(since="2026-11-01")
    creator = caller.own("/truth/creators/corner.bakery")

    assert rename(caller, username="new.name").json()["username"] == "new.name"

    for reply in (caller.graph(f"/{ACCOUNT}", fields="username"), caller.instagram("/me", fields="username")):
        assert reply.json()["username"] == "new.name"
    assert caller.media(fields="username", limit=1).json()["data"][0]["username"] == "new.name"
    assert caller.own("/accounts")["accounts"][0]["username"] == "new.name"
    assert caller.truth(since="2026-11-01") == {**before, "username": "new.name"}
    assert caller.own("/truth/creators/new.name") == {**creator, "handle": "new.name"}
    assert caller.own("/truth/creators/corner.bakery")["id"] != ACCOUNT


def test_a_new_name_can_be_taken_back_and_is_forgotten_at_a_reset(caller):
    rename(caller, username="new.name")
    rename(caller, username="newer.name")

    assert caller.own("/truth/creators/newer.name")["id"] == ACCOUNT
    assert caller.own("/truth/creators/new.name")["id"] != ACCOUNT
    caller.simulator.reset()
    assert caller.own("/accounts")["accounts"][0]["username"] == "corner.bakery"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "an account takes a username"),
        ({"username": "With Space"}, "an account takes a username"),
        ({"username": 7}, "an account takes a username"),
        ({"username": "a" * 31}, "an account takes a username"),
        ({"username": "new", "name": "x"}, "an account takes a username"),
        ({"username": "flood.of.posts"}, "another account has this username"),
    ],
)
def test_a_name_that_cannot_be_is_refused(caller, body, text):
    reply = rename(caller, **body)

    assert reply.status_code == 400
    assert reply.json()["error"].startswith(text)
    assert caller.own("/accounts")["accounts"][0]["username"] == "corner.bakery"


def test_what_is_no_account_cannot_be_renamed(caller):
    assert rename(caller, "17841499999999999", username="x").status_code == 404
    assert caller.get(f"/_simulator/accounts/{ACCOUNT}").status_code == 405


def test_calls_are_counted_by_host(caller):
    caller.order("/calls/reset")
    caller.graph("/me")
    caller.instagram("/me")
    caller.instagram(f"/{caller.own('/accounts')['accounts'][0]['instagram_scoped_id']}")

    calls = caller.own("/calls")["instagram"]

    assert calls["by_host"] == {"graph.facebook.com": 1, "graph.instagram.com": 2}
    assert calls["by_path"] == {"GET /me": 2, "GET /<ig>": 1}
    assert json.dumps(calls).count("IGAA") == 0
