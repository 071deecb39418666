"""The Instagram login: its host, its ids, where its token goes, and what it does not answer."""

from __future__ import annotations

import json

import pytest
import responses

from config import Config, ConfigError
from tests.support import APP_SECRET, graph_error, new_instance, settings, total_value

HOST = "https://graph.instagram.com/v25.0"
TOKEN = "IGAAtestTOKENthatMUSTneverLEAK0123456789"
USER_ID = "17841400000000009"


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        yield wire


@pytest.fixture
def client(make_client, clock):
    config = settings(graph_login="instagram", access_long_lived_token=TOKEN, instagram_account_id="", page_id="")
    return make_client(config, clock=clock)


@pytest.fixture
def me(wire):
    return wire.get(f"{HOST}/me", json={"user_id": USER_ID, "id": "999", "username": "our.account"})


def answer_totals(wire, **values):
    return wire.get(f"{HOST}/me/insights", json={"data": [total_value(*pair) for pair in values.items()]})


def sent(wire):
    return [call.request for call in wire.calls]


def test_the_account_is_the_token_s_own(client, wire, me):
    wire.get(f"{HOST}/me/media", json={"data": []})

    body = client.get("/top-posts?time_range=7d").get_json()

    assert body["meta"]["account"] == USER_ID


@pytest.mark.parametrize("own", [{}, {"user_id": None}, {"user_id": "me/media"}, {"user_id": ""}])
def test_an_answer_without_an_id_names_no_account(client, wire, own):
    wire.get(f"{HOST}/me", json={"id": "999", "username": "our.account"} | own)

    response = client.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_response_invalid")
    assert len(wire.calls) == 1


def test_another_token_in_the_settings_is_read_as_its_own_account(make_client, clock, wire):
    place, found = new_instance(), []
    wire.get(f"{HOST}/me/media", json={"data": []})
    for number, account in enumerate((USER_ID, "17841400000000010")):
        wire.upsert("GET", f"{HOST}/me", json={"user_id": account, "username": "our.account"})
        config = settings(access_long_lived_token=f"{TOKEN}{number}", instagram_account_id="", instance_path=place)
        found.append(make_client(config, clock=clock).get("/top-posts?time_range=7d").get_json()["meta"]["account"])

    assert found == [USER_ID, "17841400000000010"]


def test_it_is_found_by_its_username_and_by_its_id(client, wire, me):
    wire.get(f"{HOST}/me/media", json={"data": []})

    statuses = [client.get(f"/top-posts?time_range=7d&account={name}").status_code for name in ["our.account", USER_ID]]

    assert statuses == [200, 200]


def test_the_token_goes_into_the_header_and_is_not_signed(client, wire, me):
    answer_totals(wire, views=7)

    client.get("/account-insights?period=day&metrics=views")

    for request in sent(wire):
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert "access_token" not in request.url
        assert "appsecret_proof" not in request.url
        assert APP_SECRET not in request.url


def test_where_a_header_is_not_understood_the_query_is_used_from_then_on(client, wire):
    def understand_the_query_only(request):
        if "access_token" not in request.params:
            return (400, {}, json.dumps(graph_error(104)))
        return (200, {}, json.dumps({"user_id": USER_ID, "data": []}))

    wire.add_callback(responses.GET, f"{HOST}/me", understand_the_query_only)
    wire.add_callback(responses.GET, f"{HOST}/me/media", understand_the_query_only)

    first, second = client.get("/top-posts?time_range=7d"), client.get("/top-posts?time_range=7d")

    assert (first.status_code, second.status_code) == (200, 200)
    assert ["Authorization" in request.headers for request in sent(wire)] == [True, False, False]


def test_where_a_header_was_understood_a_token_that_is_refused_later_is_not_tried_in_the_query(client, wire, me):
    wire.get(f"{HOST}/me/media", json=graph_error(190, 460), status=400)

    response = client.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"]) == (401, "token_invalid")
    assert ["access_token" in request.url for request in sent(wire)] == [False, False]


def test_an_expired_token_is_reported_at_once(client, wire):
    wire.get(f"{HOST}/me", json=graph_error(190, 463), status=400)

    response = client.get("/top-posts?time_range=7d")

    assert (response.status_code, response.get_json()["code"], len(wire.calls)) == (401, "token_expired", 1)


@pytest.mark.parametrize(("place", "in_header"), [("header", True), ("query", False)])
def test_the_place_of_the_token_can_be_set(make_client, wire, me, place, in_header):
    wire.get(f"{HOST}/me/media", json={"data": []})
    client = make_client(settings(access_long_lived_token=TOKEN, instagram_account_id="", graph_auth_in=place))

    assert client.get("/top-posts?time_range=7d").status_code == 200
    assert {"Authorization" in request.headers for request in sent(wire)} == {in_header}


def test_a_metric_that_this_login_does_not_give_is_not_requested(client, wire, me):
    answer_totals(wire, views=7)

    body = client.get("/account-insights?period=day&metrics=views,profile_views").get_json()

    assert [entry["values"][0]["value"] for entry in body["data"]] == [7, None]
    assert body["meta"]["unavailable"][0]["reason"] == "not_by_login"
    assert "GRAPH_LOGIN=facebook" in body["meta"]["unavailable"][0]["message"]
    assert sent(wire)[-1].params["metric"] == "views"


def test_reach_by_follow_type_is_not_requested_beyond_a_year_but_its_total_is(client, wire, me):
    wire.get(f"{HOST}/me/insights", json={"data": [total_value("reach", 7)]})
    query = "period=day&metrics=reach&breakdown=follow_type&since=2025-06-01&until=2025-06-01"

    body = client.get(f"/account-insights?{query}").get_json()

    (value,) = body["data"][0]["values"]
    assert (value["value"], "breakdowns" in value) == (7, False)
    assert [entry["reason"] for entry in body["meta"]["unavailable"]] == ["beyond_retention"]
    assert ["breakdown" in call.params for call in sent(wire)] == [False, False]  # The account, and the total.


@pytest.mark.parametrize(
    ("token", "login", "host"),
    [
        ("IGAAxyz", "instagram", "https://graph.instagram.com"),
        ("EAAxyz", "facebook", "https://graph.facebook.com"),
        ("unknown", "facebook", "https://graph.facebook.com"),
    ],
)
def test_the_login_follows_from_the_token_if_that_is_certain(token, login, host):
    config = settings(access_long_lived_token=token)

    assert (config.graph_login, config.graph_base_url) == (login, host)


@pytest.mark.parametrize(("token", "login"), [("IGAAxyz", "facebook"), ("EAAxyz", "instagram")])
def test_a_token_of_the_other_login_does_not_start(token, login):
    with pytest.raises(ConfigError, match="GRAPH_LOGIN"):
        Config(access_long_lived_token=token, graph_login=login, instagram_account_id="1")


def test_a_new_username_is_found_after_a_minute(make_client, clock, wire):
    client = make_client(settings(access_long_lived_token=TOKEN, instagram_account_id=USER_ID), clock=clock)
    wire.get(f"{HOST}/me", json={"user_id": USER_ID, "username": "old.name"})
    wire.get(f"{HOST}/me", json={"user_id": USER_ID, "username": "new.name"})
    wire.get(f"{HOST}/me/media", json={"data": []})
    statuses = [client.get("/top-posts?time_range=7d&account=old.name").status_code]
    statuses.append(client.get("/top-posts?time_range=7d&account=new.name").status_code)

    clock.wait(61)
    statuses.append(client.get("/top-posts?time_range=7d&account=new.name").status_code)

    assert statuses == [200, 404, 200]
