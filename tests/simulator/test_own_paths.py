"""The simulator's own paths: accounts, truth, calls, switches, clock, reset."""

import json
import threading
import time
from types import SimpleNamespace

import pytest
import requests

from simulator.switches import SWITCHES
from simulator.world.account_kinds import EXTRAS
from tests.simulator.caller import ACCOUNT, KEY, NOW, TOKEN, Caller

KINDS = {"ordinary", "big", "quiet", "small", "hidden_likes", "no_posts", "no_followers", "prolific", "fresh"}


def test_the_accounts_are_listed_with_all_it_takes_to_read_them(caller):
    listed = caller.own("/accounts")

    assert listed["app"] == {"id": "200000000000000", "secret": "sandbox-app-secret"}
    assert listed["instagram_app"] == {"id": "200000000000001", "secret": "sandbox-instagram-app-secret"}
    assert listed["modash"] == {"key": KEY}
    assert listed["accounts"][0] == {
        "id": ACCOUNT,
        "username": "corner.bakery",
        "login": "facebook",
        "kind": "ordinary",
        "token": TOKEN,
        "page_id": "100000000000000",
        "page_token": "EAASANDBOXPAGETOKEN",
        "instagram_token": "IGAASANDBOXUSERTOKEN",
        "instagram_scoped_id": listed["accounts"][0]["instagram_scoped_id"],
    }
    for name in ("id", "username", "token", "page_id", "page_token", "instagram_token", "instagram_scoped_id"):
        assert len({account[name] for account in listed["accounts"]}) == 40 + len(EXTRAS)
    assert all(len(account["id"]) == 17 for account in listed["accounts"])


def test_twelve_accounts_in_a_row_are_of_every_kind(caller):
    kinds = [account["kind"] for account in caller.own("/accounts")["accounts"]][:40]

    assert all(set(kinds[start : start + 12]) == KINDS for start in range(len(kinds) - 11))


def test_every_account_can_be_read_with_its_token(caller):
    for account in caller.own("/accounts")["accounts"]:
        profile = caller.graph(f"/{account['id']}", fields="username", access_token=account["token"]).json()

        assert profile == {"username": account["username"], "id": account["id"]}


def test_kinds_are_what_they_say(caller):
    followers = {}
    for kind in KINDS:
        caller.become(kind)
        followers[kind] = [day["followers"] for day in caller.truth()["days"]]

    assert max(followers["small"]) < 100
    assert set(followers["no_followers"]) == {0}
    assert min(followers["big"]) > 100_000
    assert min(followers["ordinary"] + followers["quiet"]) >= 100
    assert len(followers["ordinary"]) == 750
    assert len(followers["fresh"]) < 20


def test_the_truth_is_the_same_for_the_same_seed(caller, same_world, another_world):
    with requests.Session() as session:
        same, other = Caller(same_world, session), Caller(another_world, session)
        for each in (same, other):
            each.order("/clock", now=NOW)

        assert same.truth() == caller.truth()
        assert other.truth()["days"] != caller.truth()["days"]


@pytest.mark.parametrize("path", ["/truth/1", "/truth/17841499999999999", "/truth/creators/no one", "/nothing"])
def test_what_is_not_there_is_404(caller, path):
    reply = caller.get(f"/_simulator{path}")

    assert reply.status_code == 404
    assert "error" in reply.json()


def test_a_range_of_truth_that_is_no_range_is_refused(caller):
    assert "since must be a date" in caller.truth(since="yesterday")["error"]


@pytest.mark.parametrize(("since", "until"), [("9999-01-01", "9999-12-31"), ("0001-01-01", "0001-12-31")])
def test_a_range_without_days_is_an_empty_truth(caller, since, until):
    truth = caller.truth(since=since, until=until)

    assert (truth["days"], truth["posts"]) == ([], [])


def test_calls_are_counted_by_path_without_ids_and_tokens(caller):
    caller.order("/calls/reset")
    caller.graph(f"/{ACCOUNT}", fields="id")
    caller.insights("reach", appsecret_proof="x")
    media = caller.media(limit=1).json()["data"][0]["id"]
    caller.graph(f"/{media}")
    caller.modash("some.one")

    calls = caller.own("/calls")

    assert calls["total"] == 5
    assert calls["instagram"]["total"] == 4
    assert calls["instagram"]["by_path"] == {
        "GET /<ig>": 1,
        "GET /<ig>/insights": 1,
        "GET /<ig>/media": 1,
        "GET /<media>": 1,
    }
    assert calls["instagram"]["calls"][0] == {
        "method": "GET",
        "path": f"/v25.0/{ACCOUNT}?fields=id",
        "status": 200,
        "at": NOW,
    }
    assert [call["status"] for call in calls["instagram"]["calls"]] == [200, 400, 200, 200]
    assert calls["modash"]["by_path"] == {"GET /v1/instagram/performance-data": 1}
    assert TOKEN not in json.dumps(calls)
    assert KEY not in json.dumps(calls)


def test_switches_are_shown_and_merged(caller):
    before = caller.own("/switches")

    after = caller.order("/switches", usage=50, end_time="day_start").json()

    assert set(before) == set(SWITCHES)
    assert after == {**before, "usage": 50, "end_time": "day_start"}


@pytest.mark.parametrize(
    ("switches", "text"),
    [
        ({"nonsense": 1}, "unknown switch nonsense; accepted: latency_ms"),
        ({"end_time": "noon"}, "end_time takes one of day_end, day_start"),
        ({"bearer": 1}, "bearer takes true or false"),
        ({"usage": "full"}, "usage takes a whole number from 0 to 1000 or null"),
        ({"latency_ms": -1}, "latency_ms takes a number from 0 to 60000"),
        ({"media_max_page": 2.5}, "media_max_page takes a whole number from 1 to 1000"),
        (
            {"report_ready_after_calls": True},
            'report_ready_after_calls takes a whole number from 0 to 1000000 or "never"',
        ),
    ],
)
def test_a_wrong_switch_moves_none(caller, switches, text):
    reply = (
        caller.order("/switches", latency_ms=7, **switches)
        if "latency_ms" not in switches
        else caller.order("/switches", **switches)
    )

    assert reply.status_code == 400
    assert reply.json()["error"].startswith(text)
    assert caller.own("/switches")["latency_ms"] == 0


def test_latency_holds_every_provider_call(caller):
    caller.switch(latency_ms=80)

    assert caller.graph("/me").elapsed.total_seconds() >= 0.08


def test_the_work_of_an_answer_is_part_of_its_latency(caller, monkeypatch):
    provider = caller.simulator._hosts["/graph.facebook.com"]
    answer, slept = provider.answer, []

    def slowly(*arguments):
        time.sleep(0.05)
        return answer(*arguments)

    def note(seconds):
        slept.append(seconds)
        time.sleep(seconds)

    monkeypatch.setattr(provider, "answer", slowly)
    caller.switch(latency_ms=400)
    monkeypatch.setattr("simulator.simulator.time", SimpleNamespace(sleep=note, monotonic=time.monotonic))

    assert caller.graph("/me").elapsed.total_seconds() >= 0.4
    assert len(slept) == 1
    assert slept[0] <= 0.35


def test_the_clock_freezes_advances_and_is_released(caller):
    assert caller.order("/clock", now="2026-01-01T00:00:00Z").json()["now"] == 1767225600
    assert caller.order("/clock", advance=3600).json()["iso"] == "2026-01-01T01:00:00Z"
    assert caller.own("/clock")["frozen"] is True
    assert caller.order("/clock", now=None).json()["frozen"] is False
    ahead = caller.order("/clock", advance=86_400).json()
    assert (ahead["frozen"], ahead["offset"]) == (False, 86_400)
    assert caller.order("/clock", now=1767225600).json()["iso"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"now": "soon"},
        {"now": True},
        {"advance": "1"},
        {"now": 0},
        {"advance": 1e12},
        {"now": 1, "advance": 1},
        {"advance": 10**400},
    ],
)
def test_a_clock_order_that_cannot_be_followed_is_refused(caller, order):
    reply = caller.order("/clock", **order)

    assert reply.status_code == 400
    assert reply.json()["error"]
    assert caller.own("/clock")["now"] == NOW


@pytest.mark.parametrize("body", [b"nonsense", b"[]", b"\xff", b'{"now": '])
def test_a_body_that_is_no_json_object_is_refused(caller, body):
    reply = caller.session.post(f"{caller.simulator.url}/_simulator/switches", data=body, timeout=5)

    assert reply.status_code == 400


def test_a_method_that_a_path_does_not_take_is_405(caller):
    reply = caller.session.put(f"{caller.simulator.url}/_simulator/switches", timeout=5)

    assert (reply.status_code, reply.headers["Allow"]) == (405, "GET, POST")


def test_events_of_an_outgoing_webhook_are_accepted_and_listed(caller):
    headers = {"webhook-id": "msg_1", "webhook-timestamp": "1790000000", "webhook-signature": "v1,c2lnbmVk"}
    url = f"{caller.simulator.url}/_simulator/events"

    accepted = caller.session.post(url, json={"type": "token.dead"}, headers=headers, timeout=5)
    refused = caller.session.post(url, json={"type": "token.dead"}, timeout=5)

    assert (accepted.status_code, refused.status_code) == (200, 400)
    assert caller.own("/events") == {"events": [{**headers, "body": {"type": "token.dead"}}]}
    caller.order("/reset")
    assert caller.own("/events") == {"events": []}


def test_reset_puts_everything_back(caller):
    caller.order("/clock", now="2026-01-01T00:00:00Z")
    caller.order("/faults", provider="instagram", kind="empty")
    caller.switch(usage=99)
    caller.modash("some.one")

    assert caller.order("/reset").json() == {"reset": True}

    assert caller.own("/clock")["frozen"] is False
    assert caller.own("/faults") == {"faults": []}
    assert caller.own("/switches")["usage"] is None
    assert (caller.own("/calls")["total"], caller.own("/calls")["charges"]) == (0, {})


def balance(caller):
    """The credits that Modash says are left."""
    return caller.get("/api.modash.io/v1/user/info", access_token=KEY).json()["billing"]["credits"]


def begin_slowly(caller, provider, call, *arguments):
    """Begin a call of which the answer is delayed, and return its thread once it has been received."""
    caller.fault(provider, "slow", delay_seconds=0.3)
    late = threading.Thread(target=call, args=arguments)
    late.start()
    while not caller.own("/faults")["faults"][0]["hits"]:
        time.sleep(0.01)
    return late


def test_a_call_that_came_before_the_counts_were_reset_is_answered_and_not_counted(caller):
    statuses = []
    late = begin_slowly(caller, "modash", lambda: statuses.append(caller.modash("some.one").status_code))

    caller.order("/calls/reset")
    late.join()

    assert statuses == [200]
    assert (caller.own("/calls")["total"], caller.own("/calls")["charges"]) == (0, {})


def test_a_call_that_came_before_a_reset_is_cut_and_changes_nothing_of_what_begins(caller):
    before, cut = balance(caller), []

    def ask():
        with pytest.raises(requests.ConnectionError):
            caller.modash("some.one")
        cut.append(True)

    late = begin_slowly(caller, "modash", ask)

    caller.order("/reset")
    late.join()

    assert cut == [True]
    assert (caller.own("/calls")["total"], caller.own("/calls")["charges"]) == (0, {})
    assert balance(caller) == before
