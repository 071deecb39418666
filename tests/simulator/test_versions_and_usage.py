"""What every answer says in its headers: the version that served it, and how much of the limits is used."""

import json

import pytest

from tests.simulator.caller import ACCOUNT, TOKEN, error


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("v25.0", "v25.0"),
        ("v26.0", "v26.0"),
        ("v21.0", "v21.0"),
        ("v20.0", "v21.0"),
        ("v3.1", "v21.0"),
        ("v27.0", "v27.0"),
        ("v28.0", "v21.0"),
    ],
)
def test_an_ended_or_unknown_version_is_served_by_the_oldest_live_one(caller, asked, served):
    reply = caller.graph("/me", version=asked)

    assert reply.status_code == 200
    assert reply.headers["facebook-api-version"] == served


def test_versions_come_and_go_with_the_clock(caller):
    caller.order("/clock", now="2025-06-15T00:00:00Z")
    assert caller.graph("/me", version="v25.0").headers["facebook-api-version"] == "v18.0"
    caller.order("/clock", now="2028-08-01T00:00:00Z")
    assert caller.graph("/me", version="v25.0").headers["facebook-api-version"] == "v26.0"


@pytest.mark.parametrize("host", ["graph.facebook.com", "graph.instagram.com"])
def test_by_a_switch_a_version_that_does_not_exist_is_refused(caller, host):
    token = TOKEN if host == "graph.facebook.com" else caller.instagram_token
    caller.switch(unknown_version="refused")

    def answer(version):
        return caller.get(f"/{host}/{version}/me", access_token=token)

    assert error(answer("v28.0"))["message"] == "Unknown path components: /v28.0/me"
    assert error(answer("v28.0"))["code"] == 2500
    assert answer("v27.0").status_code == 200
    assert answer("v20.0").headers["facebook-api-version"] == "v21.0"  # An old one exists, and is over.
    caller.order("/clock", now="2026-11-01T00:00:00Z")
    assert error(answer("v27.0"))["code"] == 2500


def test_without_a_version_the_default_serves(caller):
    reply = caller.get("/graph.facebook.com/me", access_token=TOKEN)

    assert reply.headers["facebook-api-version"] == "v25.0"


def test_an_absurd_version_is_a_path(caller):
    assert error(caller.graph("/me", version="v99.0"))["message"] == "Unknown path components: /v99.0/me"
    assert error(caller.graph("/me", version="v99.0"))["code"] == 2500


def test_every_answer_has_the_usage(caller):
    for reply in (caller.graph("/me"), caller.graph(f"/{ACCOUNT}/friends")):
        assert set(json.loads(reply.headers["x-app-usage"])) == {"call_count", "total_time", "total_cputime"}
        [entry] = json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT]
        assert entry["type"] == "instagram"
        assert entry["estimated_time_to_regain_access"] == 0


def test_a_full_usage_throttles_the_account(caller):
    caller.switch(usage=100, regain_minutes=7)

    reply = caller.graph("/me")

    assert (reply.status_code, error(reply)["code"]) == (400, 80002)
    assert error(reply)["message"].startswith("(#80002) There have been too many calls to this Instagram account.")
    [entry] = json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT]
    assert (entry["call_count"], entry["estimated_time_to_regain_access"]) == (100, 7)


def test_a_high_usage_is_only_reported(caller):
    caller.switch(usage=93)

    reply = caller.graph("/me")

    assert reply.status_code == 200
    assert json.loads(reply.headers["x-business-use-case-usage"])[ACCOUNT][0]["call_count"] == 93


def test_a_full_app_is_throttled_with_code_4(caller):
    caller.switch(app_usage=101)

    reply = caller.graph("/me")

    assert error(reply)["code"] == 4
    assert error(reply)["is_transient"] is True
    assert json.loads(reply.headers["x-app-usage"])["call_count"] >= 100


def test_the_usage_may_name_other_objects_and_uses_and_a_key_twice(caller):
    caller.switch(usage_entries="mixed")

    header = caller.graph(f"/{ACCOUNT}").headers["x-business-use-case-usage"]
    pairs = json.loads(header, object_pairs_hook=list)

    assert [owner for owner, _ in pairs].count(ACCOUNT) == 3
    uses = [dict(entry) for _, entries in pairs for entry in entries]
    assert [entry["type"] for entry in uses] == ["pages", "ads_management", "messenger", "instagram"]
    assert [entry["estimated_time_to_regain_access"] for entry in uses] == [1440, 1440, 1440, 0]
