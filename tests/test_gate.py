"""The gate before the providers: what throttles or keeps failing is left alone, then tried with one call."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import requests

from services import graph_client, modash_client
from services.clients.breaker import BreakerState
from services.clients.gate import Gate
from services.clients.graph import Account
from services.errors import (
    ObjectNotFoundError,
    PermissionMissingError,
    ProviderBlockedError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    Remedy,
    TokenExpiredError,
    TokenInvalidError,
)
from tests.support import GRAPH, MODASH, TOKEN, MovableClock, graph_error, settings, utc

ANY = re.compile(rf"{GRAPH}/.*")
ANY_OF_INSTAGRAM = re.compile(r"https://graph\.instagram\.com/.*")
REPORT = f"{MODASH}/v1/instagram/performance-data"
TOP_POSTS = "/top-posts?time_range=7d"
HTML = "<html>Sorry, something went wrong.</html>"
ONE, OTHER = Account("1", TOKEN), Account("2", TOKEN)
FAULTS = (ProviderUnavailableError, ProviderTimeoutError, ProviderResponseError)


@pytest.fixture
def clock():
    return MovableClock(utc("2026-06-15T18:00:00"))


@pytest.fixture
def gate(clock):
    return Gate("instagram", clock)


@pytest.fixture
def graph(clock, gate):
    return graph_client(settings(), clock, gate=gate)


def pass_(clock, seconds):
    clock.wait(seconds)


def usage(minutes, percent=100):
    entry = f'{{"type": "instagram", "call_count": {percent}, "estimated_time_to_regain_access": {minutes}}}'
    return {"X-Business-Use-Case-Usage": f'{{"1": [{entry}]}}'}


def outcome(response):
    body = response.get_json()
    return response.status_code, body["code"], body["retry_after"]


def failure(kind=ProviderTimeoutError, **more):
    return kind("It failed.", provider="instagram", **more)


def fail(gate, error=None, account="1", times=1):
    """Let calls pass that fail."""
    for _ in range(times):
        gate.failed(gate.enter(account), error or failure())


def refusal(gate, account="1"):
    with pytest.raises(ProviderError) as caught:
        gate.enter(account)
    return caught.value


def asked(graph, account=ONE):
    """Ask for an account's profile, and return how that ends."""
    try:
        graph.profile(account)
    except ProviderError as error:
        return error
    return None


# A provider that fails


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"body": HTML}, (502, "provider_response_invalid", None)),
        ({"body": requests.ReadTimeout()}, (504, "provider_timeout", 1)),
        ({"body": requests.ConnectTimeout()}, (503, "provider_unavailable", 1)),
        ({"json": graph_error(2), "status": 500}, (503, "provider_unavailable", 1)),
    ],
    ids=["nonsense", "late", "unreached", "faulty"],
)
def test_what_failed_five_times_in_a_row_is_not_called_and_fails_with_its_own_code(
    make_client, clock, wire, answer, expected
):
    client = make_client(settings(), clock=clock)
    wire.get(ANY, **answer)

    replies = [outcome(client.get(TOP_POSTS)) for _ in range(8)]

    assert {reply[:2] for reply in replies} == {expected[:2]}
    assert replies[5:] == [expected] * 3
    assert len(wire.calls) == 5


def test_after_the_pause_one_call_probes_and_each_that_fails_makes_the_next_pause_longer(graph, clock, wire):
    wire.get(ANY, body=HTML)
    for _ in range(5):
        asked(graph)

    for pause in [1, 2, 4, 8, 8]:
        pass_(clock, pause - 0.01)
        asked(graph)
        calls = len(wire.calls)
        pass_(clock, 0.01)
        assert asked(graph).reached
        assert not asked(graph).reached
        assert len(wire.calls) == calls + 1


def test_a_probe_that_is_answered_lets_everybody_through_again(graph, gate, clock, wire):
    wire.get(ANY, body=HTML)
    for _ in range(5):
        asked(graph)
    pass_(clock, 1)
    wire.replace("GET", ANY, json={"id": "1"})

    assert [asked(graph), asked(graph, OTHER), asked(graph)] == [None] * 3
    assert gate.breakers() == [BreakerState("", "closed", 0.0, None)]


def test_whoever_refuses_lives(graph, wire):
    wire.get(ANY, body=HTML)
    for _ in range(4):
        asked(graph)
    wire.replace("GET", ANY, json=graph_error(100, 2108006), status=400)
    asked(graph)
    wire.replace("GET", ANY, body=HTML)

    assert all(asked(graph).reached for _ in range(5))


@pytest.mark.parametrize("remedy", [Remedy.SHRINK, Remedy.SPLIT])
def test_what_may_pass_for_a_smaller_request_is_no_failing_provider(gate, remedy):
    fail(gate, failure(ProviderUnavailableError, remedy=remedy), times=20)

    assert gate.enter("1")


def test_a_refusal_of_the_gate_is_not_tried_again(clock, gate, wire):
    graph = graph_client(settings(retry_budget=60.0), clock, gate=gate)
    wire.get(ANY, json=graph_error(2), status=500)

    asked(graph)
    waits = len(clock.waits)
    error = asked(graph)

    assert not error.reached
    assert len(wire.calls) == 5
    assert len(clock.waits) == waits + 2
    assert not asked(graph).reached
    assert len(clock.waits) == waits + 2


@pytest.mark.parametrize("kind", FAULTS)
def test_each_refusal_is_a_fresh_failure_that_says_what_opened_the_breaker(gate, kind):
    fail(gate, failure(kind, hint="Wait.", reference="Atrace", words="Oh."), times=5)

    first, second = refusal(gate), refusal(gate, "2")

    assert first is not second
    assert (type(first), first.message, first.hint, first.reference) == (kind, "It failed.", "Wait.", "Atrace")
    assert (first.words, first.reached, first.remedy) == ("Oh.", False, Remedy.STOP)


# One probe


@pytest.mark.parametrize("error", [failure(), failure(TokenInvalidError)], ids=["provider", "account"])
def test_of_many_that_come_at_once_one_probes(gate, clock, error):
    fail(gate, error, times=5 if isinstance(error, ProviderTimeoutError) else 1)
    pass_(clock, 5)
    barrier = Barrier(16)

    def come(_):
        barrier.wait()
        try:
            return gate.enter("1")
        except ProviderError:
            return None

    with ThreadPoolExecutor(16) as pool:
        entries = [entry for entry in pool.map(come, range(16)) if entry]

    assert len(entries) == 1


def test_a_probe_that_never_reports_back_is_given_up_after_a_minute(gate, clock):
    fail(gate, times=5)
    pass_(clock, 1)
    lost = gate.enter("1")

    pass_(clock, 59)
    assert refusal(gate).retry_after == 1
    pass_(clock, 1)
    second = gate.enter("1")
    refusal(gate)
    gate.failed(lost, failure())
    assert gate.breakers()[0].state == "half_open"
    gate.failed(second, failure())
    assert gate.breakers() == [BreakerState("", "open", 2.0, "provider_timeout")]


def test_a_probe_that_ends_in_a_bug_leaves_its_turn_to_the_next(gate, clock):
    fail(gate, times=5)
    pass_(clock, 1)

    with pytest.raises(KeyError), gate.passing("1"):
        raise KeyError

    assert gate.enter("1")


def test_calls_that_were_under_way_do_not_make_the_pause_longer(gate, clock):
    entries = [gate.enter("1") for _ in range(32)]

    for entry in entries:
        gate.failed(entry, failure())

    pass_(clock, 1)
    assert gate.enter("1")


def test_while_it_is_open_nothing_is_done_that_can_wait_until_a_probe_is_due(gate, clock):
    fail(gate, times=5)

    assert not gate.may_refresh("1")
    pass_(clock, 1)
    assert gate.may_refresh("1")
    gate.enter("1")
    assert not gate.may_refresh("1")


# An account that fails


@pytest.mark.parametrize(("code", "subcode"), [(190, 463), (190, None), (368, None)])
def test_a_dead_token_is_tried_once_in_each_pause_and_stops_no_other_account(graph, clock, wire, code, subcode):
    wire.get(ANY, json=graph_error(code, subcode), status=400)
    first = asked(graph)

    for pause in [5, 10, 15, 15]:
        calls = len(wire.calls)
        pass_(clock, pause - 0.01)
        refused = asked(graph)
        assert (type(refused), refused.message, refused.hint) == (type(first), first.message, first.hint)
        assert refused.retry_after == first.retry_after
        assert len(wire.calls) == calls
        pass_(clock, 0.01)
        asked(graph)
        asked(graph)
        assert len(wire.calls) == calls + 1
    assert asked(graph, OTHER).reached


def test_a_token_that_is_accepted_again_lets_its_account_through(graph, clock, wire):
    wire.get(ANY, json=graph_error(190), status=400)
    asked(graph)
    pass_(clock, 5)
    wire.replace("GET", ANY, json={"id": "1"})

    assert [asked(graph), asked(graph)] == [None, None]


@pytest.mark.parametrize("kind", [PermissionMissingError, ObjectNotFoundError])
def test_what_concerns_one_request_stops_no_account(gate, kind):
    fail(gate, failure(kind), times=20)

    assert gate.enter("1")


@pytest.mark.parametrize("kind", [TokenExpiredError, TokenInvalidError, ProviderBlockedError])
def test_without_an_account_a_refused_token_stops_nobody(gate, kind):
    fail(gate, failure(kind), account="", times=3)

    assert gate.enter("")
    assert gate.enter("1")


def test_faults_of_one_account_hold_back_nobody_else_while_others_are_answered(gate, clock):
    gate.succeeded(gate.enter("2"), {})

    fail(gate, account="1", times=5)

    assert not refusal(gate, "1").reached
    assert gate.enter("2")
    assert [each.account for each in gate.breakers() if each.state == "open"] == ["1"]
    pass_(clock, 5)
    gate.succeeded(gate.enter("1"), {})
    fail(gate, account="1", times=4)
    assert gate.enter("1")


def test_faults_of_three_accounts_are_the_provider_s(gate):
    gate.succeeded(gate.enter("9"), {})

    for account in "1231231":
        fail(gate, account=account)

    assert not refusal(gate, "9").reached


def test_faults_are_the_provider_s_when_nobody_else_was_answered_lately(gate, clock):
    gate.succeeded(gate.enter("2"), {})
    pass_(clock, 60)

    fail(gate, account="1", times=5)

    assert not refusal(gate, "2").reached


def test_a_token_that_is_accepted_in_the_query_is_not_refused(clock, wire):
    graph = graph_client(settings(), clock)
    refused = wire.get(ANY_OF_INSTAGRAM, json=graph_error(190), status=400)
    wire.get(ANY_OF_INSTAGRAM, json={"user_id": "1"})

    assert asked(graph, Account("1", "IGAAtoken", "instagram")) is None
    assert refused.call_count == 1
    assert graph.gate.breakers() == [BreakerState("", "closed", 0.0, None)]


def test_a_status_page_sees_the_breakers_that_are_not_closed(gate, clock):
    fail(gate, failure(TokenExpiredError), account="1")
    gate.enter("2")
    pass_(clock, 2)

    assert gate.breakers() == [
        BreakerState("", "closed", 0.0, None),
        BreakerState("1", "open", 3.0, "token_expired"),
    ]


# Throttling


def test_until_the_time_that_instagram_gave_nothing_is_called_and_the_wait_counts_down(make_client, clock, wire):
    client = make_client(settings(), clock=clock)
    wire.get(ANY, json=graph_error(80002), status=400, headers=usage(11))

    waits = []
    for seconds in [0, 0, 59.5, 600, 0.5]:
        pass_(clock, seconds)
        waits.append(outcome(client.get(TOP_POSTS)))

    assert waits == [(429, "provider_rate_limited", wait) for wait in (660, 660, 601, 1, 660)]
    assert len(wire.calls) == 2


@pytest.mark.parametrize(
    ("code", "whole_app"), [(4, True), (341, True), (613, True), (17, False), (32, False), (80001, False)]
)
def test_a_limit_of_the_app_stops_everybody_and_one_of_an_account_only_that(graph, gate, wire, code, whole_app):
    wire.get(ANY, json=graph_error(code), status=400, headers=usage(11, percent=10))
    asked(graph)

    assert not asked(graph).reached
    assert asked(graph, OTHER).reached is not whole_app
    assert {each.account for each in gate.usages() if each.blocked_until} == ({""} if whole_app else {"1", "2"})


def test_status_429_without_a_code_stops_everybody(graph, wire):
    wire.get(ANY, body="", status=429)
    asked(graph)

    refused = asked(graph, OTHER)

    assert (type(refused), refused.reached, refused.whole_app) == (ProviderRateLimitedError, False, True)


def test_where_no_time_was_given_one_call_probes_every_20_seconds(graph, clock, wire):
    wire.get(ANY, json=graph_error(80002), status=400)
    asked(graph)

    for number in range(1, 4):
        pass_(clock, 19)
        assert asked(graph).retry_after == 881
        assert len(wire.calls) == number
        pass_(clock, 1)
        assert (asked(graph).retry_after, asked(graph).retry_after) == (900, 900)
        assert len(wire.calls) == number + 1


def test_a_probe_that_is_answered_ends_a_block_without_a_time(graph, clock, wire):
    wire.get(ANY, json=graph_error(4), status=400)
    asked(graph)
    pass_(clock, 20)
    wire.replace("GET", ANY, json={"id": "1"})

    assert [asked(graph), asked(graph, OTHER), asked(graph)] == [None] * 3


def test_a_probe_that_says_nothing_about_the_limit_waits_for_the_next(gate, clock):
    fail(gate, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, 20)
    fail(gate)

    assert refusal(gate).retry_after == 880
    pass_(clock, 20)
    assert gate.enter("1")


def test_an_answered_call_that_reaches_the_limit_blocks_too(graph, gate, clock, wire):
    wire.get(ANY, json={"id": "1"}, headers=usage(3))

    assert asked(graph) is None
    assert (asked(graph).retry_after, asked(graph).code) == (180, "provider_rate_limited")
    assert not gate.may_refresh("1")
    pass_(clock, 180)
    assert asked(graph) is None


def test_a_guess_does_not_replace_the_time_that_instagram_gave(gate, clock):
    told, guessed = (failure(ProviderRateLimitedError, retry_after=seconds) for seconds in (660, 900))
    told.wait_told = True
    entries = [gate.enter("1"), gate.enter("1")]

    gate.failed(entries[0], told)
    gate.failed(entries[1], guessed)

    pass_(clock, 30)
    assert refusal(gate).retry_after == 630


def test_a_clock_that_is_set_back_makes_no_block_longer(gate, clock):
    fail(gate, failure(ProviderRateLimitedError, retry_after=900))

    clock.set(clock.now() - timedelta(days=365))
    clock.wait(900)

    assert gate.enter("1")


# Modash


def test_modash_is_left_alone_like_instagram_and_nobody_is_told_of_a_charge(clock, wire):
    modash = modash_client(settings(), clock)
    wire.get(REPORT, body=HTML)
    errors = []
    for _ in range(6):
        with pytest.raises(ProviderResponseError) as caught:
            modash.performance_data("nasa")
        errors.append(caught.value)

    assert len(wire.calls) == 5
    assert "charged" in errors[4].hint
    assert "charged" not in errors[5].hint
    assert not errors[5].reached


@pytest.mark.parametrize(("headers", "seconds"), [({}, 2), ({"Retry-After": "42"}, 42)])
def test_modash_is_not_called_while_it_asks_to_slow_down(clock, wire, headers, seconds):
    modash = modash_client(settings(), clock)
    wire.get(REPORT, status=429, headers=headers)

    for wait, calls in [(0, 1), (seconds - 1, 1), (1, 2)]:
        pass_(clock, wait)
        with pytest.raises(ProviderRateLimitedError):
            modash.performance_data("nasa")
        assert len(wire.calls) == calls
