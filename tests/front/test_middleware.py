"""The middleware around every request: its id, its one log line, and which other origins may read it."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import time
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import responses
from werkzeug.test import create_environ

import front.middleware
import logs
from routes.documentation import HEADERS
from services.store.history import HistoryKey, HistoryValue
from tests.support import ACCOUNT_ID, GRAPH, MODASH_KEY, ROOT, TOKEN, graph_error, settings

DAYS = "/account-insights?period=day&metrics=views&since=2026-06-01&until=2026-06-05"
DAY = "2026-06-01"
MADE = re.compile(r"[0-9a-f]{32}")


@pytest.fixture
def lines(client):
    """The log lines of the gateway, parsed."""
    written = io.StringIO()
    handler = next(each for each in logging.getLogger().handlers if isinstance(each.formatter, logs.JsonFormatter))
    handler.setStream(written)
    return lambda: [json.loads(line) for line in written.getvalue().splitlines()]


# Request ids


@pytest.mark.parametrize("given", ["abc", "0", "a-b_c.d:e", "x" * 128, "6f1c9a0e-7b5d-4f7e-9c5e-1f2d3c4b5a69"])
def test_a_well_formed_request_id_is_kept(client, given):
    response = client.get("/nowhere", headers={"X-Request-Id": given})

    assert response.headers["X-Request-Id"] == given
    assert response.get_json()["request_id"] == given


@pytest.mark.parametrize(
    "given",
    [
        *(
            "",
            " ",
            "x" * 129,
            "-a",
            "a b",
            "a\tb",
            "a;b",
            'a"b',
            "<script>",
            "a/b",
            "caf\u00e9",
            "\u00ff",
            "a,b",
            "a\n",
        ),
        *(TOKEN, f"id-{MODASH_KEY}", f"igw_{'x' * 43}"),
    ],
)
def test_any_other_request_id_is_replaced(client, given):
    response = client.get("/nowhere", environ_overrides={"HTTP_X_REQUEST_ID": given})

    assert MADE.fullmatch(response.headers["X-Request-Id"])
    assert response.get_json()["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize("given", ["a\r\nSet-Cookie: x=1", "a\nb", "a\rb", "a\x00b"])
def test_no_request_id_adds_a_header_or_a_line(client, lines, given):
    response = client.get("/healthz", environ_overrides={"HTTP_X_REQUEST_ID": given}, buffered=True)

    assert MADE.fullmatch(response.headers["X-Request-Id"])
    assert "Set-Cookie" not in response.headers
    assert [line["message"] for line in lines()] == ["request"]


def test_two_requests_without_an_id_get_different_ones(client):
    first, second = client.get("/healthz"), client.get("/healthz")

    assert first.headers["X-Request-Id"] != second.headers["X-Request-Id"]


FORKED = """
import os
from front.request_ids import new_request_id
if os.fork():
    os.wait()
print(new_request_id())
"""


def test_workers_give_different_request_ids():
    ended = subprocess.run([sys.executable, "-c", FORKED], cwd=ROOT, capture_output=True, text=True, check=True)

    assert len(set(ended.stdout.split())) == 2


# The log line


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("OPTIONS", "/healthz", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/healthz", 405),
        ("GET", "/top-posts", 400),
        ("GET", "/" + "x" * 9000, 414),
    ],
)
def test_every_request_has_one_line(client, lines, method, path, status):
    response = client.open(path, method=method, buffered=True)

    (line,) = lines()
    assert (line["message"], line["method"], line["status"]) == ("request", method, status)
    assert line["path"] == path[:200]
    assert line["request_id"] == response.headers["X-Request-Id"]
    assert line["bytes"] == len(response.get_data())
    assert line["milliseconds"] >= 0


def test_a_query_is_never_logged(client, lines):
    client.get("/healthz?access_token=EAAwhatever&x=secret", buffered=True)

    assert "secret" not in json.dumps(lines())
    assert "EAAwhatever" not in json.dumps(lines())


def test_a_line_stays_one_line_whatever_the_path(client, lines):
    client.get("/a%0Ab%0D%0Ac", buffered=True)

    (line,) = lines()
    assert line["path"] == "/a\nb\r\nc"


# Provider calls


@pytest.mark.parametrize(
    ("path", "calls"), [("/healthz", 0), ("/nowhere", 0), ("/top-posts", 0), ("/top-posts?time_range=7d", 1), (DAYS, 5)]
)
def test_every_reply_and_every_line_count_the_provider_calls(client, lines, path, calls):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(re.compile(rf"{GRAPH}/.*"), json={"data": []})

        response = client.get(path, buffered=True)

    (line,) = [line for line in lines() if line["message"] == "request"]
    assert response.headers["X-Provider-Calls"] == str(calls)
    assert line["provider_calls"] == calls


@pytest.mark.parametrize(("status", "answer"), [(200, {"data": []}), (400, graph_error(190))], ids=["reply", "failure"])
def test_a_line_has_its_times_in_milliseconds(client, clock, lines, status, answer):
    def answered(_request):
        clock.wait(0.05)
        time.sleep(0.05)
        return status, {}, json.dumps(answer)

    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.add_callback(responses.GET, re.compile(rf"{GRAPH}/.*"), callback=answered)
        client.get("/top-posts?time_range=7d", buffered=True)

    (line,) = [line for line in lines() if line["message"] == "request"]
    assert line["provider_calls"] == 1
    assert line["provider_milliseconds"] == pytest.approx(50)
    assert 50 <= line["milliseconds"] < 50_000


def test_a_line_says_that_the_caller_had_the_reply_and_hides_an_id_that_looks_like_a_credential(client, lines):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(re.compile(rf"{GRAPH}/.*"), json={"data": []})
        etag = client.get("/top-posts?time_range=7d").headers["ETag"]

        headers = {"If-None-Match": etag, "X-Request-Id": "access_token:abcdefgh"}
        client.get("/top-posts?time_range=7d", headers=headers, buffered=True)
        client.head("/top-posts?time_range=7d", buffered=True)

    *_, line, of_head = lines()
    assert (of_head["method"], of_head["status"], of_head["bytes"]) == ("HEAD", 200, 0)
    assert (line["status"], line["bytes"], line["key"]) == (304, 0, "anonymous")
    assert "abcdefgh" not in line["request_id"]


def test_a_line_names_the_account_unless_the_reply_was_ready(client, lines):
    with responses.RequestsMock() as wire:
        wire.get(re.compile(rf"{GRAPH}/.*"), json={"data": []})
        for path in ("/top-posts?time_range=7d", "/top-posts?time_range=7d&limit=3", "/top-posts?time_range=7d"):
            client.get(path, buffered=True)

    fetched, cached, ready = [line for line in lines() if line["message"] == "request"]
    assert [line["cache"] for line in (fetched, cached, ready)] == ["miss", "hit", "hit"]
    assert [line.get("account") for line in (fetched, cached, ready)] == [ACCOUNT_ID, ACCOUNT_ID, None]


def test_the_line_of_a_streamed_reply_names_the_account(client, lines):
    history = client.application.extensions["services"].store.history
    history.keep(ACCOUNT_ID, {HistoryKey("reach", (), DAY, DAY): HistoryValue(7, None, 1_781_000_000.0)})

    response = client.get("/export", buffered=True)

    (line,) = [line for line in lines() if line["message"] == "request"]
    assert (line["status"], line["bytes"], line["account"]) == (200, len(response.get_data()), ACCOUNT_ID)


# Turns


def test_a_request_has_the_turn_while_it_works_and_not_while_it_waits_for_a_provider(client):
    turns, seen = client.application.extensions["front"]._turns, []

    def note(place):
        free = turns.acquire()
        seen.append((place, free))
        if free:
            turns.release()

    def answered(_request):
        note("provider")
        return 200, {}, json.dumps({"data": []})

    client.application.before_request(lambda: note("view"))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.add_callback(responses.GET, re.compile(rf"{GRAPH}/.*"), callback=answered)
        client.get("/top-posts?time_range=7d")
    note("later")
    client.post("/healthz")

    assert seen == [("view", False), ("provider", True), ("later", True), ("view", True)]


# The way to Flask


def test_one_frame_leads_from_the_server_to_flask(client):
    frames = []

    @client.application.before_request
    def note_frames():
        frame = sys._getframe()
        while frame is not None:
            if Path(frame.f_code.co_filename).parent == ROOT / "front":
                frames.append(frame.f_code.co_name)
            frame = frame.f_back

    client.get("/healthz")

    assert frames == ["__call__"]


# Other origins


def from_origin(client, origin, **headers):
    return client.get("/nowhere", headers={"Origin": origin, **headers})


def test_without_allowed_origins_no_reply_has_a_cors_header(client):
    response = from_origin(client, "https://app.example")

    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_a_listed_origin_may_read_even_errors(make_client):
    client = make_client(settings(cors_origins=("https://app.example",)))

    response = from_origin(client, "https://app.example")

    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    # All that the document promises, save what a page may read anyway or has no use for.
    unexposed = {"Cache-Control", "Vary", "WWW-Authenticate", "X-Content-Type-Options"}
    assert set(response.headers["Access-Control-Expose-Headers"].split(", ")) == HEADERS.keys() - unexposed
    assert "Origin" in response.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "null", ""])
def test_another_origin_may_not(make_client, origin):
    client = make_client(settings(cors_origins=("https://app.example",)))

    response = from_origin(client, origin)

    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in response.headers["Vary"]


def test_a_star_allows_every_origin(make_client):
    response = from_origin(make_client(settings(cors_origins=("*",))), "https://any.example")

    assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("listed", ["https://App.Example", "https://app.example:443", "HTTPS://APP.EXAMPLE:0443"])
def test_an_origin_is_listed_however_it_is_spelled(make_client, listed):
    response = from_origin(make_client(settings(cors_origins=(listed,))), "https://app.example")

    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"


def test_a_preflight_is_answered_without_the_application(make_client):
    client = make_client(settings(cors_origins=("https://app.example",)))

    page = {"Origin": "https://app.example"}
    response = client.options("/top-posts", headers=page | {"Access-Control-Request-Method": "GET"})
    plain = client.options("/top-posts", headers=page)

    assert response.status_code == 204
    assert set(response.headers["Access-Control-Allow-Methods"].split(", ")) == {"GET", "HEAD", "OPTIONS"}
    assert 0 < int(response.headers["Access-Control-Max-Age"]) <= 600
    assert set(response.headers["Access-Control-Allow-Headers"].split(", ")) == {
        *("Accept", "Authorization", "Cache-Control", "Content-Type", "If-None-Match", "X-API-Key", "X-Request-Id")
    }
    assert (plain.status_code, "Allow" in plain.headers) == (200, True)
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/top-posts", "/openapi.json", "/" + "x" * 9000])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
def test_no_reply_is_taken_for_another_type_or_embedded_elsewhere(client, path, method):
    response = client.open(path, method=method)

    assert response.headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert response.headers.getlist("Cross-Origin-Resource-Policy") == ["same-origin"]
    assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


def test_only_a_sandbox_says_that_it_is_one(make_client):
    sandbox = make_client(settings(providers="sandbox", sandbox_despite_credentials=True))

    assert sandbox.get("/healthz").headers["X-Insights-Sandbox"] == "true"
    assert "X-Insights-Sandbox" not in make_client().get("/healthz").headers


def test_a_large_reply_is_not_made_on_the_thread_of_all_connections(make_world, monkeypatch):
    world, path = make_world(), "/top-posts?time_range=7d&limit=3"
    serve = world.client.application.extensions["front"]
    body = world.get(path).data

    def ready():
        return serve.ready_reply(create_environ(path), lambda *_: None)

    assert ready() == [body]
    monkeypatch.setattr(front.middleware, "MOST_READY", len(body) - 1)
    assert ready() is None
    assert world.get(path).headers["Cache-Status"].startswith("insights-gateway; hit")


# What no request looks for


def test_nothing_is_registered_that_the_application_never_calls(client):
    app = client.application
    never_called = (app.after_request_funcs, app.teardown_request_funcs, app.teardown_appcontext_funcs)

    assert never_called == ({}, {}, [])
    assert not any(map(iscoroutinefunction, app.view_functions.values()))
