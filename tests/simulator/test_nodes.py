"""Nodes: the account, the Facebook user, the Page, and the fields that are asked of them."""

import pytest

from tests.simulator.caller import ACCOUNT, PAGE, PAGE_TOKEN, TOKEN, error


def test_without_fields_only_the_id_comes(caller):
    assert caller.graph(f"/{ACCOUNT}").json() == {"id": ACCOUNT}


def test_an_account_shows_its_fields(caller):
    fields = (
        "username,name,biography,website,profile_picture_url,followers_count,follows_count,media_count,has_profile_pic"
    )

    profile = caller.graph(f"/{ACCOUNT}", fields=fields).json()

    assert set(profile) <= {*fields.split(","), "id"}
    assert profile["username"] == "corner.bakery"
    assert profile["followers_count"] == caller.truth(since="2026-11-21")["followers_count"]
    assert profile["media_count"] != len(caller.truth(since="2022-04-01")["posts"])


def test_the_number_of_followers_has_no_delay(caller):
    [today] = caller.truth(since="2026-11-21")["days"]

    assert caller.graph(f"/{ACCOUNT}", fields="followers_count").json()["followers_count"] == today["followers"]


def test_nested_fields_are_followed(caller):
    asked = "id,instagram_business_account{id,username},access_token"

    [page] = caller.graph("/me/accounts", fields=asked).json()["data"]

    assert page == {
        "id": PAGE,
        "access_token": PAGE_TOKEN,
        "instagram_business_account": {"id": ACCOUNT, "username": "corner.bakery"},
    }
    assert caller.graph(f"/{PAGE}", fields="instagram_business_account").json() == {
        "instagram_business_account": {"id": ACCOUNT},
        "id": PAGE,
    }


@pytest.mark.parametrize(
    ("position", "pages"),
    [
        ("listed", [{"id": PAGE, "instagram_business_account": {"id": ACCOUNT}}]),
        ("left_out", []),
        ("without_account", [{"id": PAGE}]),
    ],
)
def test_a_page_of_a_business_portfolio_is_hidden_without_its_permission(caller, position, pages):
    caller.switch(portfolio_pages=position)

    listed = caller.graph("/me/accounts", fields="id,instagram_business_account").json()["data"]

    scopes = caller.graph("/debug_token", input_token=TOKEN).json()["data"]["scopes"]
    assert listed == pages
    assert ("business_management" in scopes) == (position == "listed")
    assert caller.graph(f"/{ACCOUNT}", fields="username").json()["username"] == "corner.bakery"


def test_nested_media_page_on_their_own(caller):
    first = caller.graph(f"/{ACCOUNT}", fields="username, media.limit(3){ id , owner{username} }").json()["media"]
    after = first["paging"]["cursors"]["after"]

    second = caller.graph(f"/{ACCOUNT}", fields=f"media.limit(3).after({after}){{id}}").json()["media"]

    assert [len(page["data"]) for page in (first, second)] == [3, 3]
    assert second["data"][0]["id"] == first["data"][-1]["id"]
    assert caller.session.get(first["paging"]["next"], timeout=5).json()["data"][0]["owner"]["username"]


@pytest.mark.parametrize(
    ("fields", "code", "text"),
    [
        ("id,nonsense", 100, "(#100) Tried accessing nonexisting field (nonsense) on node type (IGUser)"),
        ("id,name,id", 2500, "Field id specified more than once"),
        ("id,media{", 2500, "Expected name"),
        ("id,media{id", 2500, "Expected }"),
        ("id}", 2500, "Expected end of string"),
        ("username{id}", 100, "(#100) Subfields are not supported by username"),
        ("shopping_review_status", 10, "(#10) Application does not have permission for this action"),
        ("a{" * 30, 2500, "Too many levels"),
    ],
)
def test_fields_that_cannot_be_read_are_refused(caller, fields, code, text):
    reply = caller.graph(f"/{ACCOUNT}", fields=fields)

    assert (reply.status_code, error(reply)["code"]) == (400, code)
    assert text in error(reply)["message"]


def test_me_is_the_user_and_with_a_page_token_the_page(caller):
    assert caller.graph("/me", fields="id,name").json()["name"].startswith("Owner")
    assert caller.graph("/me", access_token=PAGE_TOKEN).json() == {"id": PAGE}


def test_a_page_token_reads_the_same_account(caller):
    assert caller.graph(f"/{ACCOUNT}", access_token=PAGE_TOKEN).json() == {"id": ACCOUNT}


def test_another_account_is_not_there(caller):
    other = caller.own("/accounts")["accounts"][1]

    reply = caller.graph(f"/{other['id']}")

    assert error(reply) == {
        "message": f"Unsupported get request. Object with ID '{other['id']}' does not exist, cannot be loaded due to "
        "missing permissions, or does not support this operation. Please read the Graph API documentation at "
        "https://developers.facebook.com/docs/graph-api",
        "type": "GraphMethodException",
        "code": 100,
        "error_subcode": 33,
        "fbtrace_id": error(reply)["fbtrace_id"],
    }
    assert caller.graph(f"/{other['id']}", access_token=other["token"]).json() == {"id": other["id"]}
    assert caller.graph(f"/{other['page_id']}", access_token=other["page_token"]).json() == {"id": other["page_id"]}


@pytest.mark.parametrize(
    ("path", "code", "text"),
    [
        ("/nobody", 803, "(#803) Some of the aliases you requested do not exist: nobody"),
        (f"/{ACCOUNT}/insights/more", 2500, "Unknown path components: /more"),
        (f"/{ACCOUNT}/friends", 100, "(#100) Tried accessing nonexisting field (friends) on node type (IGUser)"),
        ("/", 100, "Unsupported get request."),
        ("/12345", 100, "Unsupported get request. Object with ID '12345' does not exist"),
    ],
)
def test_paths_that_lead_nowhere_are_refused(caller, path, code, text):
    reply = caller.graph(path)

    assert error(reply)["code"] == code
    assert error(reply)["message"].startswith(text)


def test_ids_are_gone_in_every_version(caller):
    for version in ("v21.0", "v26.0"):
        reply = caller.graph("/", version=version, ids="1,2")

        assert reply.status_code == 500
        assert error(reply)["message"] == "The ids query parameter is deprecated in v26.0+"
        assert (error(reply)["code"], error(reply)["type"]) == (100, "FacebookApiException")


def test_only_get_is_served(caller):
    reply = caller.session.post(
        f"{caller.simulator.url}/graph.facebook.com/{ACCOUNT}", params={"access_token": TOKEN}, timeout=5
    )

    assert error(reply)["message"].startswith("Unsupported post request.")
