"""The contract: a valid OpenAPI 3.1 document, which every reply keeps to, field by field."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
import responses
from jsonschema import Draft202012Validator

from routes import documentation
from tests.documents import pattern_of
from tests.support import ACCOUNT_ID, GRAPH, MODASH, graph_error, total_value

USER = f"{GRAPH}/v25.0/{ACCOUNT_ID}"
REPORT = f"{MODASH}/v1/instagram/performance-data"
MEDIA = re.compile(rf"{USER}/media")
INSIGHTS = re.compile(rf"{USER}/insights")
POST = {"id": "a", "timestamp": "2026-06-14T12:00:00+0000", "like_count": 3, "comments_count": 1, "caption": "x"}
BARE_POST = {"id": "b", "timestamp": "2026-06-02T12:00:00+0000"}
TOTALS = [
    total_value(name, 10, [([breakdown], [([bucket], 7)])])
    for name, breakdown, bucket in [
        ("views", "follow_type", "FOLLOWER"),
        ("reach", "follow_type", "FOLLOWER"),
        ("total_interactions", "follow_type", "FOLLOWER"),
        ("follows_and_unfollows", "follow_type", "FOLLOWER"),
        ("profile_links_taps", "contact_button_type", "EMAIL"),
    ]
]
MEDIA_ID = "17932174733377207"
LISTED_POST = {"id": MEDIA_ID, "timestamp": "2026-06-01T12:00:00+0000", "media_product_type": "FEED"}
NODE = f"{GRAPH}/v25.0/{MEDIA_ID}"
LIFETIME = [
    {"name": "views", "period": "lifetime", "values": [{"value": 5}]},
    total_value("profile_activity", 3, [(["action_type"], [(["email"], 3)])]),
    total_value("navigation", 3, [(["story_navigation_action_type"], [(["tap_exit"], 3)])]),
]
STORIES = [
    {
        "id": name,
        "timestamp": "2026-06-15T12:00:00+0000",
        "media_type": "IMAGE",
        "insights": {"data": [total_value("navigation", 5, [(["story_navigation_action_type"], [(["tap_exit"], 5)])])]},
    }
    for name in (MEDIA_ID, "18001")
]
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture
def wire():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(USER, json={"id": ACCOUNT_ID, "username": "us", "followers_count": 1000})
        wire.get(MEDIA, json={"data": [POST, BARE_POST, LISTED_POST]})
        wire.get(INSIGHTS, json={"data": TOTALS})
        wire.get(f"{NODE}/insights", json={"data": LIFETIME})
        wire.get(NODE, json=POST | {"id": MEDIA_ID, "media_product_type": "FEED", "permalink": "https://x"})
        wire.get(f"{USER}/stories", json={"data": STORIES})
        wire.get(REPORT, json={"posts": {"total": 3}, "reels": None})
        wire.get(f"{MODASH}/v1/user/info", json={"billing": {"credits": 9.5}})
        yield wire


@pytest.fixture
def document(client):
    return client.get("/openapi.json").get_json()


def operations(document):
    return {path: item["get"] for path, item in document["paths"].items()}


def strict(schema):
    """The schema, with every field that it does not name forbidden."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(value) for name, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        closed.setdefault("additionalProperties", False)
    return closed


def operation_of(document, response):
    """The operation that answered; a path without variable parts goes before one with them."""
    path = urlsplit(response.request.path).path
    found = operations(document)
    return found.get(path) or next(found[each] for each in found if re.fullmatch(pattern_of(each), path))


def faults_of(document, response):
    """What in a reply is not as the document says."""
    described = operation_of(document, response)["responses"][str(response.status_code)]
    schema = described["content"][response.mimetype]["schema"]
    whole = strict(schema) | {"components": strict(document["components"])}
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(response.get_json())
    ]


# The document


def test_the_document_has_what_openapi_wants(document):
    assert document["openapi"] == "3.1.0"
    assert {"title", "version"} <= document["info"].keys()
    assert all(path.startswith("/") and item.keys() <= METHODS for path, item in document["paths"].items())


def test_every_schema_is_a_valid_one(document):
    schemas = list(document["components"]["schemas"].values())
    for operation in operations(document).values():
        schemas += [parameter["schema"] for parameter in operation["parameters"]]
        for described in operation["responses"].values():
            schemas += [content["schema"] for content in described.get("content", {}).values()]

    for schema in schemas:
        Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere(document):
    referred = set(re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', str(document).replace("'", '"')))

    assert referred <= document["components"]["schemas"].keys()
    assert "Error" in referred


def test_every_operation_has_a_name_of_its_own_and_a_summary(document):
    found = operations(document).values()

    assert len({operation["operationId"] for operation in found}) == len(found)
    assert all(operation["summary"] for operation in found)


def test_every_operation_but_probes_and_the_webhook_says_that_it_may_be_limited(document):
    limited, named = set(), {"RateLimit", "RateLimit-Policy"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            refusals = operation["responses"].get("429", {})
            if "rate_limited" in refusals.get("description", ""):
                limited.add(path)
                assert "Retry-After" in refusals["headers"]
                assert all(named <= response["headers"].keys() for response in operation["responses"].values())

    assert document["paths"].keys() - limited == {"/healthz", "/readyz", "/webhooks/instagram"}


def test_every_status_that_comes_with_a_wait_says_so(document):
    """402 comes from limits of credits, which end with the month."""
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status in operation["responses"].keys() & {"202", "402", "429", "503", "504"}:
                assert "Retry-After" in operation["responses"][status]["headers"], (path, status)
    assert "402" in document["paths"]["/performance-data"]["get"]["responses"]
    assert "402" in document["components"]["headers"]["Retry-After"]["description"]


def test_every_response_has_a_description(document):
    assert all(
        described["description"]
        for operation in operations(document).values()
        for described in operation["responses"].values()
    )


# Headers, and replies that the caller has already


def headers_of(document, described):
    return {
        name: document["components"]["headers"][each["$ref"].rpartition("/")[2]]
        for name, each in described["headers"].items()
    }


def test_the_document_is_the_same_bytes_each_time_and_not_sent_twice(make_client, monkeypatch):
    monkeypatch.setattr(documentation, "_schema", documentation._schema.__wrapped__)  # The tests share schemas.
    replies = [make_client().get("/openapi.json") for _ in range(2)]
    tag = replies[0].headers["ETag"]

    known = make_client().get("/openapi.json", headers={"If-None-Match": f'"other", W/{tag}'})

    assert [reply.headers["ETag"] for reply in (*replies, known)] == [tag] * 3
    assert replies[0].data == replies[1].data
    assert (known.status_code, known.data, "Content-Type" in known.headers) == (304, b"", False)
    assert known.headers["Cache-Control"] == replies[0].headers["Cache-Control"] == "public, max-age=300"


def test_what_the_document_lists_as_304_is_answered_so_and_nothing_else(client, wire, document):
    client.get("/top-posts?time_range=30d")
    wrong = {}
    for path in (
        *REPLIES,
        f"/history/posts/{MEDIA_ID}",
        "/performance-data/history?url=nasa",
        "/status",
        "/quota",
        "/credits",
        "/readyz",
    ):
        client.get(path)  # The reply that pays for a report says so, and later ones do not.
        fresh = client.get(path)
        again = client.get(path, headers={"If-None-Match": fresh.headers.get("ETag", "*")})
        responses_ = operation_of(document, fresh)["responses"]
        if (again.status_code == 304) != ("304" in responses_):
            wrong[path] = again.status_code
        for reply in (fresh, again):
            listed = headers_of(document, responses_[str(reply.status_code)]).keys()
            optional = {"X-Insights-Sandbox", "Retry-After", "Content-Disposition", "RateLimit", "RateLimit-Policy"}
            sent = set(reply.headers.keys()) & document["components"]["headers"].keys()
            if not listed - optional <= sent <= listed:
                wrong[path, reply.status_code] = sent ^ listed
    assert wrong == {}


# Parameters


@pytest.mark.parametrize(
    ("path", "required"),
    [
        ("/account-insights", {"period", "metrics"}),
        ("/growth-trends", {"period"}),
        ("/top-posts", {"time_range"}),
        ("/performance-data", {"url"}),
        ("/api/discovery/performance-data", {"url"}),
        ("/healthz", set()),
        ("/openapi.json", set()),
    ],
)
def test_what_the_documents_call_required_is_required(document, path, required):
    parameters = operations(document)[path]["parameters"]

    assert {parameter["name"] for parameter in parameters if parameter["required"]} == required
    assert all(parameter["in"] in {"path", "query"} and parameter["description"] for parameter in parameters)


def test_what_a_parameter_gives_as_an_example_or_default_fits_its_schema(document):
    for operation in operations(document).values():
        for parameter in operation["parameters"]:
            schema = parameter["schema"]
            values = [*schema.get("examples", ()), *([schema["default"]] if "default" in schema else [])]

            assert [value for value in values if not Draft202012Validator(schema).is_valid(value)] == []


def test_examples_of_required_parameters_are_answered(client, wire, document):
    for path, operation in operations(document).items():
        required = [parameter for parameter in operation["parameters"] if parameter["required"]]
        given = {
            kind: {
                each["name"]: (each["schema"].get("examples") or each["schema"]["enum"])[0]
                for each in required
                if each["in"] == kind
            }
            for kind in ("path", "query")
        }

        assert client.get(path.format(**given["path"]), query_string=given["query"]).status_code == 200


# Replies

INSIGHTS_PATH = "/account-insights?period=day&metrics="
REPLIES = [
    f"{INSIGHTS_PATH}views",
    f"{INSIGHTS_PATH}impressions,email_contacts,follower_count,online_followers&since=2026-05-01&until=2026-05-30",
    f"{INSIGHTS_PATH}views,reach&breakdown=follow_type",
    f"{INSIGHTS_PATH}views&since=2020-01-01&until=2020-01-02",
    "/account-insights?period=week&metrics=views&since=2026-06-01&until=2026-06-10",
    "/growth-trends?period=7d",
    "/growth-trends?period=31d&metrics=reach,views,interactions,posts",
    f"/compare?accounts={ACCOUNT_ID},unknown",
    "/history?metrics=followers,views,impressions&since=2026-06-01",
    "/history?metrics=views,followers&interval=week&breakdown=follow_type",
    "/posting-times?period=30d&tz=Asia/Kolkata",
    "/formats?period=30d",
    "/top-posts?time_range=30d",
    "/top-posts?time_range=7d&media_product_type=AD",
    f"/api/instagram/insights/{MEDIA_ID}",
    f"/api/instagram/insights/{MEDIA_ID}?metrics=engagement,plays,clips_replays_count,profile_activity",
    f"/api/instagram/insights/{MEDIA_ID}/profile-activity",
    f"/api/instagram/insights/{MEDIA_ID}/navigation",
    f"/api/instagram/insights/test?media_id={MEDIA_ID}",
    "/capabilities",
    "/audience?days=1",
    "/stories?limit=2",
    f"/stories/{MEDIA_ID}",
    "/performance-data?url=nasa",
    "/api/discovery/performance-data?url=nasa",
    "/healthz",
    "/openapi.json",
]


@pytest.mark.parametrize("path", REPLIES)
def test_a_reply_keeps_to_its_schema(client, wire, document, path):
    response = client.get(path)

    assert response.status_code == 200
    assert faults_of(document, response) == []


def test_how_a_post_grew_keeps_to_its_schema(client, wire, document):
    client.get("/top-posts?time_range=30d")

    response = client.get(f"/history/posts/{MEDIA_ID}")

    assert response.status_code == 200
    assert faults_of(document, response) == []


def test_replies_of_few_words_keep_to_their_schema(client, document):
    with responses.RequestsMock() as wire:
        wire.get(USER, json={})
        wire.get(re.compile(rf"{USER}/.*"), json={"data": []})

        for path in (
            f"{INSIGHTS_PATH}views,reach",
            "/growth-trends?period=7d&metrics=reach,posts",
            "/top-posts?time_range=7d",
        ):
            assert faults_of(document, client.get(path)) == []


@pytest.mark.parametrize("report", [{"status": "retry_later"}, {"anything": 1}, {"posts": {}, "reels": {}}])
def test_every_outcome_of_a_report_keeps_to_its_schema(client, wire, document, report):
    wire.replace(responses.GET, REPORT, json=report)

    assert faults_of(document, client.get("/performance-data?url=nasa")) == []


@pytest.mark.parametrize("code", [4, 10, 190, 2, 33, 803, 2500, 368])
def test_every_refusal_keeps_to_its_schema(client, wire, document, code):
    wire.replace(responses.GET, MEDIA, json=graph_error(code), status=400)

    response = client.get("/top-posts?time_range=7d")

    assert response.status_code >= 400
    assert faults_of(document, response) == []
    assert (
        response.get_json()["code"]
        in operations(document)["/top-posts"]["responses"][str(response.status_code)]["description"]
    )


@pytest.mark.parametrize("path", [path for path in REPLIES if "?" in path])
def test_a_wrong_parameter_is_refused_as_described(client, document, path):
    response = client.get(f"{path}&nonsense=1")

    assert response.status_code == 400
    assert faults_of(document, response) == []
