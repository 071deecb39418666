"""Failures are one tree and one shape: each with a status, a code, a place in the contract and a request id."""

from __future__ import annotations

import re

import pytest

from routes.documentation import error_classes, error_codes
from routes.errors import HTTP_CODES, UNEXPECTED_ERROR
from services import errors
from services.errors import InsightsError
from tests.support import GRAPH, graph_error

SHAPE = ["error", "code", "message", "hint", "provider", "reference", "retry_after", "request_id"]
TOP_POSTS = "/top-posts?time_range=7d"
ANY_MEDIA = re.compile(rf"{GRAPH}/.*/media")


def tree():
    found = [InsightsError]
    for kind in found:
        found += kind.__subclasses__()
    return found


# The tree


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_a_code_and_a_sentence(kind):
    assert 400 <= kind.status <= 504
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert kind.__doc__
    assert kind.__name__.endswith("Error")


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_is_drawn_in_the_tree_with_its_status(kind):
    line = next(line for line in errors.__doc__.splitlines() if re.search(rf"\b{kind.__name__}\b", line))

    assert kind.__subclasses__() or str(kind.status) in line


def test_no_two_errors_share_a_code_unless_they_share_the_decision():
    codes = [(code, kind.status) for kind in error_classes() for code in error_codes(kind)]

    assert {pair for pair in codes if codes.count(pair) > 1} == {("bad_request", 400)}
    assert len({code for code, _ in codes}) == len(set(codes))


@pytest.mark.parametrize("kind", error_classes(), ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_contract(client, kind):
    document = client.get("/openapi.json").get_json()

    described = document["paths"]["/top-posts"]["get"]["responses"][str(kind.status)]["description"]
    assert [code for code in error_codes(kind) if code not in described] == []


# One shape


def check_shape(response, status, code):
    body = response.get_json()
    assert (response.status_code, body["code"]) == (status, code)
    assert list(body) == SHAPE
    assert body["error"] is True
    assert body["message"]
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/top-posts", 400),
        ("GET", "/nowhere", 404),
        ("GET", "/top-posts/", 404),
        ("GET", "http://localhost//top-posts", 404),
        ("POST", TOP_POSTS, 405),
        ("DELETE", "/healthz", 405),
        ("GET", f"/top-posts?time_range={'7' * 9000}", 414),
        ("GET", f"/{'x' * 9000}", 414),
    ],
)
def test_what_the_gateway_refuses_has_the_one_shape(client, method, path, status):
    check_shape(client.open(path, method=method), status, HTTP_CODES[status])


@pytest.mark.parametrize(
    ("method", "path", "length", "status"),
    [
        ("GET", f"/x?{'y' * 7_998}", "", 404),
        ("GET", f"/x?{'y' * 7_999}", "", 414),
        ("GET", f"/x?{'&' * 99}", "", 404),
        ("GET", f"/x?{'&' * 100}", "", 400),
        *((method, "/healthz", "1", 413) for method in ("GET", "HEAD", "OPTIONS")),
        ("GET", "/healthz", "0", 200),
        ("POST", "/x", "65536", 404),
        ("POST", "/x", "65537", 413),
        ("PUT", "/webhooks/instagram", "65537", 413),
        ("POST", "/webhooks/instagram", f"{16 * 2**20}", 401),
        ("POST", "/webhooks/instagram", f"{16 * 2**20 + 1}", 413),
    ],
)
def test_a_request_of_exactly_the_size_that_is_accepted_is_not_refused(client, method, path, length, status):
    assert client.open(path, method=method, environ_overrides={"CONTENT_LENGTH": length}).status_code == status


def test_a_body_that_is_too_large_is_refused_unread(client):
    check_shape(client.post("/healthz", data=b"x" * 100_000), 413, "request_too_large")


@pytest.mark.parametrize("length", ["many", "-5", "1e3"])
def test_a_length_that_is_none_has_the_one_shape_too(client, length):
    response = client.post("/healthz", environ_overrides={"CONTENT_LENGTH": length})

    assert response.status_code in {400, 405}
    assert response.get_json()["error"] is True


def test_an_unexpected_error_is_answered_in_one_fixed_sentence_and_logged_in_full(client, monkeypatch, watch):
    def broken(*_args, **_options):
        raise KeyError("the inner secret of the error")

    monkeypatch.setattr(client.application.extensions["services"].top_posts, "ranked", broken)

    response = client.get(TOP_POSTS)

    check_shape(response, 500, "internal_error")
    assert response.get_json()["message"] == UNEXPECTED_ERROR
    assert "inner secret" not in response.get_data(as_text=True)
    assert any("inner secret" in line and "Traceback" in line for line in watch.seen)


def test_405_names_the_accepted_methods(client):
    response = client.post(TOP_POSTS)

    assert {method.strip() for method in response.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}
    assert "GET" in response.get_json()["hint"]


def test_the_retry_after_header_equals_the_one_of_the_body(client, wire):
    usage = '{"1": [{"type": "instagram", "estimated_time_to_regain_access": 11}]}'
    wire.get(ANY_MEDIA, json=graph_error(80002), status=400, headers={"X-Business-Use-Case-Usage": usage})

    response = client.get(TOP_POSTS)

    check_shape(response, 429, "provider_rate_limited")
    assert response.get_json()["retry_after"] == 660
    assert response.headers["Retry-After"] == "660"


def test_without_a_wait_there_is_no_retry_after_header(client):
    response = client.get("/top-posts")

    assert response.get_json()["retry_after"] is None
    assert "Retry-After" not in response.headers


def test_a_provider_error_names_its_provider_and_reference(client, wire):
    wire.get(ANY_MEDIA, json=graph_error(190, 463), status=400)

    body = client.get(TOP_POSTS).get_json()

    assert (body["provider"], body["reference"]) == ("instagram", "Atrace")


@pytest.mark.parametrize("path", ["/healthz", "/top-posts", "/nowhere", f"/{'x' * 9000}"])
def test_head_answers_as_get_does_without_a_body(client, path):
    head, get = client.head(path), client.get(path)

    assert head.status_code == get.status_code
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert head.get_data() == b""


def test_options_name_the_methods_and_ask_no_provider(client):
    response = client.options("/top-posts")

    assert response.status_code == 200
    assert {method.strip() for method in response.headers["Allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}


MEDIA = "/api/instagram/insights"


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("/stories/", "/stories or /stories/{story_id}"),
        ("/story/123", "/stories/123"),
        ("/top-posts/", "/top-posts"),
        ("/top_posts", "/top-posts"),
        ("/api/performance-data", "/performance-data"),
        (MEDIA, f"{MEDIA}/{{media_id}}"),
        (f"{MEDIA}/", f"{MEDIA}/{{media_id}}"),
        (f"{MEDIA}/metrics", f"{MEDIA}/metrics/{{media_type}}"),
        (f"{MEDIA}/metrics/", f"{MEDIA}/metrics/{{media_type}}"),
        (f"{MEDIA}/tests", f"{MEDIA}/test"),
        (f"{MEDIA}/18000001697020000/", f"{MEDIA}/18000001697020000"),
        (f"{MEDIA}/18000001697020000/navigations", f"{MEDIA}/18000001697020000/navigation"),
    ],
)
def test_the_nearest_path_is_named(client, path, nearest):
    body = client.get(path).get_json()

    assert f"Did you mean {nearest}?" in f"{body['message']} {body['hint']}"


@pytest.mark.parametrize("path", ["/", "/wp-login.php", f"{MEDIA}/abc", f"{MEDIA}/{'1' * 300}/navigations"])
def test_no_path_is_named_where_none_is_near(client, path):
    body = client.get(path).get_json()

    assert "Did you mean" not in f"{body['message']} {body['hint']}"
