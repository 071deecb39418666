"""How Instagram is spoken to: no token in any URL, no link followed, and nothing believed that is not an answer."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from responses.matchers import query_param_matcher
from urllib3.exceptions import DecodeError, MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from services import request_context
from services.clients.graph.code_one import MAX_CODE_ONE, CodeOneBudget
from services.clients.graph.lists import listed_insights
from services.clients.graph.models import Account
from services.errors import ProviderError
from services.request_context import RequestContext
from services.wiring.provider_clients import graph_client
from tests.movable_clock import MovableClock
from tests.support import ACCOUNT_ID, APP_SECRET, GRAPH, TOKEN, graph_error, settings, utc

ANY = re.compile(rf"{GRAPH}/.*")
MEDIA = f"{GRAPH}/v25.0/{ACCOUNT_ID}/media"
MEGABYTE = 1024 * 1024
PATHS = ["/top-posts?time_range=7d", "/growth-trends?period=7d", "/account-insights?period=day&metrics=reach,views"]


@pytest.fixture
def client(make_client):
    return make_client(settings(retry_budget=5.0), clock=MovableClock(utc("2026-06-15T18:00:00")))


def top_posts(client):
    return client.get("/top-posts?time_range=7d")


def post(number):
    return {"id": str(number), "timestamp": "2026-06-14T12:00:00+0000", "like_count": number, "comments_count": 0}


def page(*numbers, after=None, following=None):
    paging = {"cursors": {"before": "B", "after": after}} if after else {}
    return {"data": [post(number) for number in numbers], "paging": paging | ({"next": following} if following else {})}


# Credentials


@pytest.mark.parametrize("path", PATHS)
def test_the_token_goes_into_the_header_and_its_proof_into_the_query(client, wire, path):
    wire.get(ANY, json={"data": []})

    client.get(path)

    proof = hmac.new(APP_SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    for call in wire.calls:
        assert call.request.headers["Authorization"] == f"Bearer {TOKEN}"
        assert parse_qs(urlsplit(call.request.url).query)["appsecret_proof"] == [proof]
        assert TOKEN not in call.request.url
        assert APP_SECRET not in call.request.url


def test_a_token_in_the_query_has_its_proof_beside_it(make_client, wire):
    wire.get(ANY, json={"data": []})

    top_posts(make_client(settings(graph_auth_in="query")))

    [call] = wire.calls
    query = parse_qs(urlsplit(call.request.url).query)
    proof = hmac.new(APP_SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
    assert (query["access_token"], query["appsecret_proof"]) == ([TOKEN], [proof])
    assert "Authorization" not in call.request.headers


def test_without_the_apps_secret_there_is_no_proof(make_client, wire):
    wire.get(ANY, json={"data": []})

    top_posts(make_client(settings(app_secret="")))

    assert "appsecret_proof" not in wire.calls[0].request.url


def test_the_configured_version_stands_in_every_path(make_client, wire):
    wire.get(ANY, json={"data": []})

    make_client(settings(graph_api_version="v26.0")).get(PATHS[1])

    assert all(urlsplit(call.request.url).path.startswith("/v26.0/") for call in wire.calls)


@pytest.mark.parametrize(
    "message",
    [f"Malformed access token {TOKEN}", f"at https://x/?access_token={TOKEN}&x=1", "EAAother0123456789abcdef"],
)
def test_a_token_that_the_provider_echoes_is_taken_out(client, wire, message):
    wire.get(MEDIA, json=graph_error(100, message=message), status=400)

    body = top_posts(client).get_json()

    assert "[redacted]" in body["message"]
    assert "0123456789" not in body["message"]


# Pages


def test_the_next_page_is_requested_by_its_cursor_and_its_link_is_never_followed(client, wire):
    link = f"https://elsewhere.example/media?access_token={TOKEN}&after=C1"
    first = {"after": "C1"}
    wire.get(MEDIA, json=page(3, 2, after="C1", following=link), match=[no_cursor])
    wire.get(MEDIA, json=page(1, after="C2"), match=[query_param_matcher(first, strict_match=False)])

    body = top_posts(client).get_json()

    assert [each["id"] for each in body["top_posts"]] == ["3", "2", "1"]
    assert len(wire.calls) == 2


def test_the_last_page_has_a_cursor_too_and_the_missing_link_ends_the_list(client, wire):
    wire.get(MEDIA, json=page(2, 1, after="C1"))

    body = top_posts(client).get_json()

    assert [each["id"] for each in body["top_posts"]] == ["2", "1"]
    assert len(wire.calls) == 1


def no_cursor(request):
    return "after=" not in request.url, "a cursor was sent"


# The version that is served


def test_another_version_than_the_requested_one_is_logged_once(client, wire, watch):
    wire.get(MEDIA, json={"data": []}, headers={"facebook-api-version": "v21.0"})

    top_posts(client)
    top_posts(client)

    (line,) = [line for line in watch.seen if line.startswith("Instagram serves another version")]
    assert "v21.0" in line
    assert "v25.0" in line


@pytest.mark.parametrize("headers", [{}, {"facebook-api-version": "v25.0"}])
def test_the_requested_version_is_not_logged(client, wire, watch, headers):
    wire.get(MEDIA, json={"data": []}, headers=headers)

    top_posts(client)

    assert not [line for line in watch.seen if "another version" in line]


ONE, OTHER = Account(ACCOUNT_ID, TOKEN), Account("17841400000000077", "EAAotherTOKENofANaccount000000")
PROFILE, PROFILE_OF_OTHER = f"{GRAPH}/v25.0/{ACCOUNT_ID}", f"{GRAPH}/v25.0/{OTHER.id}"


@pytest.fixture
def graph(clock):
    return graph_client(settings(retry_budget=5.0), clock)


@pytest.fixture
def in_a_request():
    """What a test does is done for one request, which has so many seconds."""
    outer = request_context.current.set(RequestContext(started_at=0.0, seconds=15.0))
    yield
    request_context.current.reset(outer)


def failure_of(call):
    with pytest.raises(ProviderError) as caught:
        call()
    return caught.value


def test_the_served_version_is_that_of_the_last_answer_with_one_also_of_a_refusal(graph, wire):
    wire.get(PROFILE, json=graph_error(803), status=400, headers={"facebook-api-version": "v24.0"})
    wire.get(PROFILE, json={"id": ACCOUNT_ID})
    before = graph.served_version

    failure_of(lambda: graph.profile(ONE))
    of_a_refusal = graph.served_version
    graph.profile(ONE)

    assert (before, of_a_refusal, graph.served_version) == (None, "v24.0", "v24.0")


# What is listed

REEL = {"id": "1", "media_product_type": "REELS"}
STORIES = [{"id": "2"}, {"id": "3", "media_product_type": "FEED"}]  # Their lists have no type, as far as is known.
OWN_REEL, OWN_STORIES = [("1", "REELS")], [("2", "STORY"), ("3", "FEED")]


@pytest.mark.parametrize(
    ("path", "call", "noted"),
    [
        ("", lambda graph: graph.profile_and_media(ONE, limit=5), [OWN_REEL]),
        ("", lambda graph: graph.look(ONE, limit=5), [OWN_REEL]),
        ("", lambda graph: graph.look(ONE, limit=5, story_fields=["id"]), [OWN_REEL, OWN_STORIES]),
        ("/media", lambda graph: graph.media_page(ONE, after=None), [OWN_REEL]),
        ("/media", lambda graph: graph.media_page_with_insights(ONE, [], after=None, limit=5), []),
        (
            "/media",
            lambda graph: graph.media_page_with_insights(ONE, [], after=None, limit=5, in_full=True),
            [OWN_REEL],
        ),
        ("/stories", lambda graph: graph.stories_page(ONE, [], fields=["id"], after=None, limit=5), [OWN_STORIES]),
        ("/collaborative_media", lambda graph: graph.collaborative_page(ONE, after=None, limit=5), []),
    ],
)
def test_what_is_listed_in_full_of_an_accounts_own_is_noted_with_its_type(clock, wire, path, call, noted):
    found = []

    def note(account, media):
        assert account is ONE
        found.append([(each["id"], each.get("media_product_type")) for each in media])

    media, stories = {"data": [REEL]}, {"data": STORIES}
    body = {"": {"id": ACCOUNT_ID, "media": media, "stories": stories}, "/stories": stories}.get(path, media)
    wire.get(f"{PROFILE}{path}", json=body)

    call(graph_client(settings(), clock, on_listed=note))

    assert found == noted


def test_of_a_metric_that_comes_twice_the_first_counts(graph, wire):
    wire.get(f"{PROFILE}/insights", json={"data": [{"name": "views", "title": str(n)} for n in (1, 2)] + ["views"]})

    assert graph.account_insights(ONE, ["views"], since=1, until=2) == {"views": {"name": "views", "title": "1"}}


@pytest.mark.parametrize("insights", [None, {}, {"data": None}, {"data": {}}, [], "none"])
def test_a_listed_media_may_lack_its_insights(insights):
    assert listed_insights({"id": "1", "insights": insights}) == {}


# Where a request has spent its calls with code 1


def spend_all(graph, wire):
    """Let one request have eight calls answered with code 1."""
    faulty = wire.get(MEDIA, json=graph_error(1), status=500)
    while faulty.call_count < 8:
        failure_of(lambda: graph.media_page(ONE, after=None, limit=10))


@pytest.mark.usefixtures("in_a_request")
def test_a_request_that_has_spent_its_calls_makes_no_second_one_and_none_that_may_be_too_much(graph, wire):
    spend_all(graph, wire)
    passing = wire.get(PROFILE, json=graph_error(2), status=500)

    failures = [
        failure_of(lambda: graph.profile(ONE)),
        failure_of(lambda: graph.media_page(ONE, after=None, limit=10)),
    ]

    assert [(failure.code, failure.retry_after, failure.reached) for failure in failures] == [
        ("provider_unavailable", 60, False)
    ] * 2
    assert (passing.call_count, len(wire.calls)) == (1, 9)


@pytest.mark.usefixtures("in_a_request")
def test_calls_that_are_refused_before_they_are_sent_hold_up_no_other_one_of_their_request(graph, wire):
    wire.get(MEDIA, json=graph_error(1), status=500)
    wire.get(MEDIA, json={"data": []})
    wire.get(PROFILE_OF_OTHER, json=graph_error(190), status=400)

    assert graph.media_page(ONE, after=None, limit=10).posts == []
    failures = [failure_of(lambda: graph.profile(OTHER)) for _ in range(10)]

    assert [failure.reached for failure in failures] == [True] + [False] * 9
    assert graph.media_page(ONE, after=None, limit=10).posts == []


def begin_beside(budget, *, calls=1, seconds=None):
    """Begin optional calls in threads of their own; return these, and what each learns as soon as it is decided."""
    learned = []

    def begin():
        request_context.current.set(RequestContext(started_at=0.0, seconds=seconds))
        learned.append(budget.begin(is_optional=True))

    threads = [threading.Thread(target=begin, daemon=True) for _ in range(calls)]
    for thread in threads:
        thread.start()
    return threads, learned


def spent_once(under_way):
    """A budget of which one call is spent, while others are under way."""
    budget = CodeOneBudget()
    for _ in range(under_way + 1):
        budget.begin(is_optional=False)
    budget.end(is_code_one=True)
    return budget


def test_a_call_waits_for_those_under_way_no_longer_than_its_request_may():
    ([waiting], learned) = begin_beside(spent_once(MAX_CODE_ONE - 1), seconds=0.05)
    waiting.join(30)

    assert learned == [True]  # Whether it may be sent without any time left, the transport decides.


def test_a_call_does_not_wait_for_those_that_cannot_spend_what_is_left():
    ([waiting], learned) = begin_beside(spent_once(MAX_CODE_ONE - 2))
    waiting.join(30)

    assert learned == [True]


def test_every_call_that_waits_learns_that_nothing_is_left():
    budget = spent_once(MAX_CODE_ONE - 1)

    threads, learned = begin_beside(budget, calls=2 * MAX_CODE_ONE)
    time.sleep(0.05)  # Only those that wait by now show it; the others find it so.
    for _ in range(MAX_CODE_ONE - 1):
        budget.end(is_code_one=True)
    for thread in threads:
        thread.join(30)

    assert learned == [False] * 2 * MAX_CODE_ONE


# What is no answer


@pytest.mark.parametrize(("status", "more"), [(201, {}), (404, {}), (200, {"error": "no"}), (200, {"error": 7})])
def test_an_answer_with_a_profile_is_none_beside_a_refusal(graph, wire, status, more):
    wire.get(PROFILE, json={"id": ACCOUNT_ID, "username": "our.account"} | more, status=status)

    assert failure_of(lambda: graph.profile(ONE)).code == "provider_response_invalid"


NONSENSE = {
    "HTML": "<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>",
    "empty": "",
    "a list": "[]",
    "null": "null",
    "a text": '"data"',
    "cut": '{"data": [{"id": "1", "timest',
    "not a number": '{"data": [{"id": "1", "like_count": NaN}]}',
    "too deep": "[" * 200_000,
    "no UTF-8": b'{"data": ["\xff\xfe"]}',
    "without data": "{}",
    "data of another type": '{"data": {"id": "1"}}',
    "an error that is a text": '{"error": "no"}',
}


@pytest.mark.parametrize("status", [200, 400, 404])
@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_reported_as_such_and_not_repeated(client, wire, what, status):
    wire.get(MEDIA, body=NONSENSE[what], status=status)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_response_invalid")
    assert "html" not in response.get_json()["message"].lower()
    assert len(wire.calls) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(client, wire, status):
    wire.get(MEDIA, status=status, headers={"Location": "https://elsewhere.example/"})

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_response_invalid")
    assert len(wire.calls) == 1


def test_a_body_above_the_limit_is_not_read(client, wire):
    wire.get(MEDIA, body=b'{"data": []}' + b" " * (2 * MEGABYTE))

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (502, "provider_response_invalid")


def test_a_body_below_the_limit_is_read(client, wire):
    wire.get(MEDIA, body=b'{"data": []}' + b" " * MEGABYTE)

    assert top_posts(client).status_code == 200


def test_a_server_error_without_a_code_is_a_passing_fault(client, wire):
    wire.get(MEDIA, json={"error": {"message": "x"}}, status=503)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == (503, "provider_unavailable")
    assert len(wire.calls) == 3


# What never answers

URL = f"/v25.0/media?access_token={TOKEN}"
UNREACHED = MaxRetryError(None, URL, NewConnectionError(None, "refused"))


@pytest.mark.parametrize(
    ("error", "outcome", "calls"),
    [
        (requests.ConnectionError(UNREACHED), (503, "provider_unavailable"), 3),
        (requests.ConnectTimeout(URL), (503, "provider_unavailable"), 3),
        (requests.exceptions.SSLError(URL), (503, "provider_unavailable"), 3),
        (requests.ConnectionError(URL), (503, "provider_unavailable"), 3),
        (requests.ReadTimeout(URL), (504, "provider_timeout"), 1),
        (ReadTimeoutError(None, URL, "late"), (504, "provider_timeout"), 1),
        (ProtocolError(URL), (502, "provider_response_invalid"), 1),
        (DecodeError(URL), (502, "provider_response_invalid"), 1),
    ],
    ids=[
        "refused",
        "no connection in time",
        "TLS that breaks",
        "cut",
        "late",
        "late in its midst",
        "cut in its midst",
        "coded",
    ],
)
def test_a_failure_of_the_network_has_its_own_outcome_and_shows_no_url(client, wire, error, outcome, calls):
    wire.get(MEDIA, body=error)

    response = top_posts(client)

    assert (response.status_code, response.get_json()["code"]) == outcome
    assert "access_token" not in response.get_data(as_text=True)
    assert len(wire.calls) == calls
