"""No answer of a provider, however damaged, breaks the gateway or makes it return a number that was not sent."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import responses

from services.errors import ProviderError
from services.rendering.csv_cells import BOM
from tests.fuzz.answers import GOOD, KINDS, NOW, Kind, address_of
from tests.fuzz.checks import (
    NOT_READ,
    error_faults,
    is_deep,
    is_pending,
    loosely,
    pending_faults,
    post_faults,
    report_faults,
    settled,
    strict,
    table_faults,
)
from tests.fuzz.damage import many_at_once, one_by_one, raw
from tests.fuzz.faults import Faults, bug_in
from tests.fuzz.insight_checks import insight_faults, trend_faults
from tests.fuzz.share import EVERY
from tests.movable_clock import MovableClock
from tests.support import forget_everything, settings, utc

COMBINATIONS = 750  # for each kind of answer, beside the damages in one place
SEED = 20_260_615
PAUSE = 100_000  # seconds after which no provider is left alone any more
RAW_STATUSES = (200, 400, 429, 500, 503)
HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Retry-After": "120"},
    {"Retry-After": "9" * 400},
    {"Retry-After": "-1"},
    {"X-Business-Use-Case-Usage": '{"1": [{"estimated_time_to_regain_access": 11}]}'},
    {"X-Business-Use-Case-Usage": '{"1": [{"estimated_time_to_regain_access": 1e999}, {}, null], "2": 3}'},
    {"X-Business-Use-Case-Usage": "[" * 20_000},
)
REFUSALS = {"graph refusal", "throttled", "modash refusal"}


class Case(NamedTuple):
    """A damaged answer, what was done to it, and the question to which it is served."""

    damage: str
    answer: bytes
    question: str
    status: int = 200
    headers: Mapping[str, str] = {}

    def __str__(self) -> str:
        served = f"status {self.status}, {self.headers!r:.80}: {self.answer!r:.400}"
        return f"{self.damage:.500}\n    GET {self.question}, served {served}"


class Sent(dict):
    """What a case was sent, by address; good answers are always the same.

    A part of an earlier request that failed may still be under way, and the next request waits for that call instead
    of making its own. Its good answer is then not among the recorded ones.
    """

    def __missing__(self, address: str) -> Any:
        return strict(GOOD[address])


class Provider:
    """Both providers: the case's answer at its address, good ones elsewhere; records what could be read of it."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.serve(Case("", b"", ""))

    def serve(self, case: Case) -> None:
        self.case = case
        self.sent = Sent()

    def __call__(self, request: Any) -> tuple[int, Mapping[str, str], bytes]:
        address = address_of(request.url)
        if address != self.address and (self.address != "instagram" or "modash" in request.url):
            self.sent[address] = strict(GOOD[address])
            return 200, {}, GOOD[address]
        # A report's body counts whatever its status, every other answer only if it is a success.
        counts = self.case.status == 200 or address == "report"
        self.sent[address] = loosely(self.case.answer) if counts else None
        return self.case.status, self.case.headers, self.case.answer


def cases_of(name: str, kind: Kind) -> Iterator[Case]:
    """Everything that can be damaged in one place, the damaged text, and combinations."""
    random = Random(f"{SEED} {name}")
    combined = (many_at_once(kind.body, random) for _ in range(COMBINATIONS))
    for what, answer in itertools.chain(one_by_one(kind.body), combined):
        yield Case(what, answer, random.choice(kind.questions), random.choice(kind.statuses), random.choice(HEADERS))
    for what, answer in raw(kind.body):
        yield Case(what, answer, random.choice(kind.questions), random.choice(RAW_STATUSES), random.choice(HEADERS))


def ask(client: Any, question: str, kind: Kind) -> Any:
    """Ask a question; where the answer in question is a balance, read that and ask again."""
    response = client.get(question)
    if kind.address == "balance":
        with suppress(ProviderError):  # A worker reads it, and tries again later.
            client.application.extensions["services"].credit_balance.read()
        response = client.get(question)
    return response


def faults_of(response: Any, provider: Provider, contract: Any) -> Iterator[str]:
    """Everything that is wrong with a reply."""
    path = urlsplit(provider.case.question).path
    described = contract["paths"][path]["get"]["responses"].get(str(response.status_code))
    if described is None or response.status_code == 500:
        yield f"status {response.status_code}"
    elif response.mimetype == "text/csv":
        yield from table_faults(response.get_data().decode().removeprefix(BOM))
    else:
        try:
            body = settled(strict(response.get_data()))
        except ValueError as error:
            yield f"the reply is not JSON: {error}"
            return
        if response.status_code >= 400:
            yield from error_faults(body, response, described["description"])
        if not any(map(is_deep, provider.sent.values())):
            yield from untruths_of(path, response.status_code, body, provider)


def untruths_of(path: str, status: int, body: Any, provider: Provider) -> Iterator[str]:
    """What differs between a reply and the answers that it was made from."""
    question, sent = provider.case.question, provider.sent
    if is_pending(sent.get("report")) != (status == 202):
        yield f"status {status} for a report that is{'' if status == 202 else ' not'} ready"
    elif status >= 400:
        given = sent.get(provider.address)
        if isinstance(given, dict) and isinstance(given.get("data"), list) and "error" not in given:
            yield f"{body['code']}, though there is data"
    elif status == 202:
        yield from pending_faults(body)
    elif path == "/performance-data":
        yield from report_faults(body, sent["report"], sent.get("balance", NOT_READ))
    elif path == "/top-posts":
        yield from post_faults(body, sent["media"], limit=2 if "limit=2" in question else 50)
    elif path == "/account-insights":
        yield from insight_faults(question, body, sent)
    else:
        yield from trend_faults(body, sent)


@pytest.fixture(autouse=True)
def looks_before_each_call(monkeypatch):
    """Have a gateway notice at once that its throttles were deleted with everything else."""
    monkeypatch.setattr("services.clients.guard.shared_throttles.LOOK_EVERY", 0.0)


@pytest.mark.parametrize("name", KINDS)
def test_no_damaged_answer_breaks_the_gateway_or_makes_it_invent_a_number(capsys, make_client, wire, caplog, name):
    kind, clock, faults = KINDS[name], MovableClock(utc(NOW)), Faults()
    provider, statuses = Provider(kind.address), set()
    wire.add_callback(responses.GET, re.compile(r"https://.*"), callback=provider)
    config = settings(provider_parallel=1, log_level="ERROR", **kind.settings)
    client = make_client(config, clock=clock)
    contract = client.get("/openapi.json").get_json()
    for case in itertools.islice(cases_of(name, kind), None, None, EVERY):
        provider.serve(case)
        clock.wait(PAUSE)
        clock.set(utc(NOW))  # The days of the questions must not move into the past.
        forget_everything(client.application)
        response = ask(client, case.question, kind)
        statuses.add(response.status_code)
        for fault in faults_of(response, provider, contract):
            faults.add(f"{fault}: {bug_in(caplog.records)}" if response.status_code == 500 else fault, str(case))
        wire.calls.reset()
    caplog.clear()
    capsys.readouterr()  # Each bug was logged with every case that it showed itself in.

    assert not faults, str(faults)
    # A damaged throttle is another failure of the whole request; nothing in it can be an answer.
    assert statuses & ({429} if name == "throttled" else {200, 202})


@pytest.mark.parametrize("name", [name for name in KINDS if name not in REFUSALS])
def test_the_answers_that_are_damaged_are_good_ones(make_client, wire, name):
    kind, provider = KINDS[name], Provider("none")
    wire.add_callback(responses.GET, re.compile(r"https://.*"), callback=provider)
    client = make_client(settings(**kind.settings), clock=MovableClock(utc(NOW)))
    contract = client.get("/openapi.json").get_json()
    for question in kind.questions:
        provider.serve(Case("none", b"", question))
        forget_everything(client.application)

        response = ask(client, question, kind)

        assert response.status_code in {200, 202}
        assert list(faults_of(response, provider, contract)) == []
        assert kind.address in provider.sent


def test_there_are_twenty_thousand_cases():
    assert sum(1 for name, kind in KINDS.items() for _ in cases_of(name, kind)) > 20_000
