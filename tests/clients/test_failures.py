"""A failure carries what its call may have cost, within this process and to others."""

from __future__ import annotations

import json

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError

from routes.documentation import error_classes
from services import request_context
from services.cache.failure_text import deserialize, serialize
from services.clients.http import Transport
from services.clients.retries import FIRST_DELAY, Backoff, Retries
from services.clock import Clock
from services.errors import (
    Charge,
    CreatorNotFoundError,
    ProviderError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RetryStrategy,
)
from services.request_context import RequestContext

CLASSES = [ProviderError, *(each for each in error_classes() if issubclass(each, ProviderError))]
URL = "https://api.modash.io/v1/anything"
PREVIOUS_FORM = {
    "message": "late",
    "provider": "modash",
    "hint": None,
    "reference": None,
    "retry_after": 7,
    "words": None,
    "class": "ProviderTimeoutError",
    "remedy": "TRY_AGAIN",
    "cause": "provider_timeout",
}


@pytest.mark.parametrize(("left", "may_wait"), [(FIRST_DELAY / 2, False), (FIRST_DELAY + 0.01, True)])
def test_a_try_that_would_begin_after_the_deadline_is_not_waited_for(clock, left, may_wait):
    backoff = Backoff(clock, deadline=clock.monotonic() + left)

    assert (backoff.wait(), len(clock.waits)) == (may_wait, int(may_wait))


def test_the_second_wait_is_twice_as_long_as_the_first_and_no_two_callers_wait_alike(clock):
    for _ in range(20):
        backoff = Backoff(clock, deadline=clock.monotonic() + 60)
        assert [backoff.wait() for _ in range(3)] == [True, True, False]
    firsts, seconds = clock.waits[::2], clock.waits[1::2]

    assert all(FIRST_DELAY / 2 <= wait <= FIRST_DELAY for wait in firsts)
    assert all(FIRST_DELAY <= wait <= 2 * FIRST_DELAY for wait in seconds)
    assert len(set(firsts)) > 1 < len(set(seconds))


def test_a_try_that_would_begin_after_the_end_of_its_request_is_not_waited_for(clock):
    outer = request_context.current.set(RequestContext(started_at=0.0, seconds=FIRST_DELAY / 2))
    try:
        backoff = Retries(budget=60.0, clock=clock).begin()
    finally:
        request_context.current.reset(outer)

    assert (backoff.wait(), clock.waits) == (False, [])


@pytest.mark.parametrize("charge", Charge)
@pytest.mark.parametrize("class_", CLASSES)
def test_a_failure_of_every_class_reaches_another_process_with_its_charge(class_, charge):
    sent = class_("no", provider="modash", hint="h", reference="r", retry_after=3, charge=charge, words="w")

    received = deserialize(serialize(sent))

    assert type(received) is class_
    names = ("message", "provider", "hint", "reference", "retry_after", "words", "code", "charge", "retry_strategy")
    assert [getattr(received, name) for name in names] == [getattr(sent, name) for name in names]


@pytest.mark.parametrize("class_", CLASSES)
def test_a_call_that_is_not_sent_because_of_a_failure_costs_nothing(class_):
    failure = class_("no", provider="modash", charge=Charge.UNKNOWN)

    unsent = failure.unsent(retry_after=4)

    assert (unsent.charge, unsent.reached, unsent.retry_after) == (Charge.NONE, False, 4)
    assert failure.charge is Charge.UNKNOWN


def test_a_sent_call_whose_failure_says_nothing_of_its_charge_may_have_been_charged():
    sent = ProviderTimeoutError("late", provider="modash")
    unsent = ProviderTimeoutError("late", provider="modash", reached=False)

    assert (sent.charge, unsent.charge) == (Charge.UNKNOWN, Charge.NONE)


def test_a_row_of_the_previous_form_is_read():
    error = deserialize(json.dumps(PREVIOUS_FORM))

    assert (type(error), error.retry_after) == (ProviderTimeoutError, 7)
    assert (error.retry_strategy, error.charge) == (RetryStrategy.TRY_AGAIN, Charge.UNKNOWN)


def test_a_class_of_another_version_is_a_fault_of_the_provider_with_its_own_code():
    text = serialize(CreatorNotFoundError("no", provider="modash")).replace("CreatorNotFoundError", "OfTomorrowError")

    error = deserialize(text)

    assert (type(error), error.code) == (ProviderUnavailableError, "creator_not_found")


@pytest.mark.parametrize("text", ["", "no JSON", "null", "7", "{}", json.dumps(PREVIOUS_FORM | {"remedy": "x"})])
def test_a_text_that_is_no_failure_is_refused(text):
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        deserialize(text)


UNREACHED = requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "refused")))


@pytest.mark.parametrize(
    ("planned", "charge"),
    [
        ({"body": UNREACHED}, Charge.NONE),
        ({"body": requests.ConnectTimeout("late")}, Charge.NONE),
        ({"body": requests.exceptions.SSLError("no")}, Charge.UNKNOWN),
        ({"body": requests.ConnectionError("cut")}, Charge.UNKNOWN),
        ({"body": requests.ReadTimeout("late")}, Charge.UNKNOWN),
        ({"body": ProtocolError("cut")}, Charge.UNKNOWN),
        ({"status": 302, "headers": {"Location": "https://elsewhere.example/"}}, Charge.NONE),
    ],
    ids=["refused", "no connection in time", "TLS that breaks", "cut", "late", "cut in its midst", "redirected"],
)
def test_the_transport_knows_whether_a_call_was_sent(wire, planned, charge):
    wire.get(URL, **planned)
    transport = Transport("modash", connect_timeout=1, read_timeout=1, connections=1, clock=Clock())

    with pytest.raises(ProviderError) as failure:
        transport.get(URL, params={}, auth=None)

    assert failure.value.charge is charge
