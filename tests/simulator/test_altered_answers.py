"""Answers that are spoilt on their way, on both hosts and of both providers."""

import json
import math

import pytest
import requests

from tests.simulator.caller import ACCOUNT, INSTAGRAM_TOKEN

HOSTS = ("graph.facebook.com", "graph.instagram.com", "api.modash.io")
ASKED = {"since": 1794200000, "until": 1794300000, "metric_type": "total_value"}


@pytest.fixture(params=HOSTS)
def host(request):
    return request.param


def spoil(caller, host, kind, **options):
    provider = "modash" if host == "api.modash.io" else "instagram"
    caller.fault(provider, kind, host=host, **options)


def ask(caller, host):
    if host == "api.modash.io":
        return caller.modash("some.one")
    asks = caller.insights if host == "graph.facebook.com" else caller.instagram_insights
    return asks("views", **ASKED)


def text_pairs(text):
    return json.loads(text, object_pairs_hook=lambda pairs: pairs)


def test_a_nested_value_of_another_type(caller):
    caller.fault("instagram", "wrong_type", at="data.0.total_value.value", value="many")

    for reply in (ask(caller, "graph.facebook.com"), ask(caller, "graph.instagram.com")):
        [entry] = reply.json()["data"]
        assert entry["total_value"] == {"value": "many"}
        assert entry["name"] == "views"


@pytest.mark.parametrize("value", [None, [], {}, "text", -1, True])
def test_a_nested_value_of_modash(caller, value):
    caller.fault("modash", "wrong_type", at="posts.likes.mean.0.value", value=value)

    assert caller.modash("some.one").json()["posts"]["likes"]["mean"][0]["value"] == value


@pytest.mark.parametrize("at", ["nothing", "data.99.name", "data.name", "data.0.name.0", "..", "data.x"])
def test_without_such_a_place_the_answer_stays(caller, at):
    sound = ask(caller, "graph.facebook.com").json()["data"]
    caller.fault("instagram", "wrong_type", at=at, value=1)

    assert ask(caller, "graph.facebook.com").json()["data"] == sound


@pytest.mark.parametrize(("name", "check"), [("NaN", math.isnan), ("Infinity", math.isinf), ("-Infinity", math.isinf)])
def test_numbers_that_json_does_not_know(caller, host, name, check):
    spoil(caller, host, "nan", value=name)

    reply = ask(caller, host)

    found = list(numbers(reply.json()))
    assert f":{name}" in reply.text
    assert found
    assert all(check(value) for value in found)


def numbers(value):
    if isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from numbers(member)
    elif isinstance(value, int | float):
        yield value


def test_members_that_come_twice(caller, host):
    sound = ask(caller, host).json()
    spoil(caller, host, "duplicate_keys")

    reply = ask(caller, host)

    assert first_of_each(text_pairs(reply.text))["posts" if host == "api.modash.io" else "data"]
    assert reply.json().keys() == sound.keys()
    assert reply.text.count(":null") >= 1
    assert all(value is None for value in numbers(reply.json()))


def first_of_each(pairs):
    return dict(reversed(pairs))


def test_lists_within_lists(caller, host):
    spoil(caller, host, "deep_nesting", times=1)
    spoil(caller, host, "deep_nesting", levels=3, times=1)

    assert ask(caller, host).text == "[" * 100_000 + "]" * 100_000
    assert ask(caller, host).json() == [[[]]]


def test_text_that_is_not_utf8(caller, host):
    spoil(caller, host, "invalid_utf8")

    with pytest.raises(UnicodeDecodeError):
        ask(caller, host).content.decode()
    assert ask(caller, host).content.startswith(b"{")


def test_a_byte_order_mark(caller, host):
    spoil(caller, host, "bom")

    reply = ask(caller, host)

    assert reply.content.startswith(b"\xef\xbb\xbf{")
    assert json.loads(reply.content.decode("utf-8-sig"))


@pytest.mark.parametrize(("kind", "options", "status"), [("empty_body", {}, 200), ("empty_body", {"status": 500}, 500)])
def test_an_empty_body(caller, host, kind, options, status):
    spoil(caller, host, kind, **options)

    reply = ask(caller, host)

    assert (reply.status_code, reply.content, reply.headers["Content-Length"]) == (status, b"", "0")


def test_no_content(caller, host):
    spoil(caller, host, "no_content", times=1)

    reply = ask(caller, host)

    assert (reply.status_code, reply.content) == (204, b"")
    assert not {"Content-Length", "Content-Type"} & set(reply.headers)
    assert ask(caller, host).status_code == 200


def test_what_both_providers_can_do_wrong_on_every_host(caller, host):
    for kind, failure in {
        "truncated": requests.exceptions.ChunkedEncodingError,
        "gzip_broken": requests.exceptions.ContentDecodingError,
        "cut": requests.ConnectionError,
        "not_json": ValueError,
    }.items():
        spoil(caller, host, kind, times=1)
        with pytest.raises(failure):
            ask(caller, host).json()
        assert ask(caller, host).status_code == 200


def test_a_spoilt_report_is_paid_and_an_invented_answer_is_not(caller):
    for kind in ("bom", "nan", "deep_nesting", "no_content", "empty_body"):
        caller.fault("modash", kind, times=1)
        caller.modash(f"by.{kind}")

    paid = {handle for handle, charge in caller.own("/calls")["charges"].items() if charge["milli_credits"]}
    assert paid == {"by.bom", "by.nan"}


def test_refusals_that_are_not_json_stay_as_they_are(caller):
    caller.switch(modash_rate_limit=1, modash_rate_limit_json=False)
    caller.fault("modash", "duplicate_keys")

    assert {caller.modash("a").status_code, caller.modash("a").status_code} == {200, 429}


def test_a_fault_can_be_for_one_host_alone(caller):
    caller.fault("instagram", "html", host="graph.instagram.com")

    assert (caller.graph("/me").status_code, caller.instagram("/me").status_code) == (200, 502)
    assert caller.own("/faults")["faults"][0]["hits"] == 1
    assert caller.order("/faults", provider="instagram", kind="html", host="api.modash.io").json() == {
        "error": "host must be one of graph.facebook.com, graph.instagram.com, api.instagram.com"
    }


def test_a_token_is_echoed_on_the_second_host_too(caller):
    caller.fault("instagram", "echo_token")

    assert INSTAGRAM_TOKEN in caller.instagram("/me").json()["error"]["message"]


def test_large_pages_are_refused_until_they_are_small_enough(caller):
    caller.fault("instagram", "reduce_data", above=20)

    def outcome(ask, path, **parameters):
        reply = ask(path, **parameters)
        return reply.status_code, reply.json().get("error", {}).get("code")

    for ask_host, path in ((caller.graph, f"/{ACCOUNT}/media"), (caller.instagram, "/me/media")):
        assert outcome(ask_host, path) == (500, 1)
        assert outcome(ask_host, path, limit=21) == (500, 1)
        assert outcome(ask_host, path, limit=20) == (200, None)
        profile = path.removesuffix("/media")
        assert outcome(ask_host, profile, fields="id,media{id}") == (500, 1)
        assert outcome(ask_host, profile, fields="id,media.after(x).limit(50){id}") == (500, 1)
        assert outcome(ask_host, profile, fields="id,media.limit(5){id}") == (200, None)
        assert outcome(ask_host, profile, fields="id,media_count") == (200, None)
    [fault] = caller.own("/faults")["faults"]
    assert fault["hits"] == 8
