"""A throttle stops the calls of every process that shares the database, also after a restart."""

from __future__ import annotations

import threading

import pytest

from services.clients.graph.errors import INSTAGRAM
from services.clients.guard.guard import NO_ACCOUNT, Guard
from services.clients.guard.throttle import PROBED_EVERY
from services.clients.guard.usage import Usage
from services.errors import ObjectNotFoundError, ProviderRateLimitedError
from services.quota import Quota, SharedThrottles
from services.store.database import DatabaseUnavailableError, StatementRefusedError
from tests.stores import query

POSTS, REPORT = "/top-posts?time_range=7d", "/performance-data?url=nasa"


@pytest.fixture(autouse=True)
def always_looked(monkeypatch):
    monkeypatch.setattr("services.clients.guard.shared_throttles.LOOK_EVERY", 0.0)


@pytest.fixture
def make_guard(store, clock):
    """The guard of another process over the same store."""
    return lambda: Guard(INSTAGRAM, clock, places=32, throttles=SharedThrottles("instagram", store.throttles, clock))


def throttled(seconds=600, *, reported=True, whole_app=False):
    return ProviderRateLimitedError(
        "Too many.", provider="instagram", retry_after=seconds, wait_reported=reported, whole_app=whole_app
    )


def refuse(guard, account="1", **more):
    guard.failed(guard.acquire(account), throttled(**more))


def wait_of(guard, account="1"):
    """The seconds after which a call may be made; None if it is admitted."""
    try:
        permit = guard.acquire(account)
    except ProviderRateLimitedError as error:
        return error.retry_after
    guard.succeeded(permit)
    return None


def test_another_process_and_a_restarted_one_make_no_call_until_the_end(make_guard, clock):
    other = make_guard()
    assert wait_of(other) is None

    refuse(make_guard(), seconds=600)

    assert wait_of(other) == 600
    clock.wait(599.0)
    assert wait_of(make_guard()) == 1
    clock.wait(1.0)
    assert wait_of(other) is None
    assert wait_of(make_guard()) is None


def test_what_shows_limits_reads_them_once_and_leaves_the_rest_to_the_heartbeat(make_guard, store):
    guard = make_guard()
    quota = Quota({"instagram": guard}, store.quota_usage)
    refuse(make_guard())

    known = [limit["account"] for limit in quota.limits()]
    refuse(make_guard(), account="2")
    later = [limit["account"] for limit in quota.limits()]
    quota.share()

    assert (known, later) == (["1"], ["1"])
    assert sorted(limit["account"] for limit in quota.limits()) == ["1", "2"]


@pytest.mark.parametrize("whole_app", [True, False])
def test_it_stops_the_account_or_the_whole_app(make_guard, whole_app):
    refuse(make_guard(), whole_app=whole_app)

    other = make_guard()

    assert wait_of(other, "1") == 600
    assert wait_of(other, "2") == (600 if whole_app else None)
    assert wait_of(other, NO_ACCOUNT) == (600 if whole_app else None)


def test_one_of_calls_without_an_account_is_not_the_whole_apps(make_guard):
    refuse(make_guard(), NO_ACCOUNT)

    other = make_guard()

    assert (wait_of(other, NO_ACCOUNT), wait_of(other, "1")) == (600, None)


def test_the_failure_is_raised_as_the_provider_gave_it(make_guard):
    refuse(make_guard())

    with pytest.raises(ProviderRateLimitedError) as raised:
        make_guard().acquire("1")

    assert (raised.value.message, raised.value.provider, raised.value.reached) == ("Too many.", "instagram", False)


def test_a_usage_at_its_limit_stops_other_processes_too(make_guard, clock):
    first, other = make_guard(), make_guard()
    permit = first.acquire("1")
    permit.usages = (Usage("1", 100.0, {"call_count": 100.0}, clock.timestamp() + 300, clock.timestamp()),)

    first.succeeded(permit)

    assert wait_of(other) == 300
    assert [each.blocked_until for each in other.usages()] == [clock.timestamp() + 300]


def test_the_answer_to_a_probe_ends_no_throttle_that_began_after_the_probed_one(make_guard, clock):
    first, other = make_guard(), make_guard()
    under_way = other.acquire("1")
    refuse(first, seconds=900, reported=False)
    clock.wait(PROBED_EVERY)
    probe = first.acquire("1")
    clock.wait(1)
    other.failed(under_way, throttled(seconds=600))

    first.succeeded(probe)

    assert wait_of(make_guard()) == 600


@pytest.mark.parametrize("prober", ["the process that was refused", "another one"])
def test_a_probe_that_is_answered_ends_it_for_all(make_guard, clock, prober):
    first, other = make_guard(), make_guard()
    refuse(first, seconds=900, reported=False)
    assert wait_of(other) == 900
    clock.wait(PROBED_EVERY)

    assert wait_of(first if prober == "the process that was refused" else other) is None

    assert [wait_of(guard) for guard in (first, other, make_guard())] == [None] * 3


def test_what_the_probe_of_another_process_has_ended_admits_more_than_one_call(make_guard, clock):
    one, other = make_guard(), make_guard()
    refuse(one, seconds=900, reported=False)
    assert wait_of(other) == 900
    clock.wait(PROBED_EVERY)
    one.succeeded(one.acquire("1"))

    other.acquire("1")

    assert wait_of(other) is None


def test_what_the_probe_of_another_process_has_ended_is_shown_no_more(make_guard, clock):
    one, other = make_guard(), make_guard()
    refuse(one, seconds=900, reported=False)
    clock.wait(PROBED_EVERY)
    probe = one.acquire("1")
    assert wait_of(other) is not None
    assert [usage.blocked_until for usage in other.usages()] == [clock.timestamp() + PROBED_EVERY]

    one.succeeded(probe)

    assert wait_of(other) is None
    assert other.usages() == []


def test_a_process_that_has_not_looked_since_it_was_refused_learns_that_another_one_was_answered(make_guard, clock):
    one, other = make_guard(), make_guard()
    refuse(one, seconds=900, reported=False)
    clock.wait(PROBED_EVERY)
    other.succeeded(other.acquire("1"))

    one.acquire("1")

    assert wait_of(one) is None


def test_one_process_alone_makes_the_probe(make_guard, clock):
    guards = [make_guard() for _ in range(4)]
    refuse(guards[0], seconds=900, reported=False)
    clock.wait(PROBED_EVERY)

    admitted = []
    for guard in guards:
        try:
            admitted.append((guard, guard.acquire("1")))
        except ProviderRateLimitedError:
            continue

    assert len(admitted) == 1
    (guard, permit) = admitted[0]
    guard.failed(permit, throttled(900, reported=False))
    assert all(wait_of(each) == 900 for each in guards)


def test_a_probe_of_an_account_waits_for_that_of_the_app_which_another_process_makes(make_guard, clock, monkeypatch):
    one, other = make_guard(), make_guard()
    under_way = one.acquire("1")
    refuse(one, seconds=900, reported=False, whole_app=True)
    one.failed(under_way, throttled(900, reported=False))
    assert wait_of(other, "1") == 900
    clock.wait(PROBED_EVERY)

    one.acquire("2")  # It probes the app's throttle alone.

    with monkeypatch.context() as patched:  # The other process has looked before.
        patched.setattr("services.clients.guard.shared_throttles.LOOK_EVERY", 3600.0)
        assert wait_of(other, "1") == 900 - PROBED_EVERY


def test_a_process_that_came_second_for_a_probe_may_make_the_next_one(make_guard, clock, monkeypatch):
    one, other = make_guard(), make_guard()
    refuse(one, seconds=900, reported=False)
    assert wait_of(other) == 900
    clock.wait(PROBED_EVERY)
    one.acquire("1")  # It never comes back.
    with monkeypatch.context() as patched:
        patched.setattr(
            "services.clients.guard.shared_throttles.LOOK_EVERY", 3600.0
        )  # Each has looked before both probed.
        assert wait_of(other) == 900 - PROBED_EVERY

    clock.wait(PROBED_EVERY)

    assert wait_of(other) is None


def test_a_guess_never_replaces_the_end_that_the_provider_gave(make_guard):
    guards = [make_guard(), make_guard(), make_guard()]
    permits = [guard.acquire("1") for guard in guards]

    for guard, permit, (seconds, reported) in zip(
        guards, permits, [(600, True), (900, False), (60, True)], strict=True
    ):
        guard.failed(permit, throttled(seconds, reported=reported))

    assert [wait_of(guard) for guard in guards] == [600] * 3


def test_another_account_and_a_refusal_of_another_kind_write_nothing(make_guard, store, clock):
    guard = make_guard()
    guard.succeeded(guard.acquire("1"))
    guard.failed(guard.acquire("2"), ObjectNotFoundError("There is none.", provider="instagram"))

    assert store.throttles.read("instagram", now=clock.timestamp()) == []


class Unavailable:
    """A store whose database is unavailable until it is back."""

    def __init__(self, inner):
        self.inner, self.is_away = inner, True

    def read(self):
        return None if self.is_away else self.inner.read()

    def begin(self, account, throttle):
        return not self.is_away and self.inner.begin(account, throttle)

    def claim_probe(self, account):
        return self.is_away or self.inner.claim_probe(account)

    def end(self, account, *, began_at):
        return not self.is_away and self.inner.end(account, began_at=began_at)


def test_without_the_database_a_process_keeps_its_own_and_writes_it_later(store, make_guard, clock):
    away = Unavailable(SharedThrottles("instagram", store.throttles, clock))
    guard, other = Guard(INSTAGRAM, clock, places=32, throttles=away), make_guard()

    refuse(guard)
    assert (wait_of(guard), wait_of(other)) == (600, None)

    away.is_away = False
    assert wait_of(guard) == 600
    assert wait_of(other) == 600


def test_a_guess_that_is_written_later_gives_way_at_once_to_an_end_that_the_provider_gave(store, make_guard, clock):
    away = Unavailable(SharedThrottles("instagram", store.throttles, clock))
    guard = Guard(INSTAGRAM, clock, places=32, throttles=away)
    refuse(guard, seconds=900, reported=False)
    refuse(make_guard(), seconds=600)

    away.is_away = False

    assert wait_of(guard) == 600


def unavailable(*_arguments, **_options):
    raise DatabaseUnavailableError("gateway", "the disk is full")


def test_a_throttle_that_could_not_be_written_is_not_undone_by_what_is_read(make_guard, store, monkeypatch):
    guard = make_guard()
    monkeypatch.setattr(store.throttles, "begin", unavailable)

    refuse(guard)

    assert [wait_of(guard), wait_of(guard)] == [600, 600]


def test_an_end_that_could_not_be_written_is_not_undone_by_what_is_read(make_guard, store, clock, monkeypatch):
    guard = make_guard()
    refuse(guard, reported=False)
    clock.wait(PROBED_EVERY)
    monkeypatch.setattr(store.throttles, "end", unavailable)

    assert wait_of(guard) is None  # The probe.

    assert [wait_of(guard), wait_of(guard)] == [None, None]


def test_a_row_that_cannot_be_read_stops_nothing(make_guard, store_settings):
    refuse(make_guard())
    query(store_settings, "memory", "UPDATE throttles SET failure = '{'")

    assert wait_of(make_guard()) is None


def test_without_the_database_each_process_makes_probes_of_its_own(make_guard, store, clock, monkeypatch):
    guard = make_guard()
    refuse(guard, seconds=900, reported=False)
    monkeypatch.setattr(store.throttles, "claim_probe", unavailable)
    clock.wait(PROBED_EVERY)

    assert wait_of(guard) is None


class Counted(Unavailable):
    """A store that counts what is written."""

    def __init__(self, inner):
        super().__init__(inner)
        self.writes = []

    def begin(self, account, throttle):
        self.writes.append(("begin", account))
        return super().begin(account, throttle)

    def end(self, account, *, began_at):
        self.writes.append(("end", account))
        return super().end(account, began_at=began_at)


def test_what_was_written_at_last_is_not_written_again(store, clock):
    counted = Counted(SharedThrottles("instagram", store.throttles, clock))
    guard = Guard(INSTAGRAM, clock, places=32, throttles=counted)
    refuse(guard)
    assert wait_of(guard) == 600
    counted.is_away = False

    assert [wait_of(guard) for _ in range(3)] == [600] * 3

    assert counted.writes == [("begin", "1")] * 3  # Two were in vain.


def test_a_throttle_that_the_database_refuses_is_kept_here_and_not_written_again(make_guard, store, monkeypatch):
    guard, tried = make_guard(), []

    def refuse_it(provider, row, *, now):
        tried.append(row.account)
        raise StatementRefusedError("memory", "a text that cannot be stored")

    monkeypatch.setattr(store.throttles, "begin", refuse_it)

    refuse(guard)

    assert [wait_of(guard) for _ in range(3)] == [600] * 3
    assert tried == ["1"]
    refuse(make_guard(), "2")
    assert wait_of(guard, "2") is None  # It is nowhere else.


def test_a_refused_throttle_gives_way_to_a_later_one_of_another_process_and_ends_with_it(
    make_guard, store, clock, monkeypatch
):
    guard, other = make_guard(), make_guard()

    def refuse_it(provider, row, *, now):
        raise StatementRefusedError("memory", "a text that cannot be stored")

    with monkeypatch.context() as patch:
        patch.setattr(store.throttles, "begin", refuse_it)
        refuse(guard, seconds=300, reported=False)
    clock.wait(1)
    refuse(other, seconds=900, reported=False)
    assert wait_of(guard) == 900
    clock.wait(PROBED_EVERY)
    other.succeeded(other.acquire("1"))

    guard.acquire("1")

    assert wait_of(guard) is None


def test_an_end_that_the_database_refuses_holds_here_and_is_not_written_again(make_guard, store, clock, monkeypatch):
    guard, tried = make_guard(), []
    refuse(guard, seconds=900, reported=False)
    clock.wait(PROBED_EVERY)

    def refuse_it(provider, account, *, began_at):
        tried.append(account)
        raise StatementRefusedError("memory", "a text that cannot be stored")

    with monkeypatch.context() as patched:
        patched.setattr(store.throttles, "end", refuse_it)
        assert [wait_of(guard) for _ in range(3)] == [None] * 3
        assert tried == ["1"]

    # One that begins later, in another process, holds here as well.
    clock.wait(PROBED_EVERY)
    refuse(make_guard(), seconds=600)
    assert wait_of(guard) == 600


def test_calls_of_one_moment_read_once_also_where_the_database_is_unavailable(clock, monkeypatch):
    monkeypatch.setattr("services.clients.guard.shared_throttles.LOOK_EVERY", 60.0)
    store, reads = Unavailable(None), []
    monkeypatch.setattr(store, "read", lambda: reads.append(1))
    guard = Guard(INSTAGRAM, clock, places=32, throttles=store)

    for _ in range(3):
        guard.acquire("1")

    assert reads == [1]


class Hanging(Unavailable):
    """A store whose database hangs while it is read for the first time."""

    def __init__(self):
        super().__init__(None)
        self.is_read, self.goes_on = threading.Event(), threading.Event()

    def read(self):
        if not self.is_read.is_set():
            self.is_read.set()
            self.goes_on.wait(60)


def test_a_database_that_hangs_holds_up_the_call_that_looks_and_no_other(clock):
    store = Hanging()
    guard = Guard(INSTAGRAM, clock, places=32, throttles=store)
    looking = threading.Thread(target=guard.acquire, args=("1",), daemon=True)
    other = threading.Thread(target=guard.acquire, args=("1",), daemon=True)
    looking.start()
    store.is_read.wait(60)

    other.start()
    other.join(30)

    assert [looking.is_alive(), other.is_alive()] == [True, False]
    store.goes_on.set()
    looking.join(60)


# What the heartbeat shares


class Usages:
    """The usages of the database, as they were written."""

    def __init__(self):
        self.written = []

    def read(self, provider):
        return []

    def write(self, provider, rows):
        self.written += [(row.percent, row.blocked_until) for row in rows]


def test_a_process_without_calls_learns_what_stops_them(make_guard, store, clock):
    guard, fresh = make_guard(), make_guard()
    quota = Quota({"instagram": guard}, store.quota_usage)
    refuse(make_guard())

    assert guard.may_refresh("1")
    quota.share()

    assert not guard.may_refresh("1")
    assert Quota({"instagram": fresh}, store.quota_usage).blocked_until("instagram") == {"1": clock.timestamp() + 600}


def test_a_usage_is_shared_when_it_or_its_block_has_changed(make_guard, clock):
    guard, usages, now = make_guard(), Usages(), clock.timestamp()
    quota = Quota({"instagram": guard}, usages)

    for percent, blocked_until in [(40, None), (40, None), (50, None), (50, now + 60), (50, now + 60)]:
        permit = guard.acquire("2")
        permit.usages = [Usage("1", percent, {"call_count": percent}, blocked_until, now)]
        guard.succeeded(permit)
        quota.share()
        quota.share()

    assert usages.written == [(40, None), (50, None), (50, now + 60)]


# Through the front door


@pytest.mark.parametrize(
    ("path", "provider", "kind"), [(POSTS, "instagram", "throttled"), (REPORT, "modash", "rate_limited")]
)
def test_a_second_gateway_sends_nothing_after_the_first_ones_429(make_world, store_settings, path, provider, kind):
    world = make_world(**store_settings)
    first = world.client
    world.restart()
    assert world.client is not first
    world.fault(kind, provider=provider, retry_after=300, times=1)

    refused = first.get(path)
    world.calls()
    replies = [world.get(path) for _ in range(20)]
    quota = world.body("/quota")

    assert refused.status_code == 429
    assert {(reply.status_code, reply.get_json()["code"]) for reply in replies} == {(429, "provider_rate_limited")}
    assert all(int(reply.headers["Retry-After"]) == 300 for reply in replies)
    assert [each["provider"] for each in quota["limits"] if each["blocked_until"]] == [provider]
    assert world.calls() == []
    world.advance(seconds=300)
    assert world.get(path).status_code == 200


def test_the_quota_of_a_restarted_gateway_shows_it(make_world, monkeypatch):
    monkeypatch.setattr("services.clients.guard.shared_throttles.LOOK_EVERY", 60.0)
    world = make_world()
    world.fault("throttled", retry_after=300, times=1)
    assert world.get(POSTS).status_code == 429

    world.restart()

    limits = [(each["percent"], each["kinds"], each["blocked_until"]) for each in world.body("/quota")["limits"]]
    assert limits == [(0, {}, "2026-11-21T18:05:00Z")]
