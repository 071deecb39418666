"""How much of a limit is used: read from every answer, shared with other processes, and what is left undone for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.clients.gate import Gate
from services.clients.quota import MAX_PERCENT, MAX_WAIT, Usage, account_usage, app_usage, seconds_to_regain_access
from services.errors import ObjectNotFoundError
from tests.support import MovableClock, utc

NOW = utc("2026-06-15T18:00:00")
UNIX = NOW.timestamp()
APP, BUSINESS = "x-app-usage", "x-business-use-case-usage"
FULL = {"type": "instagram", "call_count": 100, "total_cputime": 7, "total_time": 9}


def app(**kinds):
    return {APP: json.dumps(kinds)}


def business(*entries, owner="17841400000000001"):
    return {BUSINESS: json.dumps({owner: list(entries)})}


# Reading


def test_the_largest_of_the_apps_percentages_counts():
    usage = app_usage(app(call_count=28, total_time=25.5, total_cputime=31), now=UNIX)

    assert usage == Usage("", 31.0, {"call_count": 28, "total_time": 25.5, "total_cputime": 31}, None, UNIX)


def test_an_accounts_percentages_are_the_largest_of_all_that_is_listed():
    first = {"type": "instagram", "call_count": 3, "total_time": 40, "estimated_time_to_regain_access": 0}
    second = {"type": "pages", "call_count": 5, "total_cputime": 1}

    usage = account_usage(business(first, second), "1", now=UNIX)

    assert usage == Usage("1", 40.0, {"call_count": 5, "total_time": 40, "total_cputime": 1}, None, UNIX)


def test_what_is_used_of_advertising_is_not_ours():
    assert account_usage(business({"type": "ads_insights", "call_count": 99}), "1", now=UNIX) is None


def test_a_limit_that_is_reached_blocks_until_the_end_that_is_told():
    full = FULL | {"estimated_time_to_regain_access": 11}

    assert account_usage(business(full), "1", now=UNIX).blocked_until == UNIX + 660


@pytest.mark.parametrize("entry", [FULL, FULL | {"call_count": 99, "estimated_time_to_regain_access": 11}])
def test_without_an_end_or_below_the_limit_nothing_is_blocked(entry):
    assert account_usage(business(entry), "1", now=UNIX).blocked_until is None


@pytest.mark.parametrize("value", [True, "12", None, -1, MAX_PERCENT + 1, 10**400, [], {}, float("nan"), float("inf")])
def test_what_is_no_percentage_is_ignored(value):
    assert app_usage(app(call_count=value), now=UNIX) is None
    assert app_usage(app(call_count=value, total_time=4), now=UNIX).kinds == {"total_time": 4}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*FULL, "call_volume"]), inner),
)


@given(st.text() | json_values.map(json.dumps) | json_values.map(lambda entry: json.dumps({"1": [entry]})))
def test_no_header_whatsoever_raises_or_invents(text):
    headers = {APP: text, BUSINESS: text}

    for usage in (app_usage(headers, now=UNIX), account_usage(headers, "1", now=UNIX)):
        if usage is not None:
            assert usage.percent == max(usage.kinds.values())
            assert all(0 <= percent <= MAX_PERCENT for percent in usage.kinds.values())
            assert usage.blocked_until is None or UNIX < usage.blocked_until <= UNIX + MAX_WAIT
    assert 0 < (seconds_to_regain_access(headers) or 1) <= MAX_WAIT


# What it means


@pytest.fixture
def clock():
    return MovableClock(NOW)


@pytest.fixture
def gate(clock):
    return Gate("instagram", clock)


def pass_(clock, seconds):
    clock.wait(seconds)


def answered(gate, account, headers):
    gate.succeeded(gate.enter(account), headers)


@pytest.mark.parametrize(
    ("percent", "refresh", "background"), [(74, True, True), (75, True, False), (89, True, False), (90, False, False)]
)
def test_the_nearer_the_limit_the_less_is_done_that_nobody_waits_for(gate, percent, refresh, background):
    answered(gate, "1", business({"call_count": percent}))

    assert (gate.may_refresh("1"), gate.may_work_in_background("1")) == (refresh, background)
    assert gate.may_work_in_background("2")
    gate.enter("1")


def test_the_apps_limit_is_everybodys(gate):
    answered(gate, "1", app(call_count=95))

    assert not gate.may_refresh("2")


def test_a_call_that_is_refused_tells_its_usage_too(gate):
    missing = ObjectNotFoundError("There is none.", provider="instagram")

    gate.failed(gate.enter("1"), missing, app(call_count=95))

    assert not gate.may_refresh("1")


def test_of_a_call_for_no_account_only_the_apps_usage_is_known(gate):
    answered(gate, "", app(call_count=50) | business(FULL | {"estimated_time_to_regain_access": 11}))

    assert [(usage.account, usage.percent) for usage in gate.usages()] == [("", 50.0)]
    assert gate.enter("")


def test_what_was_told_an_hour_ago_does_not_count(clock, gate):
    answered(gate, "1", app(call_count=95))

    pass_(clock, 3599)
    assert not gate.may_refresh("1")
    pass_(clock, 1)
    assert gate.may_refresh("1")


# Other processes


def test_what_another_process_has_read_counts_here(clock, gate):
    other = Gate("instagram", clock)
    answered(gate, "1", app(call_count=80) | business(FULL | {"estimated_time_to_regain_access": 1}))

    for usage in gate.usages():
        other.learn(usage)

    assert other.usages() == gate.usages()
    assert not other.may_refresh("1")
    assert other.may_refresh("2")
    assert not other.may_work_in_background("2")
    pass_(clock, 60)
    assert other.enter("1")


def test_what_is_older_than_ones_own_is_not_adopted(clock, gate):
    answered(gate, "1", business({"call_count": 10}))
    own = gate.usages()

    gate.learn(Usage("1", 95.0, {"call_count": 95.0}, UNIX + 600, UNIX - 1))

    assert gate.usages() == own
    assert gate.enter("1")


def test_only_so_many_accounts_are_remembered(gate, monkeypatch):
    monkeypatch.setattr("services.clients.gate.MAX_ACCOUNTS", 3)

    for number in ["1", "2", "3", "1", "4"]:
        answered(gate, number, business({"call_count": 10}))

    assert [usage.account for usage in gate.usages()] == ["3", "1", "4"]
