"""Kept stories in both engines: the newest known number of each source, whatever the order in which they come."""

from __future__ import annotations

import itertools

import pytest

from services.media.story_values import newest
from services.store.stories import POLLING, TOTAL, WEBHOOK, KeptStoryCounts, StoryNumber, StoryRow

FEW = "insufficient_viewers"


def number(value, read_at, *, metric="reach", bucket=TOTAL, source=POLLING):
    return StoryNumber(metric, bucket, source, value, None if value is not None else FEW, read_at)


def row(name="1", created_at=100.0, numbers=(), **more):
    return StoryRow(name, ordered_at=created_at or 50.0, created_at=created_at, numbers=list(numbers), **more)


def kept(store, name="1"):
    return {(each.metric, each.bucket, each.source): each[3:] for each in store.stories.find("a", name).numbers}


READINGS = [number(7, 10.0), number(5, 20.0), number(None, 30.0)]


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
def test_the_newest_known_number_stays_in_any_order(store, order):
    for index in order:
        store.stories.keep("a", [row(numbers=[READINGS[index]])])
        store.stories.keep("a", [row(numbers=[READINGS[index]])])

    assert kept(store) == {("reach", TOTAL, POLLING): (5, None, 20.0)}


def test_of_two_numbers_of_one_moment_the_later_one_stays_as_among_those_in_memory(store):
    first, second = number(7, 10.0), number(5, 10.0)
    for each in (first, second):
        store.stories.keep("a", [row(numbers=[each])])

    assert list(store.stories.find("a", "1").numbers) == newest([first], [second]) == [second]


def test_an_unknown_number_is_kept_with_its_newest_reason_until_it_is_known(store):
    store.stories.keep("a", [row(numbers=[number(None, 10.0)])])
    store.stories.keep("a", [row(numbers=[number(None, 20.0)._replace(reason="refused")])])
    assert kept(store) == {("reach", TOTAL, POLLING): (None, "refused", 20.0)}

    store.stories.keep("a", [row(numbers=[number(3, 15.0)])])

    assert kept(store) == {("reach", TOTAL, POLLING): (3, None, 15.0)}


def test_sources_buckets_accounts_and_fractions_are_kept_apart(store):
    numbers = [
        number(4, 1.0),
        number(4.5, 1.0, source=WEBHOOK),
        number(2, 1.0, metric="navigation", bucket="tap_back"),
    ]
    store.stories.keep("a", [row(numbers=numbers)])
    store.stories.keep("b", [row(numbers=[number(9, 9.0)])])

    assert kept(store) == {
        ("reach", TOTAL, POLLING): (4, None, 1.0),
        ("reach", TOTAL, WEBHOOK): (4.5, None, 1.0),
        ("navigation", "tap_back", POLLING): (2, None, 1.0),
    }
    assert isinstance(kept(store)["reach", TOTAL, POLLING][0], int)
    assert (sorted(store.stories.owners("1")), store.stories.owners("2")) == (["a", "b"], [])


def test_a_story_that_only_a_webhook_named_takes_its_place_once_it_is_read(store):
    store.stories.keep("a", [row(created_at=None, delivered_at=400.0)])
    store.stories.keep("a", [row("2", created_at=60.0)])
    assert [each.id for each in store.stories.listed("a", limit=9)] == ["2", "1"]

    store.stories.keep("a", [row(created_at=100.0, media_type="IMAGE", permalink="p\x00", read_at=150.0)])
    store.stories.keep("a", [row(created_at=None, media_type="VIDEO", read_at=120.0, delivered_at=300.0)])

    first, second = store.stories.listed("a", limit=9)
    assert (first.id, first.created_at, first.ordered_at, first.media_type) == ("1", 100.0, 100.0, "IMAGE")
    assert (first.read_at, first.delivered_at, first.permalink) == (150.0, 400.0, "p\ufffd")
    assert second.id == "2"


@pytest.mark.parametrize("odd", ["\ud800", "a\x00", "x" * 65])
def test_a_name_that_no_column_can_hold_leaves_the_others(store, odd):
    numbers = [number(4, 1.0), number(5, 1.0, metric=odd), number(6, 1.0, bucket=odd)]

    store.stories.keep("a", [row(numbers=numbers), row(odd)])

    assert kept(store) == {("reach", TOTAL, POLLING): (4, None, 1.0)}
    assert store.stories.counts().kept == 1


def test_a_number_without_a_name_leaves_the_others(store):
    store.stories.keep("a", [row(numbers=[number(4, 1.0), number(5, 1.0, metric="")])])

    assert kept(store) == {("reach", TOTAL, POLLING): (4, None, 1.0)}


def test_stories_are_listed_newest_first_within_a_range(store):
    store.stories.keep("a", [row(str(index), created_at=float(index)) for index in range(1, 600)])

    assert [each.id for each in store.stories.listed("a", limit=2)] == ["599", "598"]
    assert [each.id for each in store.stories.listed("a", since=3.0, until=5.0, limit=9)] == ["5", "4", "3"]
    assert [each.id for each in store.stories.young("a", since=597.0)] == ["598", "599"]
    assert store.stories.find("a", "700") is None


def test_when_stories_were_read_is_kept_by_account(store):
    assert (store.stories.begun_at("a"), store.stories.last_read_at("a")) == (None, None)

    store.stories.begin("a", now=5.0)
    assert (store.stories.begun_at("a"), store.stories.last_read_at("a")) == (5.0, None)
    store.stories.end("a", read_at=5.0)
    store.stories.begin("a", now=9.0)

    assert (store.stories.begun_at("a"), store.stories.last_read_at("a")) == (9.0, 5.0)
    assert store.stories.counts() == KeptStoryCounts(0, 5.0)


def test_the_stories_of_an_account_can_be_deleted_for_good(store):
    store.stories.keep("a", [row(numbers=READINGS)])
    store.stories.keep("b", [row(numbers=READINGS)])
    store.stories.end("a", read_at=5.0)

    store.deletion.of_account("a")

    assert (store.stories.find("a", "1"), store.stories.last_read_at("a")) == (None, None)
    assert store.stories.counts() == KeptStoryCounts(1, None)
