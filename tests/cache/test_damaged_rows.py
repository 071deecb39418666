"""Damaged rows, and rows of other versions: their values are fetched again, and no request fails because of them."""

from __future__ import annotations

import json

import pytest

from tests.stores import query

POSTS, GROWTH = "/top-posts?time_range=7d", "/growth-trends?period=7d"
TODAY = "/account-insights?period=day&metrics=views,reach&since=2026-11-21&until=2026-11-21"
TRENDS = "/growth-trends?period=7d&metrics=reach"
REPORT, MISSING = "/performance-data?url=nasa", "/performance-data?url=missing.one"
FINISHED = "/account-insights?period=day&metrics=views&since=2026-11-10&until=2026-11-10&breakdown=follow_type"

DAMAGED = {
    "garbage": b"\x00\xff\xfe not JSON",
    "half": b'{"value": 1, "bu',
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "number": b"7",
    "text": b'"words"',
    "nothing": b"{}",
    "foreign": b'{"id": "x", "version": 99}',
    "nan": b'{"value": NaN}',
    "of another type": json.dumps(
        {
            "value": {},
            "buckets": 7,
            "posts": "none",
            "head_from": "now",
            "complete_from": [],
            "report": 1,
            "failure": 7,
            "username": [],
            "followers_count": {},
            "message": None,
        }
    ).encode(),
    "of a newer version": json.dumps(
        {
            "value": 1,
            "colour": "red",
            "posts": [{"id": 7}],
            "head_from": 1,
            "complete_from": 1,
            "sections": [],
            "report": {},
            "credits_left": 1,
            "username": "x",
            "followers_count": 7,
            "colour_of_posts": "red",
        }
    ).encode(),
}


KEPT = (POSTS, TODAY, TRENDS, REPORT, MISSING)


def spoil(world, value):
    """Replace all cached values of a world by one damaged value, and rebuild its gateway."""
    for path in KEPT:
        world.get(path)
    world.settle()
    query(world.settings, "memory", "UPDATE cache_entries SET value = :value", value=value)
    world.restart()


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_value_is_treated_as_absent(world, name):
    spoil(world, DAMAGED[name])

    statuses = {path: world.get(path).status_code for path in KEPT}

    # A row that can be read as a report is taken for one, also in place of an unknown creator.
    assert statuses.pop(MISSING) in {200, 404}
    assert statuses == dict.fromkeys(KEPT[:-1], 200)


@pytest.mark.parametrize("name", ["garbage", "foreign"])
def test_a_damaged_value_is_replaced_by_a_fetched_one(make_world, store_settings, name):
    world = make_world(**store_settings)
    spoil(world, DAMAGED[name])

    first, second = world.get(POSTS), world.get(POSTS)

    assert first.status_code == second.status_code == 200
    assert first.data == second.data
    rows = query(store_settings, "memory", "SELECT value FROM cache_entries WHERE key = 'media'")
    assert json.loads(bytes(rows[0][0]))["posts"]


@pytest.mark.parametrize("moments", [(1e300, 1e300), (-1e300, 1e300), (4e9, 5e9)])
def test_impossible_times_do_not_make_a_request_fail(world, moments):
    world.body(POSTS)
    fetched_at, kept_until = moments
    query(
        world.settings,
        "memory",
        "UPDATE cache_entries SET fetched_at = :fetched_at, kept_until = :kept_until",
        fetched_at=fetched_at,
        kept_until=kept_until,
    )
    world.restart()

    assert world.get(POSTS).status_code == 200


def test_a_value_that_was_fetched_in_a_far_future_is_fetched_again(world):
    world.body(POSTS)
    query(world.settings, "memory", "UPDATE cache_entries SET fetched_at = 5e9, kept_until = 6e9")
    world.restart()
    world.calls()

    world.body(POSTS)

    assert world.calls("media")


@pytest.mark.parametrize("buckets", ["no JSON", '{"FOLLOWER": 1}'])
def test_a_damaged_row_of_the_history_does_not_make_a_request_fail(world, buckets):
    world.body(FINISHED)
    query(world.settings, "gateway", "UPDATE metric_values SET buckets = :buckets", buckets=buckets)
    world.restart()

    assert world.get(FINISHED).status_code == 200


def test_damaged_quota_usage_does_not_make_a_request_fail(make_world, store_settings):
    world = make_world(**store_settings)
    query(
        store_settings,
        "memory",
        "INSERT INTO quota_usage (mode, provider, account, percent, kinds, blocked_until, read_at) "
        "VALUES ('live', 'instagram', :account, 1e300, 'no JSON', NULL, 1e300)",
        account=world.account["id"],
    )

    assert world.get(POSTS).status_code == 200
    assert world.get("/quota").status_code == 200
