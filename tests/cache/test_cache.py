"""The cache by itself, over both stores: what it serves, what it fetches, and what one process learns from another."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from services import request_context
from services.cache.entries import CacheEntry
from services.cache.failure_text import serialize
from services.cache.policies import DAY, FOR_EVER, RETRY_FAILED_AFTER, RETRY_UNKNOWN_AFTER, STALE_IF_ERROR, FixedTTL
from services.cache.single_flight import Flight
from services.cache.values import ASKED
from services.errors import DeadlineExceededError, ProviderError, ProviderTimeoutError
from services.request_context import RequestContext
from services.store.cache_entries import CacheKey, EntryRow
from services.store.database import DatabaseUnavailableError
from services.store.memory_tables import leases
from tests.support import wait_until

ACCOUNT, KEY = "17841400000000001", "profile"
HOUR = FixedTTL(3600)


class Final:
    """The policy of a value that never changes any more."""

    def __init__(self):
        self._usual = FixedTTL(3600)

    def __getattr__(self, name):
        return getattr(self._usual, name)

    def expires_at(self, _value, _fetched_at):
        return FOR_EVER


class Replaced(FixedTTL):
    """The policy of a list: a new one takes over nothing of the known one by itself."""

    def merge(self, _known, new):
        return new


@pytest.fixture
def refreshing(clock):
    """Run a call as a request that accepts only values from now on."""

    def run(call):
        context = RequestContext("1", started_at=clock.timestamp())
        token = request_context.current.set(context)
        try:
            request_context.accept_since(clock.timestamp())
            return call()
        finally:
            request_context.current.reset(token)

    return run


def get(cache, number, policy=HOUR, *, key=KEY, calls=None):
    """Read a value, which is `number` if it has to be fetched."""

    def fetch(_cached):
        if calls is not None:
            calls.append(number)
        if isinstance(number, Exception):
            raise number
        return {"number": number}

    return cache.get_or_fetch(ACCOUNT, key, policy, fetch)


def quiet(cache):
    """Wait until no refresh runs in the background."""
    assert cache.wait_until_quiet(10)


def timeout():
    return ProviderTimeoutError("It did not answer.", provider="instagram")


def test_what_runs_beside_a_cache_begins_with_its_use(make_cache):
    begun = []
    cache = make_cache(on_use=lambda: begun.append(1))
    before = list(begun)

    for number in range(3):
        get(cache, number, key=str(number))

    assert (before, begun) == ([], [1, 1, 1])  # Again each time: it may not have been possible before.


# What is served without a call


@pytest.mark.parametrize(("policy", "number"), [(HOUR, 2), (Final(), 1)])
def test_a_final_value_is_not_fetched_again_by_a_refresh_and_any_other_is(cache, clock, refreshing, policy, number):
    get(cache, 1, policy)
    clock.wait(1)

    assert refreshing(lambda: get(cache, 2, policy)).value == {"number": number}


def test_a_value_that_was_fetched_at_the_moment_of_a_refresh_is_new_enough(cache, refreshing):
    get(cache, 1)

    assert refreshing(lambda: get(cache, 2)).value == {"number": 1}


def test_a_value_that_is_known_to_be_absent_is_looked_for_under_its_lease_only(cache, store, monkeypatch):
    cache.known(ACCOUNT, {CacheKey(KEY): HOUR})
    monkeypatch.setattr(store.cache_entries, "read", lambda *keys: pytest.fail(f"{keys} are read."))

    assert get(cache, 1).value == {"number": 1}


@pytest.mark.parametrize("swr", [60, 0], ids=["at once", "within moments"])
def test_an_expired_value_is_not_refreshed_where_its_provider_may_not_be_called(make_cache, clock, swr):
    cache, calls, policy = make_cache(may_refresh=False), [], FixedTTL(3600, swr=swr)
    get(cache, 1, policy)
    clock.wait(3601)

    assert get(cache, 2, policy, calls=calls).value == {"number": 1}
    quiet(cache)

    assert calls == []


@pytest.mark.parametrize("may_refresh", [True, False])
def test_an_expired_value_is_refreshed_in_the_background_only_where_that_is_allowed(make_cache, clock, may_refresh):
    cache, calls, policy = make_cache(may_refresh=may_refresh), [], FixedTTL(3600, swr=60)
    get(cache, 1, policy)
    clock.wait(3601)

    assert get(cache, 2, policy, calls=calls).value == {"number": 1}
    quiet(cache)

    assert calls == ([2] if may_refresh else [])


def test_a_value_is_answered_no_longer_than_it_is_kept(make_cache, store, clock):
    cache = make_cache()
    now = clock.timestamp()
    store.cache_entries.put(ACCOUNT, {CacheKey(KEY): EntryRow(b'{"number": 1}', now - 10, now + 5)})

    assert get(cache, 2).value == {"number": 1}
    clock.wait(5)
    assert get(cache, 2).value == {"number": 2}


def test_an_expired_value_that_could_not_be_read_again_is_no_fresh_one(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(3601)

    refreshing(lambda: get(cache, timeout()))

    assert cache.peek(ACCOUNT, {CacheKey(KEY): HOUR}) == {}


def test_a_final_value_is_kept_for_a_day_only_as_the_history_has_it(cache, store, clock):
    get(cache, 1, Final())

    deleted = [store.cache_entries.sweep(clock.timestamp() + seconds) for seconds in (86_400, 86_401)]

    assert deleted == [0, 1]


def test_an_absent_value_is_looked_for_in_the_database_again_after_a_minute_only(cache, store, monkeypatch):
    reads, now = [], float(int(time.monotonic()))  # So that sums and differences of seconds are exact.
    read = store.cache_entries.read
    monkeypatch.setattr(store.cache_entries, "read", lambda *keys: reads.append(keys) or read(*keys))
    monkeypatch.setattr("services.cache.local.time.monotonic", lambda: now)
    for seconds in (0, 2, 50):
        now += seconds
        assert (cache.known(ACCOUNT, {CacheKey(KEY): HOUR}), len(reads)) == ({}, 1)
        assert (cache.peek(ACCOUNT, {CacheKey(KEY): HOUR}), len(reads)) == ({}, 1)

    now += 8.5

    assert (cache.known(ACCOUNT, {CacheKey(KEY): HOUR}), len(reads)) == ({}, 2)


@pytest.mark.parametrize("is_fetched", [True, False], ids=["fetched", "put"])
def test_an_absent_value_is_looked_for_again_once_another_process_has_it(make_cache, is_fetched):
    here, there = make_cache(), make_cache()
    get(here, 1, key="another")
    here.invalidate_changed()
    assert here.known(ACCOUNT, {CacheKey(KEY): HOUR}) == {}

    if is_fetched:
        get(there, 2)
    else:
        there.put(ACCOUNT, {CacheKey(KEY): ({"number": 2}, HOUR)})
    assert here.known(ACCOUNT, {CacheKey(KEY): HOUR}) == {}
    here.invalidate_changed()

    assert here.known(ACCOUNT, {CacheKey(KEY): HOUR})[CacheKey(KEY)].value == {"number": 2}


def test_a_listener_of_changes_does_not_find_the_old_value_any_more(make_cache, clock):
    here, there, found = make_cache(), make_cache(), []
    get(here, 1)
    here.invalidate_changed()
    here.on_change(lambda account: found.append(here.known(account, {CacheKey(KEY): HOUR})[CacheKey(KEY)].value))
    clock.wait(1)

    there.put(ACCOUNT, {CacheKey(KEY): ({"number": 2}, HOUR)})
    here.invalidate_changed()

    assert found == [{"number": 2}]


def test_a_new_value_leaves_what_is_known_of_the_account_in_place(make_cache):
    here, there, changes = make_cache(), make_cache(), []
    get(here, 1)
    here.invalidate_changed()
    here.on_change(changes.append)

    there.put(ACCOUNT, {CacheKey("another"): ({"number": 2}, HOUR)})
    here.invalidate_changed()

    assert changes == []


@pytest.mark.parametrize("how", ["fetched", "kept", "put"])
def test_a_value_that_replaces_none_is_no_news_to_the_process_that_has_it(cache, how):
    changes, key = [], CacheKey(KEY)
    cache.on_change(changes.append)

    def fetch(_keys, _cached, keep):
        keep({key: {"number": 1}})
        return {key: {"number": 1}}

    if how == "fetched":
        get(cache, 1)
    elif how == "kept":
        cache.get_or_fetch_many(ACCOUNT, {key: HOUR}, fetch)
    else:
        cache.put(ACCOUNT, {key: ({"number": 1}, HOUR)})

    assert changes == []


@pytest.mark.parametrize("is_fetched", [True, False], ids=["fetched", "put"])
def test_a_value_that_replaces_another_is_news_to_every_process(make_cache, clock, refreshing, is_fetched):
    here, there, changes = make_cache(), make_cache(), {"here": [], "there": []}
    get(there, 1)
    get(here, 3, key="another")
    assert get(here, 3).value == {"number": 1}
    here.invalidate_changed()
    here.on_change(changes["here"].append)
    there.on_change(changes["there"].append)
    clock.wait(1)

    if is_fetched:
        refreshing(lambda: get(there, 2))
    else:
        there.put(ACCOUNT, {CacheKey(KEY): ({"number": 2}, HOUR)})
    here.invalidate_changed()

    assert [each.known(ACCOUNT, {CacheKey(KEY): HOUR})[CacheKey(KEY)].value for each in (here, there)] == [
        {"number": 2}
    ] * 2
    assert changes == {"here": [ACCOUNT], "there": [ACCOUNT]}


def test_a_fetch_of_another_caller_is_waited_for_no_longer_than_the_request_may_take(cache, clock):
    begun, ended = threading.Event(), threading.Event()

    def slow(_cached):
        begun.set()
        ended.wait(5)
        return {"number": 1}

    other = threading.Thread(target=cache.get_or_fetch, args=(ACCOUNT, KEY, HOUR, slow))
    other.start()
    assert begun.wait(30)
    token = request_context.current.set(RequestContext("1", started_at=clock.timestamp(), seconds=0.1))
    try:
        with pytest.raises(ProviderError):
            get(cache, 2)
        assert not ended.is_set()
        assert other.is_alive()
    finally:
        request_context.current.reset(token)
        ended.set()
        other.join()


def test_a_last_good_value_has_expired_by_now_whatever_it_said_before(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(10)

    kept = refreshing(lambda: get(cache, timeout()))

    assert (kept.value, kept.stale) == ({"number": 1}, True)
    assert kept.expires_at <= clock.timestamp()


def test_a_fresh_value_that_could_not_be_read_again_has_expired_at_that_moment(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(10)
    refreshing(lambda: get(cache, timeout()))

    found = get(cache, 2)

    assert (found.value, found.expires_at) == ({"number": 1}, clock.timestamp())


def test_a_fresh_value_that_could_not_be_read_again_can_still_be_peeked_at(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(10)
    refreshing(lambda: get(cache, timeout()))

    assert [each.value for each in cache.peek(ACCOUNT, {CacheKey(KEY): HOUR}).values()] == [{"number": 1}]


class ExpiredLongSince(Final):
    """The policy of a value that had expired before it was fetched."""

    def expires_at(self, _value, fetched_at):
        return fetched_at - 2 * STALE_IF_ERROR


def test_a_value_that_had_expired_before_is_kept_from_when_it_was_fetched(make_cache, clock):
    get(make_cache(), 1, ExpiredLongSince())
    clock.wait(STALE_IF_ERROR - 1)

    last_good = get(make_cache(), timeout(), ExpiredLongSince())

    assert (last_good.value, last_good.stale) == ({"number": 1}, True)


def test_what_was_asked_for_in_vain_is_asked_for_again_after_a_moment(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(10)
    refreshing(lambda: get(cache, timeout()))
    calls = []

    get(cache, 2, calls=calls)
    quiet(cache)
    assert calls == []

    clock.wait(RETRY_FAILED_AFTER)
    get(cache, 3, calls=calls)
    quiet(cache)
    assert calls == [3]


def test_a_secret_that_a_provider_echoes_is_not_written(make_cache, store):
    cache = make_cache(redact=lambda text: text.replace("sEcReT", "[redacted]"))

    get(cache, "sEcReT")

    (row,) = store.cache_entries.read(ACCOUNT, [KEY]).values()
    assert row.value == b'{"number":"[redacted]"}'


# Fetches in parts, and a database that takes nothing


def test_a_failure_of_some_keys_of_a_fetch_is_none_of_the_others_which_are_not_fetched_again(cache):
    keys, calls = [CacheKey(key) for key in "abc"], []

    def fetch(_keys, _cached, keep):
        calls.append(1)
        keep({keys[0]: {"number": 1}})
        return {keys[0]: timeout(), keys[1]: timeout(), keys[2]: {"number": 3}}

    found = cache.get_or_fetch_many(ACCOUNT, dict.fromkeys(keys, HOUR), fetch)

    assert [found[keys[0]].value, type(found[keys[1]]), found[keys[2]].value, calls] == [
        {"number": 1},
        ProviderTimeoutError,
        {"number": 3},
        [1],
    ]


def unavailable(*_arguments, **_options):
    raise DatabaseUnavailableError("memory", "the disk is full")


def test_a_part_that_could_not_be_written_at_once_is_written_at_the_end(make_cache, store, monkeypatch):
    monkeypatch.setattr(store.cache_entries, "keep", unavailable)

    def fetch(_keys, _cached, keep):
        keep({CacheKey(KEY): {"number": 1}})
        raise timeout()

    found = make_cache().get_or_fetch_many(ACCOUNT, {CacheKey(KEY): HOUR}, fetch)

    assert found[CacheKey(KEY)].value == {"number": 1}
    calls = []
    assert get(make_cache(), 2, calls=calls).value == {"number": 1}
    assert calls == []


def test_a_part_is_in_the_database_while_the_fetch_goes_on_and_is_not_written_again_at_the_end(cache, store):
    def fetch(_keys, _cached, keep):
        keep({CacheKey(KEY): {"number": 1}})
        wait_until(lambda: store.cache_entries.read(ACCOUNT, [KEY]))
        return {CacheKey(KEY): {"number": 1}}

    cache.get_or_fetch_many(ACCOUNT, {CacheKey(KEY): HOUR}, fetch)

    assert ACCOUNT not in store.cache_entries.versions()  # Nothing was replaced.


def test_a_value_that_could_not_be_written_is_not_replaced_by_the_older_one_of_the_database(
    cache, store, clock, monkeypatch
):
    written, absent = CacheKey(KEY, "1"), CacheKey(KEY, "2")
    cache.put(ACCOUNT, {written: ({"number": 1}, HOUR)})
    clock.wait(10)
    with monkeypatch.context() as patched:
        patched.setattr(store.cache_entries, "put", unavailable)
        cache.put(ACCOUNT, {written: ({"number": 2}, HOUR)})

    found = cache.known(ACCOUNT, {written: HOUR, absent: HOUR})  # The database is read for all parts of the key.

    assert found[written].value == {"number": 2}
    assert cache.known(ACCOUNT, {written: HOUR})[written].value == {"number": 2}


def test_a_value_that_could_not_be_written_and_whose_time_lies_ahead_gives_way_to_that_of_the_database(
    cache, store, clock, monkeypatch
):
    written, absent, present = CacheKey(KEY, "1"), CacheKey(KEY, "2"), clock.now()
    cache.put(ACCOUNT, {written: ({"number": 1}, HOUR)})
    clock.wait(DAY)
    with monkeypatch.context() as patched:
        patched.setattr(store.cache_entries, "put", unavailable)
        cache.put(ACCOUNT, {written: ({"number": 2}, HOUR)})
    clock.set(present)

    found = cache.known(ACCOUNT, {written: HOUR, absent: HOUR})

    assert found[written].value == {"number": 1}


def test_an_unexpected_error_of_a_fetch_ends_its_lease(cache, store):
    with pytest.raises(ZeroDivisionError):
        get(cache, ZeroDivisionError())

    assert not store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].held


def put_ahead(store, clock, value, *, fetched):
    """Put a value that a process wrote before its clock was set back by a day; `fetched` is in seconds from now."""
    now = clock.timestamp()
    store.cache_entries.put(ACCOUNT, {CacheKey(KEY): EntryRow(json.dumps(value).encode(), now + fetched, now + 9e6)})


def test_a_value_that_was_fetched_ahead_of_the_present_is_stale_and_fetched_again(cache, store, clock, refreshing):
    put_ahead(store, clock, {"number": 1}, fetched=DAY)

    known = cache.known(ACCOUNT, {CacheKey(KEY): HOUR})[CacheKey(KEY)]

    assert (known.stale, known.expires_at) == (True, clock.timestamp())
    assert cache.peek(ACCOUNT, {CacheKey(KEY): HOUR}) == {}
    entry = refreshing(lambda: get(cache, None))
    assert (entry.value, entry.fetched_at) == ({"number": 1}, clock.timestamp())


def test_a_value_that_was_fetched_ahead_of_the_present_is_not_answered_at_once(cache, store, clock):
    put_ahead(store, clock, {"number": 1}, fetched=DAY)

    assert get(cache, 2, FixedTTL(3600, swr=600)).value == {"number": 2}


def test_a_value_that_lacks_a_part_of_what_its_policy_needs_is_fetched_again(cache):
    get(cache, 1)

    policy = FixedTTL(3600, needs=("number", "reason"))

    assert get(cache, 2, policy).value == {"number": 2}


def test_a_number_that_was_never_known_makes_no_value_stale(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(1)
    new = {"number": 2, "followers": None}

    entry = refreshing(lambda: cache.get_or_fetch(ACCOUNT, KEY, HOUR, lambda _cached: new))

    assert (entry.value, entry.stale) == (new, False)


def test_a_last_good_value_says_why_there_is_no_newer_one(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(1)
    failure = timeout()

    entry = refreshing(lambda: get(cache, failure))

    assert (entry.value, entry.failure) == ({"number": 1}, failure)


def test_a_value_that_was_asked_for_in_vain_ahead_of_the_present_is_fetched_again(cache, store, clock):
    put_ahead(store, clock, {"number": 1, ASKED: [clock.timestamp() + DAY, clock.timestamp() + DAY + 60]}, fetched=-10)

    assert get(cache, 2).value == {"number": 2}


def test_a_value_since_a_moment_is_looked_for_also_where_there_was_none(make_cache, clock):
    here, there, key = make_cache(), make_cache(), CacheKey(KEY)
    moment = clock.timestamp()
    assert here.peek(ACCOUNT, {key: HOUR}) == {}
    get(there, 1)

    assert here.peek(ACCOUNT, {key: HOUR}, not_before=moment)[key].value == {"number": 1}
    assert here.peek(ACCOUNT, {key: HOUR}, not_before=moment + 1) == {}


def test_a_value_that_has_grown_since_a_part_of_it_was_written_is_written_at_the_end(make_cache, store):
    def fetch(_keys, _cached, keep):
        keep({CacheKey(KEY): {"number": 1}})
        wait_until(lambda: store.cache_entries.read(ACCOUNT, [KEY]))
        return {CacheKey(KEY): {"number": 2}}

    cache, calls = make_cache(), []
    cache.get_or_fetch_many(ACCOUNT, {CacheKey(KEY): HOUR}, fetch)

    assert [get(each, 3, calls=calls).value for each in (cache, make_cache())] == [{"number": 2}] * 2
    assert calls == []


def test_what_a_fetch_brings_besides_what_it_was_asked_for_is_no_answer(cache):
    keys = [CacheKey(key) for key in "ab"]
    get(cache, 1, key="a")

    found = cache.get_or_fetch_many(
        ACCOUNT, dict.fromkeys(keys, HOUR), lambda _keys, _cached, _keep: {key: {"number": 2} for key in keys}
    )

    assert [found[key].value for key in keys] == [{"number": 1}, {"number": 2}]


def test_what_waits_for_a_fetch_is_woken_after_its_value_is_here(cache, clock, refreshing):
    is_over = []
    get(cache, 1)
    clock.wait(1)
    cache.on_change(lambda _account: is_over.append(cache.wait_until_quiet(0)))

    refreshing(lambda: get(cache, 2))

    assert is_over == [False]


def test_a_fetch_that_ends_while_a_part_is_being_written_waits_for_it(cache, store, monkeypatch):
    begun, write, commit, steps = threading.Event(), store.cache_entries.keep, store.cache_entries.commit, []

    def write_slowly(*arguments):
        begun.set()
        time.sleep(0.1)
        written = write(*arguments)
        steps.append("part")
        return written

    def fetch(_keys, _cached, keep):
        keep({CacheKey("a"): {"number": 1}})
        assert begun.wait(10)
        keep({CacheKey("b"): {"number": 1}})
        return {CacheKey(key): {"number": 1} for key in "ab"}

    def note_commit(account, fences, holder, rows, **options):
        steps.append(sorted(key.key for key in rows))
        return commit(account, fences, holder, rows, **options)

    monkeypatch.setattr(store.cache_entries, "keep", write_slowly)
    monkeypatch.setattr(store.cache_entries, "commit", note_commit)
    cache.get_or_fetch_many(ACCOUNT, dict.fromkeys(map(CacheKey, "ab"), HOUR), fetch)

    assert steps == ["part", ["b"]]


@pytest.mark.parametrize("policy", [FixedTTL(3600, needs=("end",)), Replaced(3600, needs=("end",))])
def test_a_part_that_cannot_serve_is_where_the_next_fetch_begins_although_the_fetch_then_failed(
    cache, clock, refreshing, policy
):
    began_with = []

    def fetch(cached, keep):
        began_with.append(None if cached is None else cached.value["pages"])
        if len(began_with) == 2:
            keep({"pages": 2})
            raise timeout()
        return {"pages": len(began_with), "end": True}

    def ask():
        key = CacheKey(KEY)

        def fetch_one(_keys, cached, keep):
            return {key: fetch(cached.get(key), lambda value: keep({key: value}))}

        return cache.get_or_fetch_many(ACCOUNT, {key: policy}, fetch_one)

    ask()
    clock.wait(10)
    refreshing(ask)
    clock.wait(10)
    refreshing(ask)

    assert began_with == [None, 1, 2]


def test_a_value_that_is_newly_unknown_is_served_until_it_is_asked_for_again(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(3600 + STALE_IF_ERROR - 5)  # It is kept for five more seconds.
    assert refreshing(lambda: get(cache, None)).value == {"number": 1}

    clock.wait(RETRY_UNKNOWN_AFTER - 1)
    calls = []

    assert get(cache, 3, calls=calls).value == {"number": 1}
    assert calls == []


@pytest.mark.parametrize(("seconds", "number"), [(119, 1), (120, 2)])
def test_an_expired_value_is_answered_at_once_up_to_the_end_of_its_policy(cache, clock, seconds, number):
    policy = FixedTTL(60, swr=60)
    get(cache, 1, policy)
    clock.wait(seconds)

    value = get(cache, 2, policy).value

    quiet(cache)
    assert value == {"number": number}


def test_of_two_refreshes_at_once_the_second_is_content_with_what_the_first_asked_for_in_vain(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(1)
    refreshing(lambda: get(cache, None))
    calls = []

    assert refreshing(lambda: get(cache, 3, calls=calls)).value == {"number": 1}
    assert calls == []


def test_until_it_is_asked_for_again_it_is_answered_without_a_lease(cache, store, clock, refreshing, monkeypatch):
    get(cache, 1)
    clock.wait(1)
    refreshing(lambda: get(cache, None))
    leased, acquire = [], store.leases.acquire
    monkeypatch.setattr(store.leases, "acquire", lambda *lease: leased.append(lease) or acquire(*lease))

    value = get(cache, 3).value

    quiet(cache)
    assert (value, leased) == ({"number": 1}, [])


def test_a_part_that_was_kept_is_new_although_the_fetch_then_failed(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(10)

    def fetch(_keys, _cached, keep):
        keep({CacheKey(KEY): {"number": 2}})
        raise timeout()

    found = refreshing(lambda: cache.get_or_fetch_many(ACCOUNT, {CacheKey(KEY): HOUR}, fetch))

    assert found[CacheKey(KEY)].value == {"number": 2}
    (known,) = cache.known(ACCOUNT, {CacheKey(KEY): HOUR}).values()
    assert (known.value, known.stale) == ({"number": 2}, False)


def test_without_the_database_a_process_keeps_what_it_fetches_and_says_what_has_changed(
    cache, store, clock, monkeypatch, refreshing
):
    changed, calls = [], []
    get(cache, 1)
    cache.on_change(changed.append)
    clock.wait(10)
    monkeypatch.setattr(store.cache_entries, "commit", unavailable)

    refreshing(lambda: get(cache, 2))

    assert changed == [ACCOUNT]
    assert get(cache, 3, calls=calls).value == {"number": 2}
    assert calls == []


def test_without_a_lease_a_process_keeps_what_it_fetches(cache, store, monkeypatch):
    monkeypatch.setattr(store.leases, "acquire", unavailable)
    calls = []

    found = [get(cache, number, calls=calls).value for number in (1, 2)]

    assert (found, calls) == ([{"number": 1}] * 2, [1])


def test_without_a_lease_a_process_keeps_the_parts_of_what_it_fetches(cache, store, monkeypatch):
    calls = []

    def fetch(_keys, _cached, keep):
        calls.append(1)
        keep({CacheKey(KEY): {"number": 1}})
        return {CacheKey(KEY): {"number": 1}}

    with monkeypatch.context() as patched:
        patched.setattr(store.leases, "acquire", unavailable)
        cache.get_or_fetch_many(ACCOUNT, {CacheKey(KEY): HOUR}, fetch)
    found = cache.get_or_fetch_many(ACCOUNT, {CacheKey(KEY): HOUR}, fetch)

    assert (found[CacheKey(KEY)].value, calls) == ({"number": 1}, [1])


def test_a_change_outside_of_the_cache_is_announced_here_also_without_the_database(cache, store, monkeypatch):
    changed = []
    cache.on_change(changed.append)
    monkeypatch.setattr(store.cache_entries, "raise_version", unavailable)

    cache.announce_change(ACCOUNT)

    assert changed == [ACCOUNT]


def test_an_entry_without_its_value_has_all_else_of_it():
    entry = CacheEntry({"number": 1}, 1.0, 2.0, True, 3.0, 4.0, timeout(), True)

    assert all(getattr(entry, each.name) != each.default for each in dataclasses.fields(entry))
    assert entry.without_value() == dataclasses.replace(entry, value={})


# Several processes


def test_what_another_process_has_is_found_under_the_lease_where_all_readers_are_busy(make_cache, store, monkeypatch):
    calls = []
    get(make_cache(), 1)
    monkeypatch.setattr(store.cache_entries, "read", unavailable)

    assert (get(make_cache(), 2, calls=calls).value, calls) == ({"number": 1}, [])


def test_a_database_that_was_replaced_is_news_although_its_versions_are_earlier(cache, store, monkeypatch):
    changed, versions = [], iter([{ACCOUNT: 5}, {ACCOUNT: 1}, {ACCOUNT: 1}])
    monkeypatch.setattr(store.cache_entries, "versions", lambda: next(versions))
    get(cache, 1)
    cache.on_change(changed.append)

    cache.invalidate_changed()
    cache.invalidate_changed()

    assert changed == [ACCOUNT]


def test_a_change_outside_of_the_cache_is_known_at_once_to_the_process_that_announces_it(cache):
    changed = []
    get(cache, 1)
    cache.on_change(changed.append)

    cache.announce_change(ACCOUNT)

    assert changed == [ACCOUNT]


@pytest.mark.parametrize("change", ["announced", "fetched", "put"])
def test_a_process_drops_nothing_a_second_time_for_its_own_change(make_cache, clock, refreshing, change):
    mine, other, changed = make_cache(), make_cache(), []
    get(mine, 1)
    clock.wait(10)
    make = {
        "announced": lambda cache: cache.announce_change(ACCOUNT),
        "fetched": lambda cache: refreshing(lambda: get(cache, 2)),
        "put": lambda cache: cache.put(ACCOUNT, {CacheKey(KEY): ({"number": 3}, HOUR)}),
    }[change]
    mine.on_change(changed.append)

    make(mine)
    mine.invalidate_changed()
    assert changed == [ACCOUNT]

    other.announce_change(ACCOUNT)
    clock.wait(10)
    make(mine)
    mine.invalidate_changed()
    assert changed == [ACCOUNT] * 3


def test_what_was_replaced_before_a_process_began_is_no_news_to_it(make_cache, clock, refreshing):
    other, mine, changed = make_cache(), make_cache(), []
    get(other, 1)
    clock.wait(10)
    refreshing(lambda: get(other, 2))
    mine.on_change(changed.append)
    assert get(mine, 9).value == {"number": 2}

    mine.invalidate_changed()

    assert changed == []


def test_each_change_of_another_process_is_seen_and_nothing_else(make_cache, clock, refreshing):
    mine, other = make_cache(), make_cache()
    changed = []
    get(mine, 1)
    mine.on_change(changed.append)
    mine.invalidate_changed()
    assert changed == []

    for number in (2, 3):
        clock.wait(10)
        refreshing(lambda number=number: get(other, number))
        mine.invalidate_changed()
        assert get(mine, 9).value == {"number": number}

    mine.invalidate_changed()
    assert changed == [ACCOUNT, ACCOUNT]


def test_a_value_that_was_read_before_a_change_and_comes_after_it_is_not_held(
    make_cache, store, clock, refreshing, monkeypatch
):
    mine, other = make_cache(), make_cache()
    read = store.cache_entries.read
    get(other, 1)

    def delayed(account, keys):
        rows = read(account, keys)
        monkeypatch.undo()
        clock.wait(1)
        refreshing(lambda: get(other, 2))
        mine.forget(account)
        return rows

    monkeypatch.setattr(store.cache_entries, "read", delayed)
    values = [get(mine, 3).value, get(mine, 3).value]

    assert values == [{"number": 1}, {"number": 2}]


def test_what_another_process_has_fetched_since_a_request_came_is_new_enough_for_it(make_cache, clock, refreshing):
    mine, other = make_cache(), make_cache()
    calls = []
    get(other, 1)
    get(mine, 9)
    clock.wait(10)

    def both():
        return get(other, 2), get(mine, 3, calls=calls)

    theirs, found = refreshing(both)

    assert theirs.value == found.value == {"number": 2}
    assert calls == []


def test_what_was_absent_before_a_change_is_looked_for_again_although_it_was_read_during_it(
    make_cache, store, monkeypatch
):
    mine, other = make_cache(), make_cache()
    read, wanted = store.cache_entries.read, {CacheKey(KEY): HOUR}

    def delayed(account, keys):
        rows = read(account, keys)
        monkeypatch.undo()
        get(other, 1)
        mine.invalidate_changed()
        return rows

    monkeypatch.setattr(store.cache_entries, "read", delayed)
    before = mine.peek(ACCOUNT, wanted)

    assert before == {}
    assert [each.value for each in mine.peek(ACCOUNT, wanted).values()] == [{"number": 1}]


def held(store, holder="another process"):
    return store.leases.acquire(ACCOUNT, [KEY], holder)


def test_a_value_is_as_old_as_the_beginning_of_the_call_that_brought_it(cache, clock):
    began = clock.timestamp()

    def slow(_cached):
        clock.wait(10)
        return {"number": 1}

    assert cache.get_or_fetch(ACCOUNT, KEY, HOUR, slow).fetched_at == began


def test_a_process_that_lost_its_lease_holds_the_value_of_the_one_that_took_it_over(make_cache, store):
    one, other = make_cache(), make_cache()

    def hung(_cached):
        with store.databases[0].write() as connection:
            connection.execute(update(leases).values(lease_until=0.0))
        get(other, 2)
        return {"number": 1}

    one.get_or_fetch(ACCOUNT, KEY, HOUR, hung)

    assert get(one, 3).value == {"number": 2}


def test_a_request_for_new_values_waits_for_another_process_and_does_not_fetch_again(cache, store, clock, refreshing):
    calls = []
    get(cache, 1)
    clock.wait(10)
    fences, now = held(store), clock.timestamp()
    new = {CacheKey(KEY): EntryRow(b'{"number": 2}', now, now + 60)}

    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(refreshing, lambda: get(cache, 3, calls=calls))
        deadline = time.monotonic() + 10
        while not cache._single_flight._watched:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        store.cache_entries.commit(ACCOUNT, fences, "another process", new, failures={})

        assert waiting.result(10).value == {"number": 2}
    assert calls == []


def test_the_failure_of_another_process_is_the_answer_of_those_that_wait_for_it(cache, store):
    fences, calls = held(store), []

    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(get, cache, 2, calls=calls)
        deadline = time.monotonic() + 10
        while not cache._single_flight._watched:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        store.cache_entries.commit(ACCOUNT, fences, "another process", {}, failures={KEY: serialize(timeout())})
        with pytest.raises(ProviderTimeoutError):
            waiting.result(10)

    assert calls == []


def test_a_deadline_of_one_process_is_no_answer_for_another_one(make_cache, store, clock):
    late = DeadlineExceededError("Too late.", provider="instagram")
    with pytest.raises(DeadlineExceededError):
        get(make_cache(), late)

    assert store.leases.states([(ACCOUNT, KEY)])[ACCOUNT, KEY].failure is None
    assert get(make_cache(), 2).value == {"number": 2}


def test_a_caller_waits_for_another_thread_for_a_bounded_time(cache, monkeypatch):
    monkeypatch.setattr("services.cache.cache.MAX_WAIT_FOR_FETCH", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    soon = threading.Timer(0.7, go_on.set)  # Which is too late.

    def slow(_cached):
        begun.set()
        assert go_on.wait(30)
        return {"number": 1}

    with ThreadPoolExecutor(2) as callers:
        leader = callers.submit(cache.get_or_fetch, ACCOUNT, KEY, HOUR, slow)
        assert begun.wait(10)
        soon.start()
        waiting = callers.submit(get, cache, 2)
        try:
            with pytest.raises(DeadlineExceededError):
                waiting.result(20)
        finally:
            soon.cancel()
            go_on.set()
        assert leader.result(10).value == {"number": 1}


def test_a_caller_waits_for_another_thread_as_long_as_its_request_may_take(cache, clock, monkeypatch):
    led, _ = cache._single_flight.join(ACCOUNT, [KEY])
    waits = []
    monkeypatch.setattr(Flight, "wait", lambda _flight, seconds: waits.append(seconds))
    token = request_context.current.set(RequestContext("1", started_at=clock.timestamp(), seconds=30.0))
    try:
        with pytest.raises(DeadlineExceededError):
            get(cache, 2)
    finally:
        request_context.current.reset(token)
        cache._single_flight.finish(led, {})

    assert [0 < seconds <= 30 for seconds in waits] == [True]


def test_a_value_that_cannot_be_used_is_no_last_good_one(cache):
    policy = FixedTTL(3600, needs=("end",))
    get(cache, 1, policy)

    with pytest.raises(ProviderTimeoutError):
        get(cache, timeout(), policy)

    assert cache.known(ACCOUNT, {CacheKey(KEY): policy}) == {}


def test_without_the_database_a_process_has_what_it_puts(cache, store, monkeypatch):
    monkeypatch.setattr(store.cache_entries, "put", unavailable)

    cache.put(ACCOUNT, {CacheKey(KEY): ({"number": 1}, HOUR)})

    assert cache.known(ACCOUNT, {CacheKey(KEY): HOUR})[CacheKey(KEY)].value == {"number": 1}


def test_a_caller_whose_time_is_over_waits_for_no_other_process(cache, store, clock, monkeypatch):
    monkeypatch.setattr("services.cache.cache.MAX_WAIT_FOR_FETCH", 0.0)
    fences, row = held(store), EntryRow(b'{"number": 1}', clock.timestamp(), clock.timestamp() + 60)
    commit = (ACCOUNT, fences, "another process", {CacheKey(KEY): row})
    soon = threading.Timer(0.7, store.cache_entries.commit, commit, {"failures": {}})
    soon.start()

    with pytest.raises(DeadlineExceededError):
        get(cache, 2)

    soon.cancel()


def test_an_answer_that_lacks_what_is_known_is_one_for_all_who_refresh_at_once(cache, clock, refreshing):
    get(cache, 1)
    clock.wait(10)
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def lacking(_cached):
        calls.append(1)
        begun.set()
        assert go_on.wait(20)
        return {"other": 2}

    def refresh():
        return refreshing(lambda: cache.get_or_fetch(ACCOUNT, KEY, HOUR, lacking))

    with ThreadPoolExecutor(2) as callers:
        replies = [callers.submit(refresh)]
        assert begun.wait(20)
        replies.append(callers.submit(refresh))
        time.sleep(0.05)  # So it waits, mostly.
        go_on.set()
        values = [reply.result(20).value for reply in replies]

    assert values == [{"number": 1, "other": 2}] * 2
    assert calls == [1]


def test_the_deadline_of_one_caller_is_no_failure_of_those_that_wait_for_its_fetch(cache):
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def late(_cached):
        begun.set()
        assert go_on.wait(10)
        raise DeadlineExceededError("Too late.", provider="instagram")

    with ThreadPoolExecutor(2) as callers:
        leader = callers.submit(cache.get_or_fetch, ACCOUNT, KEY, HOUR, late)
        assert begun.wait(10)
        waiting = callers.submit(get, cache, 2, calls=calls)
        time.sleep(0.05)
        go_on.set()
        with pytest.raises(DeadlineExceededError):
            leader.result(10)
        assert waiting.result(10).value == {"number": 2}

    assert calls == [2]


def test_while_it_fetches_a_process_extends_its_leases_and_otherwise_none(cache, store):
    memory = store.databases[0]

    def end_of_lease():
        with memory.read() as connection:
            return connection.execute(select(leases.c.lease_until).where(leases.c.key == KEY)).scalar_one()

    def slow(_cached):
        with memory.write() as connection:
            connection.execute(update(leases).values(lease_until=1.0))
        cache.extend_leases()
        slow.extended_until = end_of_lease()
        return {"number": 1}

    cache.get_or_fetch(ACCOUNT, KEY, HOUR, slow)
    ended = end_of_lease()
    cache.extend_leases()

    assert slow.extended_until > 1.0
    assert end_of_lease() == ended
