"""What was read moments ago: bounded, and never older than the last change that was noticed."""

from __future__ import annotations

from services.cache.recent_reads import RecentReads


def test_what_was_read_before_a_change_is_not_put_back_after_it():
    recent = RecentReads(60, 10)
    reading = recent.of("a")
    recent.forget("a")

    recent.put("a", reading, {"key": "old"})

    assert dict(recent.of("a")) == {}


def test_what_comes_after_a_change_takes_no_room_of_what_is_kept():
    recent = RecentReads(60, 3)
    ended = recent.of("a")
    recent.forget("a")
    recent.put("a", ended, {"one": 1, "two": 2, "three": 3})

    recent.put("b", recent.of("b"), {"key": 1})

    assert dict(recent.of("b")) == {"key": 1}


def test_what_comes_after_a_change_takes_no_room_of_the_next_reading():
    reads = RecentReads(60, 2)
    before = reads.of("1")
    reads.forget("1")
    now = reads.of("1")

    reads.put("1", before, {"a": 1, "b": 2})
    reads.put("1", now, {"c": 3, "d": 4})

    assert reads.of("1") == {"c": 3, "d": 4}


def test_a_reading_ends_after_its_seconds():
    recent = RecentReads(0, 10)
    recent.put("a", recent.of("a"), {"key": 1})

    assert dict(recent.of("a")) == {}


def test_the_accounts_that_were_used_last_stay_within_the_bound():
    recent = RecentReads(60, 5, weigh=len)
    for account in "abc":
        recent.put(account, recent.of(account), {"key": [1, 2]})

    assert [dict(recent.of(account)) for account in "bc"] == [{"key": [1, 2]}] * 2
    assert dict(recent.of("a")) == {}


def test_an_account_that_is_dropped_begins_again_with_nothing():
    recent = RecentReads(60, 3)
    for account in "ab":
        recent.put(account, recent.of(account), {"one": 1, "two": 2})

    assert [dict(recent.of(account)) for account in "ba"] == [{"one": 1, "two": 2}, {}]


def test_an_account_that_is_only_looked_at_is_used_too():
    recent = RecentReads(60, 2)
    for account in "ab":
        recent.put(account, recent.of(account), {"key": 1})
    recent.of("a")

    recent.put("c", recent.of("c"), {"key": 1})

    assert [dict(recent.of(account)) for account in "abc"] == [{"key": 1}, {}, {"key": 1}]


def test_a_value_that_replaces_another_one_counts_once():
    recent = RecentReads(60, 5, weigh=len)
    for _ in range(10):
        recent.put("a", recent.of("a"), {"key": [1, 2]})

    assert dict(recent.of("a")) == {"key": [1, 2]}


def test_of_one_account_the_values_that_were_added_last_stay_within_the_bound():
    recent = RecentReads(60, 5, weigh=len)
    for key in range(10):
        recent.put("a", recent.of("a"), {key: [1, 2]})
    recent.put("a", recent.of("a"), {"whole": [1] * 5})
    alone = dict(recent.of("a"))
    for key in range(4):
        recent.put("a", recent.of("a"), {key: [1, 2]})

    assert alone == {"whole": [1] * 5}
    assert dict(recent.of("a")) == {2: [1, 2], 3: [1, 2]}


def test_a_value_that_is_larger_than_the_bound_is_not_kept():
    recent = RecentReads(60, 5, weigh=len)
    recent.put("a", recent.of("a"), {"key": [1] * 6})
    recent.put("a", recent.of("a"), {"next": [1]})

    assert dict(recent.of("a")) == {"next": [1]}
