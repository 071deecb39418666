"""Whatever callers ask for, they get an answer that keeps to the contract, or an error that says what to change."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses
from jsonschema import Draft202012Validator

from tests.fuzz.answers import GOOD, address_of, post
from tests.fuzz.asking import Request, nearly_valid, valid, wild
from tests.fuzz.checks import error_faults, strict
from tests.fuzz.faults import Faults, bug_in
from tests.fuzz.share import EVERY
from tests.movable_clock import MovableClock
from tests.support import settings, total_value, utc

SEED = 20_261_121
REQUESTS, PARTS = 20_000, 8
PATHS = ("/account-insights", "/growth-trends", "/top-posts", "/performance-data", "/api/discovery/performance-data")
QUIET_PATHS = ("/healthz", "/openapi.json")  # asked for less often
EVERY_TENTH = 10  # Schemas take longer to check than requests to answer.
CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
POSTS = {"data": [post("1", "11-20", 9, 1), post("2", "11-12", None, 3), post("3", "11-02", 7, 0)]}


def provider(request: Any) -> tuple[int, dict[str, str], bytes]:
    """Answer everything well; what is asked for is always there."""
    address, query = address_of(request.url), parse_qs(urlsplit(request.url).query)
    if address == "media":
        return 200, {}, json.dumps(POSTS).encode()
    if address == "report" and query["url"][0] < "b":
        return 200, {}, b'{"status": "retry_later", "message": "Wait."}'
    if "metric" not in query:
        return 200, {}, GOOD[address]
    keys = query["breakdown"][0].split(",") if "breakdown" in query else []
    rows = [(keys, [([f"X{number}" for number, _ in enumerate(keys)], 5)])] if keys else []
    items = [total_value(name, 5, rows) for name in query["metric"][0].split(",")]
    return 200, {}, json.dumps({"data": items}).encode()


@pytest.fixture
def client(make_client):
    config = settings(provider_parallel=1, log_level="ERROR", cors_origins=("https://app.example",))
    return make_client(config, clock=MovableClock(utc("2026-11-21T18:00:00")))


class Contract:
    """What the gateway says of itself."""

    def __init__(self, document: Any) -> None:
        self.operations = {path: item["get"] for path, item in document["paths"].items()}
        self.parameters = {
            path: {parameter["name"]: parameter for parameter in operation["parameters"]}
            for path, operation in self.operations.items()
        }
        self._components = document["components"]
        self._validators: dict[tuple[str, str], Any] = {}

    def codes(self, status: int) -> str:
        """The codes that errors of a status have anywhere."""
        shown = [
            operation["responses"].get(str(status), {}).get("description", "") for operation in self.operations.values()
        ]
        return "codes: " + ", ".join(text.partition(": ")[2] for text in shown)

    def faults(self, path: str, response: Any) -> Iterator[str]:
        """What in a reply is not as the schema says."""
        described = self.operations[path]["responses"][str(response.status_code)]["content"]
        if response.mimetype not in described:
            yield f"{response.mimetype} is not in the contract"
        elif response.mimetype == "application/json":
            key = (path, str(response.status_code))
            if key not in self._validators:
                schema = described["application/json"]["schema"] | {"components": self._components}
                self._validators[key] = Draft202012Validator(schema)
            for error in self._validators[key].iter_errors(strict(response.get_data())):
                yield f"{error.json_path}: {error.message:.100}"


def refusal_faults(request: Request, body: Mapping[str, Any], contract: Contract) -> Iterator[str]:
    """A refusal of a parameter names it, and says what is accepted."""
    message, shown = body["message"], f"{body['message']} {body['hint']}"
    parameters = contract.parameters.get("/" + request.path.lstrip("/"), {})
    of_the_request = body["message"] == "Content-Length is not a length."
    if (
        request.named
        and not of_the_request
        and not any(repr(name[:60]) in message or (name in parameters and name in message) for name in request.named)
    ):
        yield "a 400 does not name the parameter"
    described = any(parameter["description"] in shown for parameter in parameters.values())
    if not described and not re.search(r"[Aa]ccepted|must be|Exchange them", shown):
        yield "a 400 does not say what is accepted"


def header_faults(response: Any) -> Iterator[str]:
    for name, value in response.headers:
        if CONTROLS.search(name) or CONTROLS.search(value):
            yield f"the header {name} has a control character"
    if response.status_code == 405 and not response.headers.get("Allow"):
        yield "405 without Allow"


def body_faults(request: Request, response: Any, contract: Contract, *, closely: bool) -> Iterator[str]:
    status = response.status_code
    if status >= 500:
        yield f"status {status}"
    elif request.method == "HEAD":
        if response.get_data():
            yield "a reply to HEAD has a body"
    elif status == 304:
        if response.get_data() or not response.headers.get("ETag"):
            yield "304 has a body, or no ETag"
    elif status >= 300 and response.mimetype != "application/json":
        yield f"status {status} is {response.mimetype}"
    elif status >= 300:
        body = strict(response.get_data())
        yield from error_faults(body, response, contract.codes(status))
        if status == 400:
            yield from refusal_faults(request, body, contract)
    elif request.method == "GET" and closely:
        yield from contract.faults("/" + request.path.lstrip("/"), response)


def send(client: Any, request: Request) -> Any:
    environ = {"PATH_INFO": request.path, "QUERY_STRING": request.query, "REQUEST_METHOD": request.method}
    return client.open("/", environ_overrides=environ | dict(request.environ))


@pytest.mark.parametrize("part", range(PARTS))
def test_every_request_gets_an_answer_of_the_contract_or_a_hint_what_to_change(capsys, client, wire, caplog, part):
    wire.add_callback(responses.GET, re.compile(r"https://.*"), callback=provider)
    random, faults = Random(f"{SEED} {part}"), Faults()
    contract = Contract(client.get("/openapi.json").get_json())
    for count in range(REQUESTS // PARTS // EVERY):
        kind = random.choice((valid, nearly_valid, wild))
        path = random.choice(QUIET_PATHS if random.random() < 0.02 else PATHS)
        request = kind(path, contract.parameters[path], random)
        response = send(client, request)
        wire.calls.reset()
        if kind is valid and response.status_code not in {200, 202, 304}:
            faults.add(f"a valid request is answered with {response.status_code}", str(request))
        closely = count % EVERY_TENTH == 0
        for fault in (*header_faults(response), *body_faults(request, response, contract, closely=closely)):
            faults.add(f"{fault}: {bug_in(caplog.records)}" if response.status_code == 500 else fault, str(request))
    caplog.clear()
    capsys.readouterr()  # Each bug was logged with every request that it showed itself in.

    assert not faults, str(faults)


def test_every_number_has_its_limits_in_the_contract(client):
    parameters = Contract(client.get("/openapi.json").get_json()).parameters
    numbers = [each["schema"] for of_path in parameters.values() for each in of_path.values()]

    assert [
        schema for schema in numbers if schema["type"] == "integer" and not schema.keys() >= {"minimum", "maximum"}
    ] == []
