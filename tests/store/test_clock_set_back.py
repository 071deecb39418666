"""What a machine wrote whose clock ran ahead does not count any more once its clock is set back, on both engines."""

from __future__ import annotations

import pytest

from services.cache.failure_text import serialize
from services.clock import AHEAD, is_ahead
from services.errors import ProviderRateLimitedError
from services.store.account_health import CallRow, CheckRow
from services.store.api_keys import ApiKeyRow
from services.store.cache_entries import CacheKey, EntryRow
from services.store.exported_tables import SECTIONS
from services.store.history import HistoryKey, HistoryValue
from services.store.notifications import Notification
from services.store.posts import PartRow, PostRow
from services.store.quota_usage import UsageRow
from services.store.reports import BalanceReading
from services.store.stories import POLLING, TOTAL, StoryNumber, StoryRow
from services.store.throttles import ThrottleRow
from services.store.webhooks import Change, Delivery, DeliveryContent
from tests.movable_clock import MovableClock
from tests.stores import query
from tests.support import utc

NOW = utc("2026-11-21T18:00").timestamp()
FAR, NEAR = NOW + 6 * 3600, NOW + 60  # a time that lies ahead, and one within the difference of two clocks
KEY = CacheKey("profile")


@pytest.fixture(autouse=True)
def present(store):
    """The clock of the store stands at `NOW`: it has run ahead, and was set back."""
    for database in store.databases:
        database.clock = MovableClock(utc("2026-11-21T18:00"))


def cached(store, at, value):
    store.cache_entries.put("a", {KEY: EntryRow(str(value).encode(), at, at + 9e5)})
    return int(store.cache_entries.read("a", [KEY.key])[KEY].value)


def used(store, at, value):
    store.quota_usage.write("instagram", [UsageRow("a", value, {"calls": value}, None, at)])
    return store.quota_usage.read("instagram")[0].percent


def checked(store, at, value):
    store.account_health.checked(CheckRow("a", at, failure=str(value)))
    return int(store.account_health.rows()["a"].failure)


def rejected(store, at, value):
    store.account_health.called([CallRow("a", rejected_at=at, rejected_as=str(value))])
    return int(store.account_health.of(["a"])["a"].rejected_as)


def balance(store, at, value):
    store.reports.note_balance("modash", BalanceReading(value, at))
    return store.reports.balance("modash").credits


def metric(store, at, value):
    key = HistoryKey("reach", (), "2026-11-20", "2026-11-20")
    store.history.keep("a", {key: HistoryValue(value, None, at)})
    return dict(store.history.days("a", since="2026-11-20", until="2026-11-20"))[key].value


def story(store, at, value):
    numbers = [StoryNumber("reach", TOTAL, POLLING, value, None, at)]
    store.stories.keep("a", [StoryRow("1", NOW - 60, NOW - 60, read_at=at, numbers=numbers)])
    return store.stories.find("a", "1").numbers[0].value


def story_read(store, at, value):
    """Return which of the readings counts as the last one of a story."""
    story(store, at, value)
    return 1 if store.stories.find("a", "1").read_at == FAR else 2


def imported_post(store, at, value):
    row = {"mode": "live", "account": "a", "id": "1", "posted_at": NOW - 9e5, "first_seen_at": NOW - 9e5}
    row |= dict.fromkeys(("media_type", "media_product_type", "permalink")) | {"caption": str(value)}
    (section,) = (each for each in SECTIONS if each.table.name == "posts")
    store.transfer.keep(section, [row | {"last_seen_at": at}])
    return int(store.posts.find("a", "1").caption)


def change(store, at, value):
    """Return which of two equal changes counts: the second one is to be applied again, if it does."""
    body = DeliveryContent(Delivery(str(at), b"{}", NOW), [Change("a", "story_insights", {"x": 1}, at)], None)
    store.webhooks.enter([body], applicable=["story_insights"], now=NOW)
    pending = store.webhooks.due(10, now=NOW)
    store.webhooks.applied(pending, now=NOW)
    return value if pending else 1


def snapshot(store, at, value):
    day = {FAR: "2026-11-22"}.get(at, "2026-11-21")
    store.account_snapshots.complete("a", day=day, taken_at=at)
    (kept,) = store.account_snapshots.all()
    return 1 if kept.day == "2026-11-22" else value


WRITES = (cached, used, checked, rejected, balance, metric, story, story_read, imported_post, change, snapshot)


@pytest.mark.parametrize("write", WRITES)
def test_what_was_written_ahead_of_the_present_is_replaced_by_what_comes_now(store, write):
    assert write(store, FAR, 1) == 1

    assert write(store, NOW, 2) == 2


@pytest.mark.parametrize("write", [each for each in WRITES if each not in {snapshot, story_read}])
def test_between_clocks_that_differ_a_little_the_later_time_wins(store, write):
    write(store, NEAR, 1)

    assert write(store, NOW, 2) == 1


@pytest.mark.parametrize("write", [cached, used, checked, rejected, balance, metric, story, imported_post])
def test_of_two_times_ahead_the_later_one_wins(store, write):
    write(store, FAR, 1)

    assert write(store, FAR - 60, 2) == 1


def test_the_difference_between_two_clocks_is_five_minutes():
    assert AHEAD == 300
    assert not is_ahead(NOW + AHEAD, NOW)
    assert is_ahead(NOW + AHEAD + 1, NOW)


def test_a_reading_ahead_of_the_present_puts_off_no_other_one(store):
    story(store, FAR, 1)
    store.stories.end("a", read_at=FAR)
    store.posts.begin_look("a", now=FAR)
    store.posts.end_look("a", looked_at=FAR)
    store.account_snapshots.complete("a", day="2026-11-22", taken_at=FAR)
    store.account_health.checked(CheckRow("a", FAR))
    reading = PartRow("1", 60, 1, FAR, {"reach": 1}, {}, "instagram", None)
    store.posts.keep("a", [PostRow("1", NOW)], insights=[reading])

    assert (store.stories.last_read_at("a"), store.stories.begun_at("a")) == (None, None)
    assert [row.read_at for row in store.stories.young("a", since=NOW - 3600)] == [None]
    assert store.posts.look("a") == (0.0, 0.0)  # long ago, and not never
    assert store.posts.last_insights("a", ["1"]) == {}
    assert store.account_snapshots.find("a").day is None
    assert store.account_health.rows()["a"].checked_at is None


def test_the_same_readings_count_within_the_difference_of_two_clocks(store):
    store.stories.end("a", read_at=NEAR)
    store.posts.end_look("a", looked_at=NEAR)
    store.account_snapshots.complete("a", day="2026-11-21", taken_at=NEAR)

    assert (store.stories.last_read_at("a"), store.posts.look("a")) == (NEAR, (NEAR, NEAR))
    assert store.account_snapshots.find("a").day == "2026-11-21"


def test_a_throttle_that_began_ahead_of_the_present_is_over(store):
    failure = serialize(ProviderRateLimitedError("Too many.", provider="instagram", retry_after=900))
    store.throttles.begin("instagram", ThrottleRow("a", FAR, FAR + 900, FAR + 900, failure), now=FAR)
    assert store.throttles.read("instagram", now=FAR)

    assert store.throttles.read("instagram", now=NOW) == []
    assert store.throttles.claim_probe("instagram", "a", now=NOW, next_call_at=NOW + 20)
    store.throttles.begin("instagram", ThrottleRow("a", NOW, NOW + 60, NOW + 60, failure), now=NOW)
    assert [row.ends_at for row in store.throttles.read("instagram", now=NOW)] == [NOW + 60]


def test_the_last_use_of_a_key_is_not_ahead_of_the_present(store):
    store.api_keys.add(ApiKeyRow(id="k", label="", digest="d", scope="read", accounts=None, created_at=1.0))
    for moment in (FAR, NOW):
        store.api_keys.note_use({"k": moment})

    assert store.api_keys.rows()[0].last_used_at == NOW


@pytest.mark.parametrize("attempts", [0, 1])
def test_an_event_and_a_change_that_are_due_too_far_ahead_are_due_now(store, store_settings, attempts):
    store.notifications.put(Notification("1", "report_ready", None, None, "{}", FAR, due_at=FAR))
    body = DeliveryContent(Delivery("1", b"{}", FAR), [Change("a", "story_insights", {"x": 1}, FAR)], None)
    store.webhooks.enter([body], applicable=["story_insights"], now=FAR)
    for table in ("notifications", "webhook_changes"):
        query(store_settings, "gateway", f"UPDATE {table} SET attempts = {attempts}")

    for longest, are_due in ((3600.0, True), (12 * 3600.0, attempts == 0)):
        assert bool(store.notifications.due(NOW, 10, longest_wait=longest)) is are_due
        assert bool(store.webhooks.due(10, now=NOW, longest_wait=longest)) is are_due


def test_jobs_that_are_due_further_ahead_than_their_kind_can_be_are_due_now(store, store_settings):
    for kind in ("stories", "reports", "unlimited"):
        store.jobs.put(kind, "far", due_at=FAR)
    store.jobs.put("stories", "usual", due_at=NOW + 3600)
    store.jobs.put("stories", "failed", due_at=FAR)
    query(store_settings, "gateway", "UPDATE jobs SET attempts = 1 WHERE key = 'failed'")

    number = store.jobs.bring_forward({"stories": 3600.0, "reports": 86_400.0}, after_failure=86_400.0, now=NOW)

    assert number == 1
    due = store.jobs.claim("we", 9, now=NOW, kinds=["stories", "reports", "unlimited"])
    assert [(job.kind, job.key) for job in due] == [("stories", "far")]


def test_a_worker_that_was_seen_ahead_of_the_present_is_not_alive(store, store_settings):
    store.workers.heartbeat("we", host="here", pid=1)
    assert store.workers.seen().alive == 1
    query(store_settings, "gateway", "UPDATE workers SET seen_at = seen_at + 21600")
    store.counters.write_gauges("we", {"x": 1.0})
    query(store_settings, "memory", "UPDATE process_gauges SET seen_at = seen_at + 21600")

    assert store.workers.seen() == (0, None)
    assert store.counters.gauges() == []


def test_a_lease_that_ends_later_than_any_can_is_not_held(store, store_settings):
    store.leases.acquire("a", ["profile"], "we")
    query(store_settings, "memory", "UPDATE leases SET lease_until = lease_until + 21600")

    assert not store.leases.states([("a", "profile")])["a", "profile"].held
    assert store.leases.acquire("a", ["profile"], "they")
