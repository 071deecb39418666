"""Kept posts in both engines: the first reading of a slot stays, unless a later one knows more."""

from __future__ import annotations

import pytest

from services.store.posts import PartRow, PostCounts, PostRow

HIDDEN = {"likes": "likes_hidden"}


def post(name="1", posted_at=100.0, **more):
    return PostRow(name, posted_at, first_seen_at=posted_at, **{"last_seen_at": posted_at} | more)


def part(read_at, *, name="1", slot=60, label=1, reasons=None, **values):
    return PartRow(name, slot, label, read_at, values, reasons or {}, "instagram", "v25.0")


def kept(store, name="1"):
    return store.posts.readings("a", [name]).get(name, [])


def test_the_first_reading_stays_unless_a_later_one_knows_more(store):
    store.posts.keep("a", [post()], counts=[part(10.0, likes=None, comments=3, reasons=HIDDEN)])
    store.posts.keep("a", [post()], counts=[part(20.0, likes=None, comments=4, reasons=HIDDEN)])
    assert kept(store)[0].values["comments"] == 3

    store.posts.keep("a", [post()], counts=[part(30.0, likes=7, comments=5)])
    store.posts.keep("a", [post()], counts=[part(40.0, likes=8, comments=9)])
    store.posts.keep("a", [post()], counts=[part(5.0, likes=None, comments=None, reasons=HIDDEN)])

    (reading,) = kept(store)
    assert (reading.values["likes"], reading.values["comments"], reading.counts_read_at) == (7, 5, 30.0)
    assert (reading.reasons, reading.insights_read_at, reading.read_at) == ({}, None, 30.0)


def test_a_known_number_stays_known_and_the_parts_of_a_reading_have_their_own_moments(store):
    store.posts.keep("a", [post()], insights=[part(10.0, reach=5, views=None, reasons={"views": "not_answered"})])
    more = part(20.0, reach=None, views=9, saved=1, reasons={"reach": "not_answered"})
    store.posts.keep("a", [post()], counts=[part(15.0, likes=1, comments=2)], insights=[more])

    (reading,) = kept(store)
    assert [reading.values[name] for name in ("likes", "reach", "views", "saved", "shares")] == [1, 5, 9, 1, None]
    assert (reading.counts_read_at, reading.insights_read_at, reading.age_label) == (15.0, 20.0, 1)
    assert "reach" not in reading.reasons


def test_posts_are_found_by_time_and_what_is_known_of_them_stays(store):
    store.posts.keep("a", [post("1", 100.0, caption="old", permalink="p"), post("2", 200.0), post("3", 300.0)])
    store.posts.keep("a", [post("1", 100.0, caption="new", last_seen_at=101.0)])
    store.posts.keep("a", [post("2", 200.0, last_seen_at=201.0), post("bad\x00name", 250.0)])
    store.posts.keep("b", [post("2", 200.0)])

    assert [row.id for row in store.posts.between("a", 100.0, 200.0)] == ["2", "1"]
    first, second = store.posts.find("a", "1"), store.posts.find("a", "2")
    assert (first.caption, first.permalink, first.last_seen_at, first.first_seen_at) == ("new", "p", 101.0, 100.0)
    assert second.last_seen_at == 200.0  # A newer moment alone is not written for some hours.
    store.posts.keep("a", [post("2", 200.0, last_seen_at=200.0 + 6 * 3600)])
    assert store.posts.find("a", "2").last_seen_at == 200.0 + 6 * 3600
    assert store.posts.find("a", "9") is None


def test_the_last_readings_are_found_from_an_age_on(store):
    rows = [part(10.0 * slot, slot=slot, reach=slot) for slot in (0, 60, 360)]
    store.posts.keep("a", [post()], counts=[part(9_000.0, slot=1_440, likes=1)], insights=rows)

    assert store.posts.last_insights("a", ["1", "2"]) == {"1": 3_600.0}
    assert [each.slot for each in store.posts.readings("a", ["1"], from_slot=60)["1"]] == [60, 360, 1_440]


@pytest.mark.parametrize("value", [1e400, 10**400, float("nan")])
def test_a_number_that_no_column_can_hold_is_unknown(store, value):
    store.posts.keep("a", [post()], insights=[part(10.0, reach=value, views=1.5)])

    assert (kept(store)[0].values["reach"], kept(store)[0].values["views"]) == (None, 1.5)


def test_looks_are_noted_and_everything_of_one_account_can_be_deleted(store):
    for account in ("a", "b"):
        store.posts.keep(account, [post()], insights=[part(10.0, reach=1)])
        store.posts.begin_look(account, now=50.0)
        assert store.posts.look(account) == (50.0, None)
        store.posts.end_look(account, looked_at=49.0)
    store.posts.begin_look("a", now=60.0)

    assert store.posts.look("a") == (60.0, 49.0)
    assert store.posts.counts() == PostCounts(2, 49.0)
    store.deletion.of_account("a")
    assert (kept(store), store.posts.look("a"), store.posts.counts().kept) == ([], None, 1)
