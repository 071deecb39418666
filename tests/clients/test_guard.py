"""The guard before the providers: throttles and open breakers stop calls, and single probes end them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import requests

from services.clients.graph.errors import INSTAGRAM
from services.clients.graph.models import Account
from services.clients.guard import guard as guard_module
from services.clients.guard.attribution import RECENT, FaultAttribution
from services.clients.guard.breaker import ACCOUNT_PAUSES, BreakerState
from services.clients.guard.guard import MAX_RETRY_AFTER, NO_ACCOUNT, Guard
from services.clients.guard.throttle import PROBED_EVERY
from services.clients.guard.usage import APP, Usage
from services.errors import (
    DeadlineExceededError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ProviderBlockedError,
    ProviderError,
    ProviderRateLimitedError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RetryStrategy,
    TokenExpiredError,
    TokenInvalidError,
)
from services.wiring.provider_clients import graph_client, modash_client
from tests.support import GRAPH, MODASH, TOKEN, graph_error, settings

ANY = re.compile(rf"{GRAPH}/.*")
ANY_OF_INSTAGRAM = re.compile(r"https://graph\.instagram\.com/.*")
REPORT = f"{MODASH}/v1/instagram/performance-data"
TOP_POSTS = "/top-posts?time_range=7d"
HTML = "<html>Sorry, something went wrong.</html>"
ONE, OTHER = Account("1", TOKEN), Account("2", TOKEN)
FAULTS = (ProviderUnavailableError, ProviderTimeoutError, ProviderResponseError)


def test_the_account_that_was_answered_last_shows_that_the_provider_is_up():
    attribution = FaultAttribution()
    for account in "abc":
        attribution.answered(account, 0.0)

    attribution.answered("d", RECENT + 1)

    assert not attribution.is_provider_fault("e", RECENT + 2)


def test_an_account_that_is_answered_again_still_shows_that_the_provider_is_up():
    attribution = FaultAttribution()
    for account in "abc":
        attribution.answered(account, 0.0)
    for account in "ad":
        attribution.answered(account, RECENT - 1)

    assert not attribution.is_provider_fault("d", RECENT + 1)


def test_an_account_that_was_answered_before_two_others_still_shows_that_the_provider_is_up():
    attribution = FaultAttribution()
    for account in "abc":
        attribution.answered(account, 0.0)

    assert [attribution.is_provider_fault(account, 1.0) for account in "bc"] == [False, False]


@pytest.fixture
def guard(clock):
    return Guard(INSTAGRAM, clock, places=32)


def test_the_end_of_each_call_that_was_sent_is_reported_once_with_its_failure(clock):
    ends, rejected = [], failure(TokenExpiredError)
    guard = Guard(INSTAGRAM, clock, places=1, on_end=lambda account, error: ends.append((account, error)))

    with guard.call("1"):
        pass
    for _ in range(2):  # The second one is refused.
        with pytest.raises(TokenExpiredError), guard.call("1"):
            raise rejected
    with pytest.raises(DeadlineExceededError), guard.call("2"):
        raise failure(DeadlineExceededError)

    assert ends == [("1", None), ("1", rejected)]


@pytest.fixture
def graph(clock, guard):
    return graph_client(settings(), clock, guard=guard)


def pass_(clock, seconds):
    clock.wait(seconds)


def usage(minutes, percent=100):
    permit = f'{{"type": "instagram", "call_count": {percent}, "estimated_time_to_regain_access": {minutes}}}'
    return {"X-Business-Use-Case-Usage": f'{{"1": [{permit}]}}'}


def outcome(response):
    body = response.get_json()
    return response.status_code, body["code"], body["retry_after"]


def failure(kind=ProviderTimeoutError, **more):
    return kind("It failed.", provider="instagram", **more)


def fail(guard, error=None, account="1", times=1):
    """Let calls pass that fail."""
    for _ in range(times):
        guard.failed(guard.acquire(account), error or failure())


def refusal(guard, account="1"):
    with pytest.raises(ProviderError) as caught:
        guard.acquire(account)
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


def test_a_probe_that_is_answered_lets_everybody_through_again(graph, guard, clock, wire):
    wire.get(ANY, body=HTML)
    for _ in range(5):
        asked(graph)
    pass_(clock, 1)
    wire.replace("GET", ANY, json={"id": "1"})

    assert [asked(graph), asked(graph, OTHER), asked(graph)] == [None] * 3
    assert guard.breakers() == [BreakerState("", "closed", 0.0, None)]


def test_a_breaker_that_opens_again_begins_with_the_first_pause_and_its_own_probe(guard, clock):
    for _ in range(2):
        fail(guard, times=5)
        pass_(clock, 1)
        fail(guard)  # The probe, after which the pause is the second one.
        pass_(clock, 2)
        guard.succeeded(guard.acquire("1"))

    fail(guard, times=5)

    assert guard.breakers()[0].opens_again_in == 1
    pass_(clock, 3)
    assert (guard.breakers()[0].state, guard.breakers()[0].opens_again_in) == ("half_open", 0)
    assert guard.acquire("1")


def test_a_refusal_proves_that_the_provider_is_up(graph, wire):
    wire.get(ANY, body=HTML)
    for _ in range(4):
        asked(graph)
    wire.replace("GET", ANY, json=graph_error(100, 2108006), status=400)
    asked(graph)
    wire.replace("GET", ANY, body=HTML)

    assert all(asked(graph).reached for _ in range(5))


@pytest.mark.parametrize("retry_strategy", [RetryStrategy.SHRINK, RetryStrategy.SPLIT])
def test_what_may_pass_for_a_smaller_request_is_no_failing_provider(guard, retry_strategy):
    fail(guard, failure(ProviderUnavailableError, retry_strategy=retry_strategy), times=20)

    assert guard.acquire("1")


def test_code_1_counts_as_a_fault_only_for_a_call_that_cannot_ask_for_less(graph, guard, wire):
    wire.get(ANY, json=graph_error(1), status=500)
    for _ in range(20):
        with pytest.raises(ProviderUnavailableError):
            graph.account_insights(ONE, ("reach", "views"), since=0, until=86_399, in_parts=True)
    assert guard.breakers() == [BreakerState("", "closed", 0.0, None)]

    errors = [asked(graph) for _ in range(6)]

    assert [error.reached for error in errors] == [True] * 5 + [False]
    assert guard.breakers() == [BreakerState("", "open", 1.0, "provider_unavailable")]
    assert len(wire.calls) == 25


def test_a_refusal_by_the_guard_is_not_repeated(clock, guard, wire):
    graph = graph_client(settings(retry_budget=60.0), clock, guard=guard)
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
def test_each_refusal_is_a_fresh_failure_that_says_what_opened_the_breaker(guard, kind):
    fail(guard, failure(kind, hint="Wait.", reference="Atrace", words="Oh."), times=5)

    first, second = refusal(guard), refusal(guard, "2")

    assert first is not second
    assert (type(first), first.message, first.hint, first.reference) == (kind, "It failed.", "Wait.", "Atrace")
    assert (first.words, first.reached, first.retry_strategy) == ("Oh.", False, RetryStrategy.STOP)


def test_a_probe_that_fails_otherwise_says_what_the_next_call_is_refused_with(guard, clock):
    fail(guard, times=5)
    pass_(clock, 1)

    fail(guard, failure(ProviderUnavailableError))

    assert type(refusal(guard)) is ProviderUnavailableError


# One probe


@pytest.mark.parametrize("error", [failure(), failure(TokenInvalidError)], ids=["provider", "account"])
def test_of_many_that_come_at_once_one_probes(guard, clock, error):
    fail(guard, error, times=5 if isinstance(error, ProviderTimeoutError) else 1)
    pass_(clock, 5)
    barrier = Barrier(16)

    def come(_):
        barrier.wait()
        try:
            return guard.acquire("1")
        except ProviderError:
            return None

    with ThreadPoolExecutor(16) as pool:
        entries = [permit for permit in pool.map(come, range(16)) if permit]

    assert len(entries) == 1


def test_a_probe_that_never_reports_back_is_given_up_after_a_minute(guard, clock):
    fail(guard, times=5)
    pass_(clock, 1)
    lost = guard.acquire("1")

    pass_(clock, 59)
    assert refusal(guard).retry_after == 1
    pass_(clock, 1)
    second = guard.acquire("1")
    refusal(guard)
    guard.failed(lost, failure())
    assert guard.breakers()[0].state == "half_open"
    guard.failed(second, failure())
    assert guard.breakers() == [BreakerState("", "open", 2.0, "provider_timeout")]


def test_a_probe_that_ends_in_a_bug_leaves_its_turn_to_the_next(guard, clock):
    fail(guard, times=5)
    pass_(clock, 1)

    with pytest.raises(KeyError), guard.call("1"):
        raise KeyError

    assert guard.acquire("1")


def test_calls_that_were_under_way_do_not_make_the_pause_longer(guard, clock):
    entries = [guard.acquire("1") for _ in range(32)]

    for permit in entries:
        guard.failed(permit, failure())

    pass_(clock, 1)
    assert guard.acquire("1")


def test_while_it_is_open_nothing_is_done_that_can_wait_until_a_probe_is_due(guard, clock):
    fail(guard, times=5)

    assert not guard.may_refresh("1")
    pass_(clock, 1)
    assert guard.may_refresh("1")
    guard.acquire("1")
    assert not guard.may_refresh("1")


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


def test_a_token_whose_probe_met_a_limit_is_tried_again_after_the_limit(guard, clock):
    fail(guard, failure(TokenExpiredError))
    pass_(clock, 5)
    fail(guard, failure(ProviderRateLimitedError, retry_after=10, wait_reported=True))

    pass_(clock, 10)

    assert guard.acquire("1")


def test_a_token_whose_probe_met_a_fault_is_left_alone_for_longer(guard, clock):
    guard.succeeded(guard.acquire("2"))
    fail(guard, failure(TokenExpiredError))
    pass_(clock, 5)

    fail(guard)

    pass_(clock, 9)
    assert type(refusal(guard)) is ProviderTimeoutError
    pass_(clock, 1)
    assert guard.acquire("1")


def test_of_a_limit_and_a_dead_token_the_limit_is_named(guard):
    fail(guard, failure(TokenExpiredError))
    fail(guard, failure(ProviderRateLimitedError, retry_after=900, whole_app=True), account="2")

    assert type(refusal(guard)) is ProviderRateLimitedError


def test_of_an_accounts_limit_and_a_failing_provider_the_limit_is_named(guard, clock):
    fail(guard, times=4)
    fifth = guard.acquire("1")
    fifth.usages = [Usage("1", 100, {"call_count": 100}, clock.timestamp() + 60, clock.timestamp())]
    guard.failed(fifth, failure())

    assert guard.breakers()[0].state == "open"
    assert (refusal(guard).code, refusal(guard).retry_after) == ("provider_rate_limited", 60)


def test_a_token_whose_probe_lacks_a_permission_is_accepted_again(guard, clock):
    fail(guard, failure(TokenExpiredError))
    pass_(clock, 5)

    fail(guard, failure(PermissionDeniedError))

    assert [guard.acquire("1") for _ in range(2)]


@pytest.mark.parametrize("kind", [PermissionDeniedError, ObjectNotFoundError])
def test_what_concerns_one_request_stops_no_account(guard, kind):
    fail(guard, failure(kind), times=20)

    assert guard.acquire("1")


@pytest.mark.parametrize("kind", [TokenExpiredError, TokenInvalidError, ProviderBlockedError])
def test_without_an_account_a_refused_token_stops_no_other_call(guard, kind):
    fail(guard, failure(kind), account="", times=3)

    assert guard.acquire("")
    assert guard.acquire("1")


def test_faults_of_one_account_stop_no_other_while_others_are_answered(guard, clock):
    guard.succeeded(guard.acquire("2"))

    fail(guard, account="1", times=5)

    assert not refusal(guard, "1").reached
    assert guard.acquire("2")
    assert [each.account for each in guard.breakers() if each.state == "open"] == ["1"]
    pass_(clock, 5)
    guard.succeeded(guard.acquire("1"))
    fail(guard, account="1", times=4)
    assert guard.acquire("1")
    fail(guard, account="1")
    assert not refusal(guard, "1").reached


def test_faults_of_three_accounts_are_the_provider_s(guard):
    guard.succeeded(guard.acquire("9"))

    for account in "1231231":
        fail(guard, account=account)

    assert not refusal(guard, "9").reached


def test_faults_are_the_provider_s_when_no_other_account_was_answered_recently(guard, clock):
    guard.succeeded(guard.acquire("2"))
    pass_(clock, 60)

    fail(guard, account="1", times=5)

    assert not refusal(guard, "2").reached


def test_an_answer_to_a_call_without_an_account_shows_no_account_that_works(guard):
    guard.succeeded(guard.acquire(NO_ACCOUNT))

    fail(guard, times=5)

    assert (guard.breakers()[0].account, guard.breakers()[0].state) == ("", "open")


def test_an_answer_in_between_ends_the_count_of_failing_accounts(guard):
    guard.succeeded(guard.acquire("9"))
    for account in "12":
        fail(guard, account=account)
    guard.succeeded(guard.acquire("9"))

    fail(guard, account="3", times=5)

    assert guard.acquire("9")
    assert not refusal(guard, "3").reached


def test_an_account_that_fails_now_does_not_show_that_the_provider_answers(guard):
    guard.succeeded(guard.acquire("1"))

    fail(guard, account="1", times=5)

    assert not refusal(guard, "2").reached


def test_accounts_that_fail_now_do_not_show_each_other_that_the_provider_answers(guard):
    for account in "12":
        guard.succeeded(guard.acquire(account))

    fail(guard, account="1", times=1)
    fail(guard, account="2", times=5)

    assert not refusal(guard, "9").reached


def test_a_failed_probe_counts_for_the_provider_whichever_account_made_it(guard, clock):
    guard.succeeded(guard.acquire("2"))
    fail(guard, account=NO_ACCOUNT, times=5)
    pass_(clock, 1)

    fail(guard, account="1")

    assert (refusal(guard, "2").reached, refusal(guard, "2").retry_after) == (False, 2)


def test_a_probe_whose_request_had_no_time_left_leaves_its_turn_to_the_next(guard, clock):
    fail(guard, times=5)
    pass_(clock, 1)

    with pytest.raises(DeadlineExceededError), guard.call("1"):
        raise failure(DeadlineExceededError)

    assert guard.acquire("1")


def test_a_probe_that_fails_once_the_provider_is_up_again_leaves_its_turn_to_the_next(guard, clock):
    under_way = guard.acquire("2")
    fail(guard, account=NO_ACCOUNT, times=5)
    pass_(clock, 1)
    probe = guard.acquire("1")
    guard.succeeded(under_way)

    guard.failed(probe, failure())

    fail(guard, account=NO_ACCOUNT, times=5)
    pass_(clock, 1)
    assert guard.acquire("2")


def test_the_least_recently_used_accounts_are_forgotten_beyond_the_maximum(guard, monkeypatch):
    monkeypatch.setattr(guard_module, "MAX_ACCOUNTS", 2)
    fail(guard, failure(TokenExpiredError), account="1")
    refusal(guard, "1")

    guard.acquire("2")
    assert not refusal(guard, "1").reached  # Now "2" is the least recently used one.
    guard.acquire("3")
    assert not refusal(guard, "1").reached
    guard.acquire("4")
    guard.acquire("5")

    assert guard.acquire("1")


def test_the_accounts_that_may_be_refreshed_are_not_kept_in_place_of_others(guard, monkeypatch):
    monkeypatch.setattr(guard_module, "MAX_ACCOUNTS", 2)
    fail(guard, failure(TokenExpiredError), account="1")

    assert [guard.may_refresh(account) for account in "12345"] == [False, True, True, True, True]

    assert not refusal(guard, "1").reached


def test_a_token_that_is_accepted_in_the_query_is_not_refused(clock, wire):
    graph = graph_client(settings(), clock)
    refused = wire.get(ANY_OF_INSTAGRAM, json=graph_error(190), status=400)
    wire.get(ANY_OF_INSTAGRAM, json={"user_id": "1"})

    assert asked(graph, Account("1", "IGAAtoken", "instagram")) is None
    assert refused.call_count == 1
    assert graph.guard.breakers() == [BreakerState("", "closed", 0.0, None)]


def test_a_status_page_sees_the_breakers_that_are_not_closed(guard, clock):
    fail(guard, failure(TokenExpiredError), account="1")
    guard.acquire("2")
    pass_(clock, 2)

    assert guard.breakers() == [
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
def test_a_limit_of_the_app_stops_every_account_and_one_of_an_account_only_that(graph, guard, wire, code, whole_app):
    wire.get(ANY, json=graph_error(code), status=400, headers=usage(11, percent=10))
    asked(graph)

    assert not asked(graph).reached
    assert asked(graph, OTHER).reached is not whole_app
    assert {each.account for each in guard.usages() if each.blocked_until} == ({""} if whole_app else {"1", "2"})


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


def test_of_calls_that_come_at_once_one_probes_a_block_without_a_time(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, PROBED_EVERY)

    assert guard.acquire("1")
    assert refusal(guard).retry_after == 900 - PROBED_EVERY


def test_a_probe_that_is_answered_ends_a_block_without_a_time(graph, clock, wire):
    wire.get(ANY, json=graph_error(4), status=400)
    asked(graph)
    pass_(clock, 20)
    wire.replace("GET", ANY, json={"id": "1"})

    assert [asked(graph), asked(graph, OTHER), asked(graph)] == [None] * 3


def test_a_probe_whose_refusal_is_about_something_else_ends_a_block_without_a_time(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, 20)

    fail(guard, failure(PermissionDeniedError))

    assert guard.acquire("1")
    assert guard.usages() == []


def test_a_probe_that_is_answered_with_a_limit_that_is_reached_begins_the_next_block(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, 20)
    probe = guard.acquire("1")
    probe.usages = [Usage("1", 100, {"call_count": 100}, clock.timestamp() + 60, clock.timestamp())]

    guard.succeeded(probe)

    assert refusal(guard).retry_after == 60


def test_the_end_of_a_block_is_shown_until_then_with_the_time_at_which_it_was_learned(guard, clock):
    began = clock.timestamp()
    read_before = Usage("1", 40, {"call_count": 40}, None, began - 60)
    guard.learn(read_before)
    fail(guard, failure(ProviderRateLimitedError, retry_after=2))  # Shorter than the time between two probes.

    assert guard.usages() == [Usage("1", 40, {"call_count": 40}, began + 2, began)]
    pass_(clock, 2)
    assert guard.usages() == [read_before]

    permit = guard.acquire("1")
    permit.usages = [Usage("1", 100, {"call_count": 100}, clock.timestamp() + 60, clock.timestamp())]
    guard.succeeded(permit)
    pass_(clock, 60)
    assert [usage.blocked_until for usage in guard.usages()] == [None]


def test_what_calls_without_an_account_have_met_is_shown_of_no_account_and_not_of_the_app(guard):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900), account=NO_ACCOUNT)

    assert guard.usages() == []
    assert guard.acquire("1")


def test_a_probe_that_says_nothing_about_the_limit_waits_for_the_next(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, 20)
    fail(guard)

    assert refusal(guard).retry_after == 880
    pass_(clock, 20)
    assert guard.acquire("1")


def test_a_probe_of_a_limit_that_was_given_up_leaves_its_turn_to_the_next(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, 20)

    with pytest.raises(DeadlineExceededError), guard.call("1"):
        raise failure(DeadlineExceededError)

    assert refusal(guard).retry_after == 880
    pass_(clock, 20)
    assert guard.acquire("1")


def test_a_limit_whose_guessed_wait_is_short_has_no_probe_after_its_end(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=5))

    assert [usage.blocked_until for usage in guard.usages()] == [clock.timestamp() + 5]


def test_calls_wait_for_no_probe_once_a_limit_is_over(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=30))
    pass_(clock, PROBED_EVERY)
    assert guard.acquire("1")

    pass_(clock, 30 - PROBED_EVERY)

    assert guard.acquire("1")
    assert guard.acquire("1")


def test_a_limit_that_a_probe_has_ended_is_shown_no_more(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    pass_(clock, PROBED_EVERY)
    guard.succeeded(guard.acquire("1"))

    assert guard.usages() == []
    assert guard.acquire("1")


def test_a_usage_whose_block_is_over_ends_no_other_one(guard, clock):
    under_way = guard.acquire("1")
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    under_way.usages = [Usage("1", 100, {"call_count": 100}, clock.timestamp() - 1, clock.timestamp())]

    guard.succeeded(under_way)

    assert refusal(guard).retry_after == 900


def test_an_answered_call_that_reaches_the_limit_blocks_too(graph, guard, clock, wire):
    wire.get(ANY, json={"id": "1"}, headers=usage(3))

    assert asked(graph) is None
    assert (asked(graph).retry_after, asked(graph).code) == (180, "provider_rate_limited")
    assert not guard.may_refresh("1")
    pass_(clock, 180)
    assert asked(graph) is None


def test_a_guess_does_not_replace_the_time_that_instagram_gave(guard, clock):
    reported = failure(ProviderRateLimitedError, retry_after=660, wait_reported=True)
    guessed = failure(ProviderRateLimitedError, retry_after=900)
    entries = [guard.acquire("1"), guard.acquire("1")]

    guard.failed(entries[0], reported)
    guard.failed(entries[1], guessed)

    pass_(clock, 30)
    assert refusal(guard).retry_after == 630


def test_of_two_reported_times_the_later_one_counts(guard, clock):
    first, sooner, later = (
        failure(ProviderRateLimitedError, retry_after=seconds, wait_reported=True) for seconds in (660, 300, 900)
    )
    entries = [guard.acquire("1") for _ in range(3)]

    guard.failed(entries[0], first)
    guard.failed(entries[1], sooner)
    assert refusal(guard).retry_after == 660

    guard.failed(entries[2], later)
    assert refusal(guard).retry_after == 900
    pass_(clock, 660)
    assert refusal(guard).retry_after == 240


def test_a_machine_that_slept_through_a_block_is_not_blocked_any_more(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900, wait_reported=True))

    clock.set(clock.now() + timedelta(seconds=900))  # The monotonic clock stands still meanwhile.

    assert guard.acquire("1")


def test_no_block_is_longer_than_a_day(guard, clock):
    permit = guard.acquire("1")
    permit.usages = [Usage("1", 100, {"call_count": 100}, clock.timestamp() + 1_000_000, clock.timestamp())]

    guard.succeeded(permit)

    assert refusal(guard).retry_after == MAX_RETRY_AFTER == 86_400


@pytest.mark.parametrize(
    ("percent", "may_work", "may_refresh"),
    [(74, True, True), (75, False, True), (89, False, True), (90, False, False)],
)
def test_background_work_and_refreshes_stop_at_their_part_of_a_limit(guard, clock, percent, may_work, may_refresh):
    guard.learn(Usage("1", percent, {"call_count": percent}, None, clock.timestamp()))

    assert (guard.may_work("1"), guard.may_refresh("1")) == (may_work, may_refresh)
    assert (guard.may_work("2"), guard.may_refresh("2")) == (True, True)


def test_a_usage_of_a_clock_that_was_set_back_stops_nothing_for_long(guard, clock):
    guard.learn(Usage("1", 95, {"call_count": 95}, None, clock.timestamp() + 3600))

    assert guard.may_refresh("1")


def test_a_usage_that_was_read_ahead_of_the_present_is_replaced_and_replaces_none(guard, clock):
    now = clock.now()
    clock.set(now + timedelta(hours=6))
    guard.learn(Usage("1", 10, {"call_count": 10}, None, clock.timestamp()))
    clock.set(now)

    guard.learn(Usage("1", 80, {"call_count": 80}, None, clock.timestamp()))
    guard.learn(Usage("1", 10, {"call_count": 10}, None, clock.timestamp() + 6 * 3600))

    assert not guard.may_work("1")


def test_an_older_usage_of_another_process_replaces_no_newer_one(guard, clock):
    now = clock.timestamp()
    guard.learn(Usage("1", 95, {"call_count": 95}, None, now))

    guard.learn(Usage("1", 10, {"call_count": 10}, None, now - 1))
    assert not guard.may_refresh("1")

    guard.learn(Usage("1", 0, {}, None, now + 1))  # That of a throttle alone, which says nothing of a limit.
    assert not guard.may_refresh("1")

    guard.learn(Usage("1", 20, {"call_count": 20}, None, now + 1))
    assert guard.may_refresh("1")


def test_a_clock_that_is_set_back_makes_no_block_longer(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))

    clock.set(clock.now() - timedelta(days=365))
    clock.wait(900)

    assert guard.acquire("1")


# Modash


def test_calls_to_modash_are_paused_too_and_no_refused_call_speaks_of_a_charge(clock, wire):
    modash = modash_client(settings(retry_budget=30), clock)
    wire.get(REPORT, body=HTML)
    errors = []
    for _ in range(6):
        waits = clock.waits.copy()
        with pytest.raises(ProviderResponseError) as caught:
            modash.performance_data("nasa")
        errors.append(caught.value)

    assert len(wire.calls) == 5
    assert clock.waits == waits  # A call that is not sent is not tried again either.
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
    assert [each.account for each in modash.guard.usages() if each.blocked_until] == [APP]


def test_the_next_probe_is_shown_as_the_next_call_up_to_its_moment(guard, clock):
    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    next_call = clock.timestamp() + PROBED_EVERY

    shown = []
    for seconds in (0, PROBED_EVERY - 0.5, 0.5):
        pass_(clock, seconds)
        shown += [each.blocked_until for each in guard.usages()]

    assert shown == [next_call, next_call]


# Log lines


def logged(caplog, message):
    names = ("provider", "account", "code", "kind", "seconds")
    records = [record for record in caplog.records if record.message == message]
    return [{name: vars(record)[name] for name in names if name in vars(record)} for record in records]


def test_a_breaker_logs_its_beginning_with_the_pause_and_its_end(guard, clock, caplog):
    caplog.set_level("INFO")

    fail(guard, failure(TokenExpiredError))
    clock.wait(ACCOUNT_PAUSES[0])
    guard.succeeded(guard.acquire("1"))

    paused = {"provider": "instagram", "account": "1", "code": "token_expired", "kind": "breaker", "seconds": 5}
    assert logged(caplog, "Calls to a provider are paused") == [paused]
    assert logged(caplog, "A provider answers again") == [
        {"provider": "instagram", "account": "1", "kind": "breaker"},
    ]


@pytest.mark.parametrize("answered", ["1", "2"], ids=["of the provider", "of the account"])
def test_a_pause_is_logged_once_not_for_each_fault_before_it_and_each_call_that_was_under_way(guard, caplog, answered):
    guard.succeeded(guard.acquire(answered))
    under_way = [guard.acquire("1") for _ in range(8)]

    logged_after = []
    for permit in under_way:
        guard.failed(permit, failure())
        logged_after.append(len(logged(caplog, "Calls to a provider are paused")))

    assert logged_after == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("error", "account"),
    [
        (failure(PermissionDeniedError), "1"),
        (failure(ProviderUnavailableError, retry_strategy=RetryStrategy.SHRINK), "1"),
        (failure(ProviderRateLimitedError), "1"),
        (failure(TokenExpiredError), NO_ACCOUNT),
    ],
    ids=["refused", "too large", "no wait", "no account"],
)
def test_a_failure_that_pauses_nothing_is_not_logged_as_a_pause(guard, caplog, error, account):
    fail(guard, error, account=account)

    assert logged(caplog, "Calls to a provider are paused") == []
    assert guard.acquire(account)


def test_a_throttle_logs_its_beginning_with_the_wait_and_its_end(guard, clock, caplog):
    caplog.set_level("INFO")

    fail(guard, failure(ProviderRateLimitedError, retry_after=900))
    clock.wait(PROBED_EVERY)
    guard.succeeded(guard.acquire("1"))

    paused = {"provider": "instagram", "account": "1", "code": "provider_rate_limited", "kind": "throttle"}
    assert logged(caplog, "Calls to a provider are paused") == [paused | {"seconds": 900}]
    assert logged(caplog, "A provider answers again") == [
        {"provider": "instagram", "account": "1", "kind": "throttle"},
    ]


@pytest.mark.parametrize("wait_reported", [True, False])
def test_a_throttle_is_logged_once_not_for_each_call_that_was_under_way(guard, caplog, wait_reported):
    for permit in [guard.acquire("1") for _ in range(3)]:
        guard.failed(permit, failure(ProviderRateLimitedError, retry_after=900, wait_reported=wait_reported))

    assert len(logged(caplog, "Calls to a provider are paused")) == 1
