"""The examples of the OpenAPI document are what the gateway answers."""

from __future__ import annotations

import json

from commands.examples import record, standing_simulator
from routes.documentation import EXAMPLES
from tests.support import free_port


def test_every_example_is_answered_as_it_stands_in_the_document():
    port = free_port()

    with standing_simulator(port):
        answered = record(port)

    recorded = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in EXAMPLES.glob("*.json")}
    assert answered == recorded


def test_the_document_shows_every_example(client):
    document = client.get("/openapi.json").get_json()

    shown = [
        example["value"]
        for path in document["paths"].values()
        for status, response in path["get"]["responses"].items()
        if status != "401"  # One for all paths, which is not recorded: the sandbox needs no key.
        for example in response.get("content", {}).get("application/json", {}).get("examples", {}).values()
    ]
    recorded = [example["body"] for path in EXAMPLES.glob("*.json") for example in json.loads(path.read_text())]
    assert len(shown) == len(recorded)
    assert all(body in shown for body in recorded)
