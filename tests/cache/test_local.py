"""This process's copy of cached values: bounded, the least recently used go first, and nothing old comes back."""

from __future__ import annotations

import pytest

from services.cache.local import MOST_ABSENT, READ_FACTOR, ROW_OVERHEAD, LocalCache
from services.cache.values import HeldRow
from services.store.cache_entries import CacheKey, EntryRow

SIZE = 100  # bytes of each value
COST = SIZE * READ_FACTOR + ROW_OVERHEAD
PARTS = ("", "first", "second")


def row(size=SIZE):
    return HeldRow(EntryRow(b"x" * size, 1.0, 2.0))


def add(local, key, part="", size=SIZE, account="1"):
    local.put(account, {CacheKey(key, part): row(size)}, read_at=local.tick)


def keys(local, *keys, account="1"):
    return [key for key in keys if local.get(account, [CacheKey(key, part) for part in PARTS])]


def test_the_least_recently_used_value_goes_first():
    local = LocalCache(3 * COST)
    for key in "abc":
        add(local, key)

    local.get("1", [CacheKey("a")])
    add(local, "d")

    assert keys(local, *"abcd") == ["a", "c", "d"]


def test_a_value_that_is_replaced_was_used_last():
    local = LocalCache(3 * COST)
    for key in "abca":
        add(local, key)

    add(local, "d")

    assert keys(local, *"abcd") == ["a", "c", "d"]


def test_a_value_that_is_replaced_is_counted_once():
    local = LocalCache(3 * COST)
    for key in "abc":
        add(local, key)

    for _ in range(10):
        add(local, "c")
    assert keys(local, *"abc") == ["a", "b", "c"]

    add(local, "c", size=2 * SIZE)
    assert keys(local, *"abc") == ["b", "c"]


def test_only_the_rows_of_the_named_parts_are_returned():
    local = LocalCache(3 * COST)
    add(local, "a", "first")
    add(local, "a", "second")

    assert set(local.get("1", [CacheKey("a", "second"), CacheKey("a"), CacheKey("b")])) == {CacheKey("a", "second")}


def test_what_was_dropped_leaves_its_room_to_others():
    local = LocalCache(3 * COST)
    for _ in range(5):
        for key in "abc":
            add(local, key)
            add(local, key, account="2")
        local.drop("1")
        local.drop("2")
    for key in "abc":
        add(local, key)

    assert keys(local, *"abc") == ["a", "b", "c"]


def test_all_parts_of_a_key_go_together():
    local = LocalCache(3 * COST)
    add(local, "a", "first")
    add(local, "a", "second")
    add(local, "b")

    add(local, "c")

    assert keys(local, *"abc") == ["b", "c"]
    add(local, "d")
    assert keys(local, *"abcd") == ["b", "c", "d"]


def test_a_value_larger_than_all_room_is_not_held():
    local = LocalCache(3 * COST)

    add(local, "a", size=100 * SIZE)

    assert keys(local, "a") == []


@pytest.mark.parametrize("account", ["1", "2"])
def test_what_was_read_before_a_change_of_its_account_is_not_held(account):
    local = LocalCache(3 * COST)
    read_at = local.tick
    local.drop(account)

    local.put("1", {CacheKey("a"): row()}, read_at=read_at)
    local.note_read("1", ["a"], read_at=read_at)

    assert keys(local, "a") == (["a"] if account == "2" else [])
    assert local.is_whole("1", "a") is (account == "2")


def test_a_change_is_of_one_account_and_has_a_later_tick():
    local = LocalCache(10 * COST)
    add(local, "a")
    add(local, "a", account="2")
    before = local.tick
    for account in "12":
        local.note_read(account, ["a"], read_at=before)

    local.drop("1")

    assert (local.last_change("1"), local.last_change("2")) == (before + 1, 0)
    assert (local.is_whole("1", "a"), local.is_whole("2", "a")) == (False, True)
    assert (keys(local, "a"), keys(local, "a", account="2")) == ([], ["a"])


def test_a_value_that_goes_for_others_is_not_taken_for_one_that_the_database_lacks():
    local = LocalCache(COST)
    add(local, "a")
    local.note_read("1", ["a"], read_at=local.tick)

    add(local, "b")

    assert (keys(local, "a", "b"), local.is_whole("1", "a")) == (["b"], False)


def test_what_was_read_of_absent_keys_is_remembered_within_a_bound():
    local = LocalCache(COST)
    local.note_read("1", ["a"], read_at=local.tick)
    local.note_read("1", [str(number) for number in range(MOST_ABSENT)], read_at=local.tick)

    assert (local.is_whole("1", "a"), local.is_whole("1", "0")) == (False, True)


def test_what_was_absent_before_new_values_came_is_not_remembered_later():
    local = LocalCache(COST)
    before = local.tick
    local.note_read("1", ["a"], read_at=before)
    assert local.is_whole("1", "a")

    local.drop_absences("1")
    local.note_read("1", ["b"], read_at=before)

    assert [local.is_whole("1", key) for key in "ab"] == [False, False]


def test_new_values_leave_those_in_place_that_are_here():
    local = LocalCache(COST)
    add(local, "a")

    local.drop_absences("1")

    assert (keys(local, "a"), local.last_change("1")) == (["a"], 0)
