"""Cached values in the database: a newer one is never replaced by an older one, and their number is bounded."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from services.store import cache_entries as module
from services.store.cache_entries import ADDED, CacheKey, EntryRow
from services.store.connections import READERS, WRITERS
from services.store.database import CHUNK

ACCOUNT = "17841400000000001"
LATER = 4_000_000_000.0


def entry(text, fetched_at, kept_until=LATER):
    return EntryRow(text.encode(), fetched_at, kept_until)


def found(store, *keys):
    return {key.key: row.value.decode() for key, row in store.cache_entries.read(ACCOUNT, keys).items()}


@pytest.mark.parametrize("how", ["put", "keep", "commit"])
@pytest.mark.parametrize(("fetched_at", "stays"), [(99.0, "newer"), (100.0, "equally old"), (101.0, "the later one")])
def test_an_older_value_never_replaces_a_newer_one(store, how, fetched_at, stays):
    table, holder = store.cache_entries, "one"
    table.put(ACCOUNT, {CacheKey("profile"): entry("newer", 100.0)})
    rows = {CacheKey("profile"): entry(stays if fetched_at >= 100.0 else "older", fetched_at)}
    fences = store.leases.acquire(ACCOUNT, ["profile"], holder)

    if how == "put":
        table.put(ACCOUNT, rows)
    elif how == "keep":
        table.keep(ACCOUNT, fences, holder, rows)
    else:
        table.commit(ACCOUNT, fences, holder, rows, failures={})

    assert found(store, "profile") == {"profile": stays}


def test_a_replaced_value_raises_the_version_of_its_account_and_a_first_one_does_not(store):
    table = store.cache_entries

    def commit(key, fetched_at):
        fences = store.leases.acquire(ACCOUNT, [key], "one")
        return table.commit(ACCOUNT, fences, "one", {CacheKey(key): entry("{}", fetched_at)}, failures={})

    assert commit("profile", 100.0) == ({"profile"}, None)
    assert commit("posts", 100.0) == ({"posts"}, None)
    assert table.versions() == {f"{ACCOUNT}{ADDED}": 2}
    assert commit("profile", 101.0) == ({"profile"}, 1)
    assert commit("profile", 102.0) == ({"profile"}, 2)
    assert table.versions() == {ACCOUNT: 2, f"{ACCOUNT}{ADDED}": 2}
    fences = store.leases.acquire(ACCOUNT, ["profile"], "one")
    assert table.keep(ACCOUNT, fences, "one", {CacheKey("profile"): entry("{}", 103.0)}) == ({"profile"}, 3)
    assert table.versions() == {ACCOUNT: 3, f"{ACCOUNT}{ADDED}": 2}


def test_more_values_than_one_statement_takes_are_committed_read_and_replaced_together(store):
    table, keys = store.cache_entries, [f"posts of day {number}" for number in range(CHUNK + 1)]
    fences = store.leases.acquire(ACCOUNT, keys, "one")

    rows = {CacheKey(key): entry("first", 100.0) for key in keys}
    assert table.commit(ACCOUNT, fences, "one", rows, failures={}) == (set(keys), None)
    states = store.leases.states([(ACCOUNT, key) for key in keys])
    assert [len(states), any(state.held for state in states.values())] == [len(keys), False]
    assert found(store, *keys) == dict.fromkeys(keys, "first")
    assert table.put(ACCOUNT, {CacheKey(key): entry("second", 101.0) for key in keys}) == 1
    assert found(store, *keys) == dict.fromkeys(keys, "second")
    assert table.versions() == {ACCOUNT: 1, f"{ACCOUNT}{ADDED}": 1}


def test_a_value_that_is_new_beside_one_that_is_replaced_is_announced_as_new(store):
    table = store.cache_entries
    table.put(ACCOUNT, {CacheKey("profile"): entry("{}", 100.0)})

    table.put(ACCOUNT, {CacheKey(key): entry("{}", 101.0) for key in ("profile", "posts")})

    assert table.versions() == {ACCOUNT: 1, f"{ACCOUNT}{ADDED}": 2}


def test_values_of_another_account_and_other_parts_of_a_key_are_not_replaced(store):
    table = store.cache_entries
    table.put("17841400000000002", {CacheKey("profile", "text"): entry("{}", 100.0)})
    table.put(ACCOUNT, {CacheKey("profile", "counts"): entry("{}", 100.0)})

    fences = store.leases.acquire(ACCOUNT, ["profile"], "one")
    rows = {CacheKey("profile", "text"): entry("{}", 101.0)}

    assert table.commit(ACCOUNT, fences, "one", rows, failures={}) == ({"profile"}, None)
    assert not {ACCOUNT, "17841400000000002"} & table.versions().keys()


def test_values_that_are_forgotten_have_a_later_version_so_that_every_process_drops_them(store):
    store.cache_entries.raise_version(ACCOUNT)
    before = store.cache_entries.versions()[ACCOUNT]

    store.cache_entries.forget(ACCOUNT)

    assert store.cache_entries.versions()[ACCOUNT] == before + 1


def test_a_sweep_deletes_what_may_not_serve_any_more(store):
    rows = {CacheKey("over"): entry("{}", 1.0, 99.9), CacheKey("just"): entry("{}", 1.0, 100.0)}
    store.cache_entries.put(ACCOUNT, rows)

    assert store.cache_entries.sweep(100.0) == 1

    assert set(found(store, "over", "just")) == {"just"}


@pytest.mark.parametrize("excess", [1, 2])
def test_a_sweep_deletes_the_oldest_values_beyond_the_limit(store, monkeypatch, excess):
    monkeypatch.setattr(module, "MAX_ROWS", 6 - excess)
    keys = [str(number) for number in range(6)]
    store.cache_entries.put(ACCOUNT, {CacheKey(key): entry("{}", 100.0 + int(key)) for key in keys})

    assert store.cache_entries.sweep(100.0) == excess

    assert set(found(store, *keys)) == set(keys[excess:])
    assert store.cache_entries.sweep(100.0) == 0


def test_what_other_processes_wait_for_is_read_although_all_connections_of_readers_are_in_use(store):
    with ExitStack() as in_use:
        for _ in range(READERS):
            in_use.enter_context(store.databases[0].read())

        assert store.cache_entries.read_under_lease(ACCOUNT, ["profile"]) == {}
        assert store.cache_entries.versions() == {}
        assert store.leases.states([(ACCOUNT, "profile")]) == {}


def test_values_are_read_although_all_connections_of_writers_are_in_use(store):
    with ExitStack() as in_use:
        for _ in range(WRITERS):
            in_use.enter_context(store.databases[0].read(before_readers=True))

        assert store.cache_entries.read(ACCOUNT, ["profile"]) == {}
