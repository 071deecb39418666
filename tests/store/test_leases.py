"""Leases: one holder of a key at a time, and nothing of an earlier holder after a takeover."""

from __future__ import annotations

import threading
import time

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.engine import Engine

from services.store import cache_leases as lease_module
from services.store.cache_entries import CacheKey, EntryRow
from services.store.database import CHUNK
from services.store.memory_tables import leases

ACCOUNT, KEY = "17841400000000001", "profile"
LATER = 4_000_000_000.0


@pytest.fixture
def memory(store):
    """The database of the leases."""
    return store.databases[0]


def lease_ends(memory):
    """When the lease of each key ends."""
    with memory.read() as connection:
        return {row.key: row.lease_until for row in connection.execute(select(leases.c.key, leases.c.lease_until))}


def end_all(memory, *, seconds_ago=1.0):
    """Let the time of every lease be over, as if its holder had hung."""
    with memory.write() as connection:
        connection.execute(update(leases).values(lease_until=time.time() - seconds_ago))


def row(text, fetched_at=100.0):
    return EntryRow(text.encode(), fetched_at, LATER)


def values(store, key=KEY):
    return {each: found.value.decode() for each, found in store.cache_entries.read(ACCOUNT, [key]).items()}


def commit(store, fences, holder, text, *, fetched_at=100.0, failures=None, key=KEY):
    rows = {CacheKey(key): row(text, fetched_at)}
    return store.cache_entries.commit(ACCOUNT, fences, holder, rows, failures=failures or {})


def test_a_held_key_is_not_given_to_another_holder(store):
    assert store.leases.acquire(ACCOUNT, [KEY, "posts"], "one") == {KEY: 1, "posts": 1}

    assert store.leases.acquire(ACCOUNT, [KEY, "other"], "two") == {"other": 1}
    assert store.leases.acquire("17841400000000002", [KEY], "two") == {KEY: 1}


def test_each_takeover_raises_the_fence_and_forgets_the_failure_before(store, memory):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    commit(store, fences, "one", "{}", failures={KEY: "it failed"})
    assert store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].failure == "it failed"

    assert store.leases.acquire(ACCOUNT, [KEY], "two") == {KEY: 2}

    state = store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY]
    assert (state.held, state.fence, state.failure) == (True, 2, None)
    end_all(memory)
    assert not store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].held
    assert store.leases.acquire(ACCOUNT, [KEY], "one") == {KEY: 3}


def test_a_failure_is_that_of_one_account(store):
    other = "17841400000000002"
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    store.leases.acquire(other, [KEY], "one")

    commit(store, fences, "one", "{}", failures={KEY: "it failed"})

    states = store.leases.states([(ACCOUNT, KEY), (other, KEY)])
    assert (states[ACCOUNT, KEY].failure, states[other, KEY].failure) == ("it failed", None)


@pytest.mark.parametrize(("seconds", "taken"), [(590, {}), (610, {KEY: 2})])
def test_only_a_lease_that_ends_later_than_any_can_is_damaged_and_taken_over(store, memory, seconds, taken):
    store.leases.acquire(ACCOUNT, [KEY], "one")

    end_all(memory, seconds_ago=-seconds)

    assert store.leases.acquire(ACCOUNT, [KEY], "two") == taken


@pytest.mark.parametrize("step", ["commit", "keep"])
def test_a_value_that_comes_after_a_takeover_is_not_written(store, memory, step):
    fences = store.leases.acquire(ACCOUNT, [KEY, "posts"], "one")
    end_all(memory)
    store.leases.acquire(ACCOUNT, [KEY], "two")
    rows = {CacheKey(KEY): row('"late"'), CacheKey("posts"): row('"in time"')}

    if step == "commit":
        current, _ = store.cache_entries.commit(ACCOUNT, fences, "one", rows, failures={KEY: "late"})
    else:
        current, _ = store.cache_entries.keep(ACCOUNT, fences, "one", rows)

    # No other process has taken `posts` over, so its value counts although its lease was not extended in time.
    assert current == {"posts"}
    assert values(store) == {}
    assert values(store, "posts") == {CacheKey("posts"): '"in time"'}
    state = store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY]
    assert (state.held, state.failure) == (True, None)


def write(store, step, fences, holder, text):
    """Commit a value, or keep it while its lease goes on; return what that returns."""
    if step == "commit":
        return commit(store, fences, holder, text)
    return store.cache_entries.keep(ACCOUNT, fences, holder, {CacheKey(KEY): row(text)})


@pytest.mark.parametrize("step", ["commit", "keep"])
def test_a_holder_that_lost_its_lease_to_itself_writes_nothing_under_the_old_fence(store, memory, step):
    old = store.leases.acquire(ACCOUNT, [KEY], "one")
    end_all(memory)
    new = store.leases.acquire(ACCOUNT, [KEY], "one")

    assert write(store, step, old, "one", '"old"') == (set(), None)
    assert values(store) == {}
    assert write(store, step, new, "one", '"new"') == ({KEY}, None)
    assert values(store) == {CacheKey(KEY): '"new"'}


@pytest.mark.parametrize("step", ["commit", "keep"])
def test_a_foreign_holder_with_the_right_fence_writes_nothing_and_ends_no_lease(store, step):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")

    assert write(store, step, fences, "two", '"foreign"') == (set(), None)

    assert store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].held
    assert values(store) == {}


@pytest.mark.parametrize("step", ["commit", "keep"])
def test_the_lease_of_another_account_is_none_of_this_one(store, memory, step):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    end_all(memory)
    store.leases.acquire(ACCOUNT, [KEY], "two")
    store.leases.acquire("17841400000000002", [KEY], "one")

    assert write(store, step, fences, "one", '"late"') == (set(), None)

    assert values(store) == {}
    assert store.leases.states([("17841400000000002", KEY)])["17841400000000002", KEY].held


def test_a_commit_ends_the_lease_and_a_kept_part_extends_it(store, memory):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    end_all(memory)

    store.cache_entries.keep(ACCOUNT, fences, "one", {CacheKey(KEY): row('"part"')})
    assert store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].held
    store.leases.acquire(ACCOUNT, ["later"], "one")
    assert lease_ends(memory)[KEY] <= lease_ends(memory)["later"]

    commit(store, fences, "one", '"whole"', fetched_at=101.0)
    assert not store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].held
    assert values(store) == {CacheKey(KEY): '"whole"'}


def test_an_extension_is_of_all_leases_of_its_holder_and_of_no_other_one(store, memory):
    keys = [f"posts of day {number}" for number in range(CHUNK + 1)]
    store.leases.acquire(ACCOUNT, keys, "one")
    store.leases.acquire(ACCOUNT, ["other"], "two")
    end_all(memory)
    before = lease_ends(memory)

    store.leases.extend("one")

    after = lease_ends(memory)
    assert after["other"] == before["other"]
    store.leases.acquire(ACCOUNT, ["later"], "one")
    assert all(before[key] + lease_module.LEASE <= after[key] <= lease_ends(memory)["later"] for key in keys)


def test_a_lease_that_has_ended_is_not_extended_any_more(store):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    commit(store, fences, "one", "{}")

    store.leases.extend("one")

    assert store.leases.acquire(ACCOUNT, [KEY], "two") == {KEY: 2}


def test_the_fence_of_an_ended_lease_outlives_any_holder_that_could_come_back(store, memory):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    commit(store, fences, "one", "{}")

    store.cache_entries.sweep(time.time())
    assert store.leases.acquire(ACCOUNT, [KEY], "two") == {KEY: 2}

    end_all(memory, seconds_ago=lease_module.KEEP_FENCES_FOR - 60)
    store.cache_entries.sweep(time.time())
    assert store.leases.acquire(ACCOUNT, [KEY], "three") == {KEY: 3}

    end_all(memory, seconds_ago=lease_module.KEEP_FENCES_FOR + 60)
    store.cache_entries.sweep(time.time())
    assert lease_ends(memory) == {}


def test_forgetting_an_account_ends_its_fetches(store):
    mine = store.leases.acquire(ACCOUNT, [KEY], "one")
    other = store.leases.acquire("17841400000000002", [KEY], "one")
    commit(store, mine, "one", '"kept"')
    mine = store.leases.acquire(ACCOUNT, [KEY], "one")

    store.cache_entries.forget(ACCOUNT)

    assert values(store) == {}
    assert commit(store, mine, "one", '"of a deleted account"', fetched_at=200.0) == (set(), None)
    assert values(store) == {}
    assert store.cache_entries.commit("17841400000000002", other, "one", {}, failures={})[0] == {KEY}


@pytest.mark.parametrize("step", ["keep", "commit"])
def test_no_other_holder_takes_a_key_over_between_the_check_of_its_fence_and_the_change(store, memory, step):
    fences = store.leases.acquire(ACCOUNT, [KEY], "one")
    end_all(memory)
    taken, checked = [], []

    def take_over():
        taken.append(store.leases.acquire(ACCOUNT, [KEY], "two"))

    other = threading.Thread(target=take_over)

    def after(_connection, _cursor, statement, *_):
        if "fence" in statement and statement.startswith("SELECT") and not checked:
            checked.append(statement)
            other.start()
            other.join(0.5)

    event.listen(Engine, "after_cursor_execute", after)
    try:
        rows = {CacheKey(KEY): row("{}")}
        further = {"failures": {}} if step == "commit" else {}
        current, _ = getattr(store.cache_entries, step)(ACCOUNT, fences, "one", rows, **further)
    finally:
        event.remove(Engine, "after_cursor_execute", after)
        other.join()

    assert current == {KEY}
    assert taken == ([{KEY: 2}] if step == "commit" else [{}])
