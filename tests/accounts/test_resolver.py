"""Whose numbers: the configured account, by its id, its username or its page; any other is unknown."""

from __future__ import annotations

import pytest

from tests.support import ACCOUNT_ID, GRAPH, graph_error, settings

USER = f"{GRAPH}/v25.0/{ACCOUNT_ID}"
PAGE = f"{GRAPH}/v25.0/555"


@pytest.fixture
def page_client(make_client, clock):
    return make_client(settings(instagram_account_id=""), clock=clock)


def ask(client, **query):
    return client.get("/top-posts", query_string={"time_range": "7d"} | query)


def asks_for(field, is_asked):
    def matches(request):
        return (field in request.params["fields"]) is is_asked, f"{field} is asked for: {not is_asked}"

    return matches


def plan_posts(wire):
    wire.get(f"{USER}/media", json={"data": []})


@pytest.mark.parametrize("account", [None, ACCOUNT_ID])
def test_the_configured_account_is_known_without_a_call(client, wire, account):
    plan_posts(wire)

    response = ask(client, **({"account": account} if account else {}))

    assert response.get_json()["meta"]["account"] == ACCOUNT_ID
    assert len(wire.calls) == 1


@pytest.mark.parametrize("name", ["our.account", "@our.account", "Our.Account", " our.account "])
def test_an_account_may_be_named_by_its_username(client, wire, name):
    wire.get(USER, json={"id": ACCOUNT_ID, "username": "Our.Account"})
    plan_posts(wire)

    assert ask(client, account=name).get_json()["meta"]["account"] == ACCOUNT_ID


def test_a_username_is_requested_once_a_day(client, wire, clock):
    # The call for the posts may bring the profile too, so that only the others are for the username.
    profile = {"id": ACCOUNT_ID, "username": "our.account"}
    wire.get(USER, json=profile | {"media": {"data": []}}, match=[asks_for("media.limit", True)])
    alone = wire.get(USER, json=profile, match=[asks_for("media.limit", False)])
    ask(client, account="our.account")
    ask(client, account="our.account")
    assert alone.call_count == 1

    clock.wait(86_400)
    ask(client, account="our.account")

    assert alone.call_count == 2


@pytest.mark.parametrize("profile", [{"username": "our.account"}, {}, {"username": None}])
@pytest.mark.parametrize("name", ["another", "17841499999999999", "none"])
def test_any_other_account_is_unknown_in_one_and_the_same_words(client, wire, profile, name):
    wire.get(USER, json={"id": ACCOUNT_ID} | profile)

    response = ask(client, account=name)

    assert (response.status_code, response.get_json()["code"]) == (404, "account_unknown")
    assert response.get_json()["message"] == "There is no such account here."


def test_an_account_is_found_by_its_page_once(page_client, wire):
    page = wire.get(PAGE, json={"id": "555", "instagram_business_account": {"id": ACCOUNT_ID}})
    plan_posts(wire)

    answers = [ask(page_client).get_json(), ask(page_client).get_json()]

    assert [answer["meta"]["account"] for answer in answers] == [ACCOUNT_ID] * 2
    assert page.call_count == 1


@pytest.mark.parametrize(
    "linked",
    [
        {},
        {"instagram_business_account": None},
        {"instagram_business_account": {}},
        {"instagram_business_account": {"id": "1/media"}},
    ],
)
def test_a_page_without_an_account_says_what_to_do(page_client, wire, linked):
    wire.get(PAGE, json={"id": "555"} | linked)

    response = ask(page_client)

    assert (response.status_code, response.get_json()["code"]) == (404, "object_not_found")
    assert "Link the account" in response.get_json()["hint"]


def test_a_page_that_could_not_be_read_is_requested_again(page_client, wire):
    wire.get(PAGE, json=graph_error(2), status=500)
    wire.get(PAGE, json={"id": "555", "instagram_business_account": {"id": ACCOUNT_ID}})
    plan_posts(wire)

    assert ask(page_client).status_code == 503
    assert ask(page_client).status_code == 200
