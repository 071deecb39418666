"""The second login: the same accounts on graph.instagram.com, and what that host does otherwise."""

import hashlib
import hmac
import json

import pytest

from tests.simulator.caller import ACCOUNT, INSTAGRAM_TOKEN, PAGE_TOKEN, TOKEN, error

PROFILE = "user_id,username,name,account_type,biography,website,profile_picture_url,followers_count,follows_count"


@pytest.fixture
def scoped(caller):
    return caller.own("/accounts")["accounts"][0]["instagram_scoped_id"]


def test_the_id_is_the_apps_own_and_user_id_the_real_one(caller, scoped):
    profile = caller.instagram("/me", fields="user_id").json()

    assert profile == {"user_id": ACCOUNT, "id": scoped}
    assert caller.instagram("/me").json() == {"id": scoped} != {"id": ACCOUNT}


def test_an_account_is_found_by_all_its_names(caller, scoped):
    me = caller.instagram("/me", fields=PROFILE).json()

    assert caller.instagram(f"/{ACCOUNT}", fields=PROFILE).json() == me
    assert caller.instagram(f"/{scoped}", fields=PROFILE).json() == me
    assert me["account_type"] in ("Business", "Media_Creator")
    assert set(me) <= {*PROFILE.split(","), "id"}


def test_both_logins_see_the_same_account(caller):
    fields = "username,name,biography,website,followers_count,follows_count,media_count"

    ours, theirs = caller.instagram("/me", fields=fields).json(), caller.graph(f"/{ACCOUNT}", fields=fields).json()

    assert {**ours, "id": ACCOUNT} == theirs


@pytest.mark.parametrize("field", ["business_discovery", "ig_id", "has_profile_pic", "owner_business", "accounts", "x"])
def test_what_only_a_facebook_login_has_is_refused(caller, field):
    refusal = error(caller.instagram("/me", fields=f"id,{field}"))

    assert refusal["message"] == f"Tried accessing nonexisting field ({field}) on node type (IGUser)"
    assert (refusal["code"], refusal["type"]) == (100, "IGApiException")


def test_there_are_no_pages(caller):
    page = caller.own("/accounts")["accounts"][0]["page_id"]

    assert error(caller.instagram("/me/accounts"))["message"].startswith("Tried accessing nonexisting field (accounts)")
    assert error(caller.instagram(f"/{page}"))["error_subcode"] == 33


def test_media_are_those_of_the_other_login(caller):
    fields = "id,caption,media_type,media_product_type,permalink,timestamp,like_count,comments_count"
    theirs = caller.media(fields=fields, limit=10).json()["data"]

    assert caller.instagram("/me/media", fields=fields, limit=10).json()["data"] == theirs
    assert caller.instagram(f"/{ACCOUNT}/media", fields=fields, limit=10).json()["data"] == theirs
    assert caller.instagram(f"/{theirs[0]['id']}", fields=fields).json() == theirs[0]
    assert caller.instagram("/me", fields=f"media.limit(10){{{fields}}}").json()["media"]["data"] == theirs


def test_media_page_on_the_same_host(caller):
    first = caller.instagram("/me/media", limit=3).json()["paging"]["next"]

    assert first.startswith(f"{caller.simulator.url}/graph.instagram.com/v25.0/{ACCOUNT}/media?")
    assert len(caller.session.get(first, timeout=5).json()["data"]) == 3


@pytest.mark.parametrize("field", ["view_count", "total_like_count", "shares_count", "copyright_check_information"])
def test_fields_of_media_that_only_a_facebook_login_has(caller, field):
    media = caller.instagram("/me/media", limit=1).json()["data"][0]["id"]

    assert error(caller.instagram(f"/{media}", fields=field))["message"] == (
        f"Tried accessing nonexisting field ({field}) on node type (IGMedia)"
    )


def test_the_children_of_an_album_are_there(caller):
    listed = caller.instagram("/me/media", fields="children", limit=100).json()["data"]
    album = next(media for media in listed if "children" in media)

    assert caller.instagram(f"/{album['id']}/children").json()["data"] == album["children"]["data"]


def test_batches_are_refused(caller):
    address = f"{caller.simulator.url}/graph.instagram.com/"
    batch = {"batch": json.dumps([{"method": "GET", "relative_url": "me"}]), "access_token": INSTAGRAM_TOKEN}

    for reply in (caller.session.post(address, data=batch, timeout=5), caller.session.post(address, params=batch)):
        assert error(reply)["message"] == "Cannot call API for app 200000000000000 on behalf of user 0"
        assert reply.status_code == 400


def test_ids_are_gone_here_too(caller):
    reply = caller.instagram("/", ids="1,2")

    assert reply.status_code == 500
    assert (
        error(reply).items()
        >= {
            "message": "The ids query parameter is deprecated in v26.0+",
            "type": "IGApiException",
            "code": 100,
        }.items()
    )


def test_every_answer_has_version_and_usage(caller):
    caller.switch(usage=60)

    for reply in (caller.instagram("/me"), caller.instagram("/me/friends"), caller.instagram("/me", version="v3.0")):
        assert reply.headers["facebook-api-version"] in ("v25.0", "v21.0")
        assert json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT][0]["call_count"] == 60
        assert "call_count" in json.loads(reply.headers["x-app-usage"])


def test_a_full_usage_throttles(caller):
    caller.switch(usage=100, regain_minutes=7)

    reply = caller.instagram("/me")

    assert (error(reply)["code"], error(reply)["type"]) == (80002, "IGApiException")
    assert error(reply)["message"].startswith("There have been too many calls to this Instagram account.")
    [entry] = json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT]
    assert entry["estimated_time_to_regain_access"] == 7


@pytest.mark.parametrize(
    ("locale", "beginning"),
    [("en", "metric[0] must be"), ("ja", "metric[0]は"), ("pt", "metric[0] deve ser"), ("fr", "metric[0] doit être")],
)
def test_refusals_come_in_the_language_of_the_owner(caller, locale, beginning):
    caller.switch(locale=locale)

    here, there = error(caller.instagram_insights("impressions")), error(caller.insights("impressions"))

    assert here["message"].startswith(beginning)
    assert "reach, follower_count" in here["message"]
    assert (here["code"], here["type"]) == (100, "IGApiException")
    assert there["message"].startswith("(#100) metric[0] must be")


def test_several_metrics_are_named_in_one_refusal(caller):
    message = error(caller.instagram_insights("views,likes,reach"))["message"]

    assert message == "The following metrics (views,likes) should be specified with parameter metric_type=total_value"


def test_a_token_of_the_other_login_cannot_be_parsed(caller):
    here = [error(caller.instagram("/me", access_token=token)) for token in (TOKEN, PAGE_TOKEN, "IGAAnonsense")]
    there = error(caller.graph("/me", access_token=INSTAGRAM_TOKEN))

    for refusal in (*here, there):
        assert (refusal["code"], refusal["message"]) == (190, "Invalid OAuth access token - Cannot parse access token")
    assert [refusal["type"] for refusal in (*here, there)] == ["IGApiException"] * 3 + ["OAuthException"]


def test_every_account_is_its_own_only(caller):
    listed = [one for one in caller.own("/accounts")["accounts"] if one["kind"] != "expired_token"]

    for account in listed:
        me = caller.instagram("/me", fields="user_id,username", access_token=account["instagram_token"]).json()
        assert me == {
            "user_id": account["id"],
            "username": account["username"],
            "id": account["instagram_scoped_id"],
        }
    assert error(caller.instagram(f"/{listed[1]['id']}"))["error_subcode"] == 33
    assert error(caller.instagram(f"/{listed[1]['instagram_scoped_id']}"))["type"] == "IGApiException"


def test_a_token_in_the_header_is_a_switch(caller):
    address = f"{caller.simulator.url}/graph.instagram.com/me"
    header = {"Authorization": f"Bearer {INSTAGRAM_TOKEN}"}
    allowed = caller.session.get(address, headers=header, timeout=5)
    caller.switch(igl_bearer=False)

    refused = caller.session.get(address, headers=header, timeout=5)

    assert allowed.status_code == 200
    assert (error(refused)["code"], error(refused)["type"]) == (104, "IGApiException")
    assert caller.instagram("/me").status_code == 200


@pytest.mark.parametrize(
    ("position", "wrong", "right"), [("ignored", 200, 200), ("verified", 400, 200), ("refused", 400, 400)]
)
def test_what_becomes_of_a_proof_is_a_switch(caller, position, wrong, right):
    caller.switch(igl_appsecret_proof=position)
    proof = hmac.new(b"sandbox-app-secret", INSTAGRAM_TOKEN.encode(), hashlib.sha256).hexdigest()

    assert caller.instagram("/me", appsecret_proof="0" * 64).status_code == wrong
    assert caller.instagram("/me", appsecret_proof=proof).status_code == right
    assert caller.instagram("/me").status_code == 200
