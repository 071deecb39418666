"""How much of a limit is used: read from every answer, shared with other processes, and what is left undone for it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.clients.graph.errors import INSTAGRAM
from services.clients.graph.models import Account
from services.clients.graph.usage_headers import (
    MAX_PERCENT,
    account_usage,
    app_usage,
    seconds_to_regain_access,
    usages,
)
from services.clients.guard.guard import Guard
from services.clients.guard.usage import Usage
from services.clients.retry_after import MAX_RETRY_AFTER
from services.errors import ObjectNotFoundError
from services.store.quota_usage import UsageRow
from tests.support import utc

NOW = utc("2026-06-15T18:00:00")
UNIX = NOW.timestamp()
APP, BUSINESS = "x-app-usage", "x-business-use-case-usage"
ONE = Account("1", "token", page_id="555")
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
    second = {"type": "instagram", "call_count": 5, "total_cputime": 1}

    usage = account_usage(business(first, second), ONE, now=UNIX)

    assert usage == Usage("1", 40.0, {"call_count": 5, "total_time": 40, "total_cputime": 1}, None, UNIX)


@pytest.mark.parametrize(
    ("minutes", "seconds"), [(5, 300), (1440, MAX_RETRY_AFTER), (1441, MAX_RETRY_AFTER), (10**9, MAX_RETRY_AFTER)]
)
def test_no_account_is_blocked_for_longer_than_a_day(minutes, seconds):
    usage = account_usage(business(FULL | {"estimated_time_to_regain_access": minutes}), ONE, now=UNIX)

    assert usage.blocked_until == UNIX + seconds


OTHER_USES = ["ads_insights", "ads_management", "custom_audience", "leadgen", "messenger", "pages", "", None, 7, []]


@pytest.mark.parametrize("owner", ["1", "555", "17841400000000001"])
@pytest.mark.parametrize("use", OTHER_USES)
def test_what_is_used_of_anything_else_is_not_ours(use, owner):
    headers = business(FULL | {"type": use, "estimated_time_to_regain_access": 1440}, owner=owner)

    assert account_usage(headers, ONE, now=UNIX) is None
    assert seconds_to_regain_access(headers, ONE, now=UNIX) is None


def test_an_entry_without_a_type_is_not_ours():
    headers = business({"call_count": 100, "estimated_time_to_regain_access": 5}, owner="1")

    assert account_usage(headers, ONE, now=UNIX) is None
    assert seconds_to_regain_access(headers, ONE, now=UNIX) is None


def test_the_usage_of_an_advertising_account_is_not_ours():
    headers = {"x-ad-account-usage": json.dumps({"acc_id_util_pct": 100, "reset_time_duration": 3600})}

    assert list(usages(headers, ONE, now=UNIX)) == []
    assert seconds_to_regain_access(headers, ONE, now=UNIX) is None


def entry(percent, minutes, use="instagram"):
    return {"type": use, "call_count": percent, "estimated_time_to_regain_access": minutes}


@pytest.mark.parametrize(
    ("header", "percent", "seconds"),
    [
        pytest.param({"1": [entry(100, 5)], "2": [entry(120, 60)]}, 100, 300, id="keyed by the account"),
        pytest.param({"555": [entry(100, 5)], "2": [entry(120, 60)]}, 100, 300, id="keyed by its page"),
        pytest.param({"1": [entry(100, 5)], "555": [entry(101, 6)]}, 101, 360, id="keyed by both"),
        pytest.param({"2": [entry(100, 5)], "3": [entry(120, 60)]}, 120, 3600, id="keyed by others only"),
        pytest.param(
            {"1": [entry(200, 1440, "pages")], "2": [entry(100, 5)]}, 100, 300, id="another use of the account"
        ),
        pytest.param(
            {"1": [entry(100, 1440, "ads_management"), entry(100, 5)], "2": [entry(100, 60)]}, 100, 300, id="two uses"
        ),
        pytest.param({"1": entry(100, 5)}, 100, 300, id="an entry without its list"),
        pytest.param({"1": [entry(100, 0.5)]}, 100, 30, id="half a minute"),
        pytest.param({"1": [entry(110, 60), entry(100, 5)]}, 110, 3600, id="the longer wait first"),
    ],
)
def test_the_entries_of_the_account_count_alone_if_there_are_any(header, percent, seconds):
    headers = {BUSINESS: json.dumps(header)}

    usage = account_usage(headers, ONE, now=UNIX)

    assert (usage.percent, usage.blocked_until) == (percent, UNIX + seconds)
    assert seconds_to_regain_access(headers, ONE, now=UNIX) == seconds


def test_a_key_without_a_name_is_no_account_without_a_page():
    headers = {BUSINESS: json.dumps({"": [entry(40, 0)], "2": [entry(80, 0)]})}

    assert account_usage(headers, Account("1", "token"), now=UNIX).percent == 80


@pytest.mark.parametrize("uses", ['"instagram", "type": "pages"', '"pages", "type": "instagram"'])
def test_an_entry_with_two_types_is_not_ours(uses):
    headers = {BUSINESS: f'{{"1": [{{"type": {uses}, "call_count": 100, "estimated_time_to_regain_access": 5}}]}}'}

    assert account_usage(headers, ONE, now=UNIX) is None


def test_of_a_repeated_wait_the_longest_counts_and_a_part_of_a_second_is_waited_for():
    wait = '"estimated_time_to_regain_access"'
    headers = {BUSINESS: f'{{"1": [{{"type": "instagram", "call_count": 100, {wait}: 0.001, {wait}: 0.01}}]}}'}

    assert account_usage(headers, ONE, now=UNIX).blocked_until == UNIX + 0.6
    assert seconds_to_regain_access(headers, ONE, now=UNIX) == 1


@pytest.mark.parametrize("number", ["NaN", "-Infinity"])
def test_a_wait_that_is_no_number_is_none(number):
    entries = f'[{{"type": "instagram", "call_count": 100, "estimated_time_to_regain_access": {number}}}]'

    assert account_usage({BUSINESS: f'{{"1": {entries}}}'}, ONE, now=UNIX).blocked_until is None
    assert seconds_to_regain_access({BUSINESS: f'{{"1": {entries}}}'}, ONE, now=UNIX) is None


@pytest.mark.parametrize(("minutes", "retry_after"), [(5, "10"), (1, "300")])
def test_the_longest_wait_that_any_header_gives_counts(minutes, retry_after):
    headers = business(entry(100, minutes), owner="1") | {"retry-after": retry_after}

    assert seconds_to_regain_access(headers, ONE, now=UNIX) == 300


ADS, OWN = json.dumps([entry(100, 1440, "ads_management")]), json.dumps([entry(100, 5)])


@pytest.mark.parametrize(
    "text",
    [
        f'{{"1": {OWN}, "1": {ADS}}}',
        f'{{"1": {ADS}, "1": {OWN}}}',
        f'{{"1": {OWN}, "2": {ADS}, "1": []}}',
        f'{{"1": {OWN}}}, {{"1": {ADS}}}',  # the header in two lines, as HTTP joins them
        f'{{"1": {OWN}, "1": null, "1": 7, "1": ["x", [], {{}}]}}',
    ],
)
def test_a_key_that_is_repeated_loses_nothing(text):
    assert account_usage({BUSINESS: text}, ONE, now=UNIX).blocked_until == UNIX + 300
    assert seconds_to_regain_access({BUSINESS: text}, ONE, now=UNIX) == 300


def test_of_a_repeated_percentage_the_largest_counts():
    assert app_usage({APP: '{"call_count": 97, "call_count": 3}'}, now=UNIX).percent == 97


def test_a_limit_that_is_reached_blocks_until_the_reported_end():
    full = FULL | {"estimated_time_to_regain_access": 11}

    assert account_usage(business(full), ONE, now=UNIX).blocked_until == UNIX + 660


@pytest.mark.parametrize("permit", [FULL, FULL | {"call_count": 99, "estimated_time_to_regain_access": 11}])
def test_without_an_end_or_below_the_limit_nothing_is_blocked(permit):
    assert account_usage(business(permit), ONE, now=UNIX).blocked_until is None


@pytest.mark.parametrize("value", [True, "12", None, -1, MAX_PERCENT + 1, 10**400, [], {}, float("nan"), float("inf")])
def test_what_is_no_percentage_is_ignored(value):
    assert app_usage(app(call_count=value), now=UNIX) is None
    assert app_usage(app(call_count=value, total_time=4), now=UNIX).kinds == {"total_time": 4}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*FULL, "call_volume"]), inner),
)


@given(st.text() | json_values.map(json.dumps) | json_values.map(lambda permit: json.dumps({"1": [permit]})))
def test_no_header_whatsoever_raises_or_invents(text):
    headers = {APP: text, BUSINESS: text}

    for usage in (app_usage(headers, now=UNIX), account_usage(headers, ONE, now=UNIX)):
        if usage is not None:
            assert usage.percent == max(usage.kinds.values())
            assert all(0 <= percent <= MAX_PERCENT for percent in usage.kinds.values())
            assert usage.blocked_until is None or UNIX < usage.blocked_until <= UNIX + MAX_RETRY_AFTER
    assert 0 < (seconds_to_regain_access(headers, ONE, now=UNIX) or 1) <= MAX_RETRY_AFTER


# What it means


@pytest.fixture
def guard(clock):
    return Guard(INSTAGRAM, clock, places=32)


def pass_(clock, seconds):
    clock.wait(seconds)


def answered(guard, account, headers):
    permit = guard.acquire(account)
    permit.usages = tuple(usages(headers, Account(account, "token"), now=UNIX))
    guard.succeeded(permit)


@pytest.mark.parametrize(("percent", "refresh"), [(74, True), (89, True), (90, False), (99, False)])
def test_near_a_limit_cached_values_are_not_refreshed_but_absent_ones_are_fetched(guard, percent, refresh):
    answered(guard, "1", business(FULL | {"call_count": percent}))

    assert guard.may_refresh("1") is refresh
    assert guard.may_refresh("2")
    guard.acquire("1")


def test_the_apps_limit_is_everybodys(guard):
    answered(guard, "1", app(call_count=95))

    assert not guard.may_refresh("2")


def test_a_call_that_is_refused_reports_its_usage_too(guard):
    missing = ObjectNotFoundError("There is none.", provider="instagram")

    permit = guard.acquire("1")
    permit.usages = (app_usage(app(call_count=95), now=UNIX),)
    guard.failed(permit, missing)

    assert not guard.may_refresh("1")


def test_of_a_call_for_no_account_only_the_apps_usage_is_known(guard):
    answered(guard, "", app(call_count=50) | business(FULL | {"estimated_time_to_regain_access": 11}))

    assert [(usage.account, usage.percent) for usage in guard.usages()] == [("", 50.0)]
    assert guard.acquire("")


def test_a_report_of_an_hour_ago_does_not_count(clock, guard):
    answered(guard, "1", app(call_count=95))

    pass_(clock, 3599)
    assert not guard.may_refresh("1")
    pass_(clock, 1)
    assert guard.may_refresh("1")


# Other processes


def test_what_another_process_has_read_counts_here(clock, guard):
    other = Guard(INSTAGRAM, clock, places=32)
    answered(guard, "1", app(call_count=80) | business(FULL | {"call_count": 99}))

    for usage in guard.usages():
        other.learn(usage)

    assert other.usages() == guard.usages()
    assert not other.may_refresh("1")
    assert other.may_refresh("2")


def test_what_is_older_than_ones_own_is_not_adopted(clock, guard):
    answered(guard, "1", business(FULL | {"call_count": 10}))
    own = guard.usages()

    guard.learn(Usage("1", 95.0, {"call_count": 95.0}, UNIX + 600, UNIX - 1))

    assert guard.usages() == own
    assert guard.acquire("1")


@pytest.mark.parametrize(("read_at", "percent"), [(9.0, 80.0), (11.0, 95.0)])
def test_an_older_usage_replaces_no_newer_one_in_the_database(store, read_at, percent):
    store.quota_usage.write("instagram", [UsageRow("1", 80.0, {"call_count": 80.0}, None, 10.0)])

    store.quota_usage.write("instagram", [UsageRow("1", 95.0, {"call_count": 95.0}, None, read_at)])

    assert [row.percent for row in store.quota_usage.read("instagram")] == [percent]


def test_only_so_many_accounts_are_remembered(guard, monkeypatch):
    monkeypatch.setattr("services.clients.guard.guard.MAX_ACCOUNTS", 3)

    for number in ["1", "2", "3", "1", "4"]:
        answered(guard, number, business(FULL | {"call_count": 10}))

    assert [usage.account for usage in guard.usages()] == ["3", "1", "4"]


# Through the front door


def test_other_uses_of_the_same_account_block_nothing_and_lengthen_no_wait(make_world):
    world = make_world()
    world.switch(usage_entries="mixed")

    answered = world.get("/top-posts?time_range=7d")
    world.fault("throttled", minutes=5, times=1)
    refused = world.get("/account-insights?period=day&metrics=views")
    limits = {each["account"]: each for each in world.body("/quota")["limits"]}

    assert (answered.status_code, refused.status_code) == (200, 429)
    assert refused.headers["Retry-After"] == "300"
    assert limits[world.account["id"]]["blocked_until"] == "2026-11-21T18:05:00Z"
