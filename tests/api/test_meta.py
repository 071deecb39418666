"""`meta` of the account endpoints: the account, and its username where that is known without a call for it."""

from __future__ import annotations

import pytest
import responses
from hypothesis import given
from hypothesis import strategies as st

from services.answers import Freshness, deciding_entry
from services.cache.entries import CacheEntry
from services.cache.policies import FOR_EVER
from services.days import utc
from tests.planners import body_of, follows, plan_insights, plan_posts, plan_profile, totals
from tests.support import ACCOUNT_ID, forget_everything

INSIGHTS_PATH = "/account-insights?period=day&metrics=views"
POSTS_PATH = "/top-posts?time_range=7d"
GROWTH_PATH = "/growth-trends?period=7d"


def plan(wire):
    plan_profile(wire, username="our.account")
    plan_posts(wire)
    plan_insights(wire, lambda query: follows(2, 1) if "breakdown" in query else totals(query, 7))


def username_of(client, path):
    meta = body_of(client, path)["meta"]
    assert list(meta)[:3] == ["account", "username", "api_version"]
    return meta["username"]


def test_the_username_comes_with_the_profile_that_growth_reads(client, wire):
    plan(wire)

    assert username_of(client, GROWTH_PATH) == "our.account"


@pytest.mark.parametrize("path", [INSIGHTS_PATH, POSTS_PATH])
def test_an_unknown_username_is_null_and_costs_no_call(client, path):
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        plan(wire)

        assert username_of(client, path) is None
        assert len(wire.calls) == 1


@pytest.mark.parametrize("path", [INSIGHTS_PATH, POSTS_PATH])
@pytest.mark.parametrize("days", [0, 3])
def test_once_the_profile_was_read_every_endpoint_knows_the_username(client, wire, clock, path, days):
    plan(wire)
    body_of(client, GROWTH_PATH)
    clock.wait(days * 86_400)

    assert username_of(client, path) == "our.account"


def test_a_cached_reply_without_a_username_gets_it_with_the_profile(client, wire):
    plan(wire)
    before = [username_of(client, INSIGHTS_PATH) for _ in range(2)][-1]
    body_of(client, GROWTH_PATH)

    assert (before, username_of(client, INSIGHTS_PATH)) == (None, "our.account")


def test_a_username_is_not_invented_from_the_account(client, wire):
    plan_profile(wire, followers=1000)
    plan_posts(wire)
    plan_insights(wire, lambda query: follows(2, 1))

    meta = body_of(client, GROWTH_PATH)["meta"]

    assert (meta["account"], meta["username"]) == (ACCOUNT_ID, None)


def test_a_forgotten_profile_leaves_the_username_unknown(client, wire):
    plan(wire)
    body_of(client, GROWTH_PATH)
    forget_everything(client.application)

    assert username_of(client, POSTS_PATH) is None


moments = st.integers(1_781_000_000, 1_782_000_000)
entries = st.builds(
    CacheEntry, st.just({}), fetched_at=moments, expires_at=moments | st.just(FOR_EVER), stale=st.booleans()
)


@given(entries=st.lists(entries, min_size=1, max_size=5), now=moments)
def test_one_entry_that_stands_for_several_makes_an_answer_as_fresh_as_they_do(entries, now):
    one = deciding_entry(entries)

    assert Freshness.of([one], now=utc(now)) == Freshness.of(entries, now=utc(now))
