"""Stories in the background: every story's last values are kept, with few calls, whatever fails or is killed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.background.job_schedule import POSTS_OF, SNAPSHOT_OF, STORIES_OF
from services.clients.graph.client import GraphClient
from services.errors import PermissionDeniedError
from services.media.live_story import StoriesAlong
from services.media.story_polling import AGES, INCOMPLETE_AFTER, LAST_AGES, due_at, is_due
from services.media.story_reader import StoryReader
from services.media.story_values import values_of
from services.store.stories import StoryRow
from tests.world import WorldWorker

HOUR, DAY = 3600.0, 86_400.0
PLAIN = ("views", "reach", "shares", "reposts", "total_interactions", "follows", "profile_visits", "replies")
NAVIGATION = ("tap_forward", "tap_back", "tap_exit", "swipe_forward")


# When


def story(created_at, read_at=None):
    return StoryRow("1", ordered_at=created_at, created_at=created_at, read_at=read_at)


@pytest.mark.parametrize(
    ("stories", "last_read_at", "now", "due"),
    [
        ([], None, 10 * DAY, 10 * DAY),
        ([], 10 * DAY, 10 * DAY + 5, 10 * DAY + HOUR),
        ([story(9.5 * DAY, 10 * DAY)], 10 * DAY, 10 * DAY + 5, 10 * DAY + HOUR),
        ([story(9.5 * DAY, 10.45 * DAY)], 10.45 * DAY, 10.46 * DAY, 9.5 * DAY + LAST_AGES[0]),
        ([story(9.5 * DAY, 9.5 * DAY + LAST_AGES[0])], 10.47 * DAY, 10.48 * DAY, 9.5 * DAY + LAST_AGES[1]),
        # Over: what was not read is lost.
        ([story(9.5 * DAY, 10.4 * DAY)], 10.5 * DAY, 10.5 * DAY, 10.5 * DAY + HOUR),
        # Its own call failed, or it was never read.
        ([story(9.9 * DAY, 9.95 * DAY)], 10 * DAY, 10 * DAY + 5, 10 * DAY + 600),
        ([story(9.9 * DAY)], 10 * DAY, 10 * DAY + 5, 10 * DAY + 600),
        # It was read since its last fixed age, so that it is no later than the others.
        ([story(9.9 * DAY, 9.99 * DAY)], 10 * DAY, 10 * DAY + 5, 10 * DAY + HOUR),
        # Only a webhook has named it.
        ([StoryRow("1", ordered_at=9.9 * DAY)], 10 * DAY, 10 * DAY + 5, 10 * DAY + HOUR),
    ],
)
def test_when_the_stories_of_an_account_are_read_next(stories, last_read_at, now, due):
    assert due_at(stories, last_read_at=last_read_at, now=now) == due


@pytest.mark.parametrize(
    ("read_after", "age", "is_so"),
    [
        (AGES[0] - 1, AGES[0] - 1, False),
        (AGES[0] - 1, AGES[0], True),
        (AGES[0], AGES[1] - 1, False),
        (AGES[0], AGES[1], True),
        (AGES[-1], DAY, False),
    ],
)
def test_a_story_is_read_by_itself_once_after_each_fixed_age(read_after, age, is_so):
    assert is_due(story(10 * DAY, 10 * DAY + read_after), at=10 * DAY + age) is is_so


# A worker


def story_worker(world):
    return WorldWorker(world, STORIES_OF)


def kept(world, **range_):
    return {row.id: row for row in world.services.store.stories.listed(world.account["id"], limit=1000, **range_)}


def true_stories(world, **query):
    path = f"/_simulator/truth/{world.account['id']}/stories"
    return world.simulator.get(path, params=query).json()["stories"]


def last_values(row):
    return {metric: each.value for metric, each in values_of(row.numbers).items()}


def counts_of(world, row):
    """The true counts of a story when it was read last."""
    at = world.clock.now().fromtimestamp(row.read_at, world.clock.now().tzinfo).isoformat()
    return next(each["counts"] for each in true_stories(world, at=at, since="2026-11-19") if each["id"] == row.id)


def assert_last_values(world, row):
    counts, values = counts_of(world, row), last_values(row)
    if counts["reach"] < 5:
        assert {values[name].reason for name in PLAIN} == {"insufficient_viewers"}
        return
    assert {name: values[name].value for name in PLAIN} == {name: counts[name] for name in PLAIN}
    assert values["navigation"].buckets == {name: counts[name] for name in NAVIGATION}
    assert values["profile_activity"].value == counts["profile_activity"]


OLD_NAMES = {"reach": "reach", "replies": "replies", "impressions": "views"}
OLD_NAMES |= {"taps_forward": "tap_forward", "taps_back": "tap_back", "exits": "tap_exit"}


class Change(NamedTuple):
    account: str
    value: object
    time: float


def expires(each):
    return datetime.fromisoformat(each["expires"]).timestamp()


def deliver(world, each):
    """Report a story as Meta does, an hour after its end: with the old names, and -1 for what is below 5."""
    value = {name: count if (count := each["final"][known]) >= 5 else -1 for name, known in OLD_NAMES.items()}
    change = Change(world.account["id"], {"media_id": each["id"], **value}, expires(each) + HOUR)
    world.services.kept_stories.apply_webhook(change)
    world.services.kept_stories.apply_webhook(change)


def test_the_last_values_of_every_story_are_kept_also_where_only_one_way_worked(make_world):
    """A day of polling alone, a day and a half without a worker, and a day of both."""
    world = make_world("big")
    worker, begin = story_worker(world), world.clock.timestamp()
    worker.run_until(world.clock.now() + timedelta(days=1))
    polled_until = world.clock.timestamp()
    world.advance(days=1.5)
    alone_until = world.clock.timestamp()
    worker.run()
    worker.run_until(world.clock.now() + timedelta(days=1))
    now = world.clock.timestamp()
    truth = [each for each in true_stories(world, since="2026-11-19") if begin < expires(each) <= now]
    for each in truth:
        if expires(each) > polled_until:
            deliver(world, each)

    rows = kept(world)

    assert {each["id"] for each in truth} <= rows.keys()
    ways = Counter()
    for each in truth:
        row, final = rows[each["id"]], each["final"]
        values = {name: value.value for name, value in last_values(row).items()}
        ways[row.read_at is not None, row.delivered_at is not None] += 1
        if row.delivered_at is None:
            assert row.read_at - row.created_at >= LAST_AGES[1] or row.created_at < begin - DAY + LAST_AGES[1]
            assert_last_values(world, row)
            continue
        for name in ("reach", "replies"):
            assert values[name] == final[name] or (final[name] < 5 and values[name] != -1), (name, row)
        buckets = last_values(row)["navigation"].buckets
        assert all(buckets[name] == final[name] for name in ("tap_forward", "tap_exit") if final[name] >= 5)
        if row.read_at is not None and row.created_at > alone_until:
            assert values["views"] is not None or final["reach"] < 5
    assert set(ways) == {(True, False), (False, True), (True, True)}


def look_worker(world):
    """A worker that looks at the posts too, and whose reading of stories begins first."""
    worker = WorldWorker(world, STORIES_OF, POSTS_OF)
    world.services.store.jobs.put(POSTS_OF, world.account["id"], due_at=world.clock.timestamp())
    worker.run()
    world.calls()
    return worker


@pytest.mark.parametrize("says", [True, False])
def test_a_look_at_the_posts_is_the_look_for_stories_too(make_world, monkeypatch, says):
    """Where the answer leaves out an empty list of stories, that list is read itself every six hours."""
    world = make_world("nothing")
    if not says:
        look = GraphClient.look
        monkeypatch.setattr(GraphClient, "look", lambda *args, **options: look(*args, **options)._replace(stories=None))
    worker = look_worker(world)

    worker.run_until(world.clock.now() + timedelta(hours=13.2))

    calls = world.calls()
    assert len([path for path in calls if "stories.limit(1)" in path]) == 13
    assert len(calls) == 13 + (0 if says else 2)
    assert world.body("/stories")["stories"] == []
    assert world.calls() == []


@pytest.mark.parametrize(
    "fault",
    [{"kind": "error", "code": 100}, {"kind": "error", "code": 1}, {"kind": "wrong_type", "at": "media", "value": []}],
)
def test_where_the_common_look_is_refused_both_are_read_as_before(make_world, fault):
    world = make_world("nothing")
    worker = look_worker(world)
    world.fault(path="stories.limit(1)", **fault)

    worker.run_until(world.clock.now() + timedelta(hours=12.2))

    calls = Counter(path.partition("?")[0].rpartition("/")[2] for path in world.calls())
    assert calls == {world.account["id"]: 1, "media": 12, "stories": calls["stories"]}
    assert calls["stories"] in {11, 12}


KINDS = {
    "breakdown": "by breakdown",
    "/stories?": "list",
    "stories.limit(1)": "look",
    "stories.limit(50)": "look with list",
}


def kinds_of(calls):
    """Count calls by what they bring of stories."""
    return Counter(
        next((name for part, name in KINDS.items() if part in path), "others") for path in map(unquote, calls)
    )


def test_no_story_is_lost_while_looks_at_the_posts_bring_them_along(make_world):
    """New ones are found within the hour, and each is read shortly before its end; an hour takes two calls."""
    world = make_world("no_posts")
    worker, begin = look_worker(world), world.clock.timestamp()
    worker.run_until(world.clock.now() + timedelta(hours=36))
    calls = kinds_of(world.calls())

    # One more look for a new story that refused it, and four lists that isolated that story.
    assert calls["look"] == 0
    assert calls["look with list"] in {36, 37}
    assert calls["list"] <= 6
    rows, now = kept(world), world.clock.timestamp()
    truth = [each for each in true_stories(world, since="2026-11-20") if begin < expires(each) <= now]
    assert len(truth) >= 2
    for each in truth:
        assert rows[each["id"]].read_at - rows[each["id"]].created_at >= LAST_AGES[1]
        assert_last_values(world, rows[each["id"]])


def test_where_their_numbers_are_refused_beside_posts_the_stories_are_read_as_before(make_world):
    world = make_world("no_posts")
    worker = look_worker(world)
    world.fault("error", path="stories.limit(50)", code=100)

    worker.run_until(world.clock.now() + timedelta(hours=3.2))

    calls = kinds_of(world.calls())
    assert calls["look with list"] == 1
    assert calls["look"] == calls["list"] == calls["by breakdown"] == 3


def failures(caplog, message):
    """The lines of a message: their account, code and provider."""
    lines = [record for record in caplog.records if record.message == message]
    return {(line.account, line.code, line.provider) for line in lines}


def test_numbers_of_stories_that_a_look_could_not_read_are_logged(make_world, caplog):
    world = make_world("no_posts")
    worker = look_worker(world)
    world.fault("server_error", path="breakdown")
    caplog.clear()

    worker.run_until(world.clock.now() + timedelta(hours=3.2))

    failed = {(world.account["id"], "provider_unavailable", "instagram")}
    assert failures(caplog, "Stories of a look could not be read") == failed


def test_numbers_of_single_stories_that_could_not_be_read_are_logged(world, caplog):
    world.switch(story_minimum="viewers")
    worker = story_worker(world)
    world.fault("error", path="permalink,insights", code=100)
    world.fault("server_error", path="/insights")

    worker.run()

    failed = {(world.account["id"], "provider_unavailable", "instagram")}
    assert failures(caplog, "Numbers of stories could not be read") == failed


def test_where_a_story_has_too_few_viewers_only_the_numbers_are_left_out_of_the_look(make_world):
    world = make_world("no_posts")
    worker = look_worker(world)
    world.fault("error", path="views", code=10, message="(#10) Not enough viewers for the media to show insights")

    worker.run_until(world.clock.now() + timedelta(hours=2.2))

    calls = kinds_of(world.calls())
    assert calls["look"] == 0
    assert 2 <= calls["look with list"] <= 4


def test_a_story_without_values_among_others_does_not_have_them_asked_for_each_hour(make_world):
    """Ten hours of four stories, the second of which has too few viewers: each is asked for at its fixed ages only."""
    world = make_world("big")
    world.advance(hours=7.5)
    worker, begin = look_worker(world), world.clock.timestamp()
    live = {each["id"]: each for each in true_stories(world) if each["is_live"]}
    few = [each["id"] for each in live.values() if each["final"]["reach"] < 5]
    places = [list(live).index(each) for each in few]

    worker.run_until(world.clock.now() + timedelta(hours=10))

    calls, listed_at = world.calls(), world.services.store.stories.last_read_at(world.account["id"])
    assert (len(live), places) == (4, [1])
    asked = {each: len([path for path in calls if f"/{each}/insights" in path]) for each in live}
    for each, row in kept(world).items():
        passed = [row.created_at + age for age in AGES if begin < row.created_at + age <= listed_at]
        calls_each = 1 if each in few else 2  # too few viewers is one answer; else plain numbers, and navigation
        assert 0 < asked[each] <= calls_each * len(passed), (row, asked)
        assert row.read_at >= passed[-1]
    assert kinds_of(calls)["list"] == 0
    assert len(calls) <= 50, kinds_of(calls)


def test_stories_that_are_read_apart_after_a_look_end_their_trouble_although_their_calls_take_time(
    make_world, monkeypatch
):
    world = make_world("big")
    world.advance(hours=7.5)
    worker, read_some = look_worker(world), StoryReader.read_some
    account, services = world.account["id"], world.services
    apart = []

    def slow(*given, **options):
        apart.append(given)
        world.advance(seconds=2)
        return read_some(*given, **options)

    monkeypatch.setattr(StoryReader, "read_some", slow)
    come = StoriesAlong.come
    monkeypatch.setattr(StoriesAlong, "come", lambda self, page: [come(self, page), world.advance(seconds=2)])

    worker.run_until(world.clock.now() + timedelta(hours=1.2))
    services.account_troubles.failed(account, STORIES_OF, PermissionDeniedError("No.", provider="instagram"))
    apart.clear()
    worker.run_until(world.clock.now() + timedelta(hours=2))

    assert apart
    assert services.store.account_troubles.known() == set()


def test_a_reading_that_ended_with_its_list_is_repeated_after_two_minutes_and_counts_as_not_read(
    make_world, monkeypatch
):
    def ends(*_args, **_options):
        raise RuntimeError("as if the process ended here")

    world = make_world("big")
    world.advance(hours=7.5)
    worker, polling = story_worker(world), world.services.story_polling
    worker.run()
    world.advance(hours=1.1)
    world.calls()
    with monkeypatch.context() as patched:
        patched.setattr(StoriesAlong, "come", ends)
        worker.run()
    listed = len(world.calls("/stories"))

    run = polling.read(world.account["id"])

    assert (listed, world.calls()) == (1, [])
    assert (run.is_read, run.due_at - world.clock.timestamp()) == (False, 120)


def test_a_reading_of_all_stories_takes_two_calls_and_one_of_an_ending_story_three(world):
    world.switch(story_minimum="viewers")
    worker = story_worker(world)
    few = [each for each in true_stories(world) if each["is_live"] and each["counts"]["reach"] < 5]
    worker.run()
    calls = Counter(path.partition("?")[0].rpartition("/")[2] for path in world.calls())

    live = [each for each in true_stories(world) if each["is_live"]]
    if few:
        assert calls["stories"] == 2
        assert calls["insights"] == len(live) + len(few) + len(live) - len(few)
    else:
        assert calls == {"stories": 2}
    row = min(kept(world).values(), key=lambda row: row.created_at)
    assert row.read_at == pytest.approx(world.clock.timestamp(), abs=1)


def test_a_reading_that_was_killed_is_repeated_after_two_minutes_and_not_before(world):
    worker = story_worker(world)
    store, account = world.services.store, world.account["id"]
    # The process ends after its first call, before anything is kept.
    worker.claim()
    store.stories.begin(account, now=world.clock.timestamp())
    worker.end_leases()
    world.calls()

    ran = worker.run()
    at_once = world.calls()
    world.advance(seconds=121)
    worker.run()

    assert (ran, at_once) == (1, [])
    assert world.calls("/stories")
    assert set(kept(world)) == {each["id"] for each in true_stories(world) if each["is_live"]}


def test_numbers_that_were_read_before_a_process_ends_are_kept(world, monkeypatch):
    def ends(*_args, **_options):
        raise RuntimeError("as if the process ended here")

    worker = story_worker(world)
    with monkeypatch.context() as patched:
        patched.setattr(StoryReader, "_read_by_breakdown", ends)
        worker.run()
    first = kept(world)
    world.advance(seconds=121)
    worker.run()

    assert first.keys() == kept(world).keys()
    for row in first.values():
        assert row.read_at is None
        assert {"views", "reach"} <= last_values(row).keys()
        assert kept(world)[row.id].read_at is not None


def test_a_story_whose_own_call_failed_is_read_again_soon_although_the_list_is_still_fresh(world, monkeypatch):
    worker, began, read = story_worker(world), world.clock.timestamp(), StoryReader.read
    with monkeypatch.context() as patched:
        patched.setattr(
            StoryReader,
            "read",
            lambda *given, **options: [replace(story, is_read=False) for story in read(*given, **options)],
        )
        worker.run()
    failed = [row.read_at for row in kept(world).values()]
    world.calls()

    worker.run_until(world.clock.now() + timedelta(seconds=INCOMPLETE_AFTER + 1))

    assert failed == [None] * len(failed) != []
    assert {round(row.read_at - began) for row in kept(world).values()} == {INCOMPLETE_AFTER}
    assert world.calls("/stories")


def test_a_provider_that_fails_is_tried_again_also_before_a_story_ends(world):
    worker = story_worker(world)
    worker.run()
    row = min(kept(world).values(), key=lambda row: row.created_at)
    ends = world.clock.now().fromtimestamp(row.created_at + DAY, world.clock.now().tzinfo)
    world.fault("error", code=2)
    world.calls()
    worker.run_until(ends - timedelta(minutes=8))
    failed = kept(world)[row.id].read_at
    world.heal()
    worker.run_until(ends)

    assert failed == row.read_at
    assert kept(world)[row.id].read_at > row.created_at + LAST_AGES[1]
    assert_last_values(world, kept(world)[row.id])


def test_background_work_pauses_above_75_percent_of_the_quota(world):
    worker = story_worker(world)
    world.switch(usage=76)
    world.body("/top-posts?time_range=1d")
    world.calls()

    worker.run_until(world.clock.now() + timedelta(minutes=12))

    assert world.calls() == []
    assert worker.next_due() - world.clock.timestamp() <= 300
    paused = handlers(world.services, world.services.store.clock)[STORIES_OF](world.account["id"], {}, 3)
    assert (paused.is_attempt, paused.reset_attempts) == (False, False)  # A pause ends no delay after a failure.


def test_the_job_of_a_removed_account_ends_and_its_troubles_with_it(world):
    worker, removed = story_worker(world), "17841499999999999"
    for account in (removed, world.account["id"]):
        denied = PermissionDeniedError("No permission.", provider="instagram")
        world.services.account_troubles.failed(account, SNAPSHOT_OF, denied)
    world.services.store.jobs.put(STORIES_OF, removed, due_at=world.clock.timestamp())
    worker.run()

    assert world.services.store.jobs.keys(STORIES_OF) == {world.account["id"]}
    assert world.services.store.account_troubles.known() == {(world.account["id"], SNAPSHOT_OF)}


def test_every_account_gets_a_job_once(world):
    store = world.services.store
    runner = Runner(store, handlers(world.services, store.clock), world.clock)
    runner.put_recurring()
    for _ in range(2):
        world.advance(seconds=301)
        for job in store.jobs.claim("worker", 10, now=world.clock.timestamp(), kinds=["stories"]):
            runner.run(job)

    assert store.jobs.keys(STORIES_OF) == {world.account["id"]}


def test_a_caller_and_the_worker_share_a_reading(world):
    account = world.services.accounts.find(None)
    world.services.kept_stories.live(account)
    world.calls()
    worker = story_worker(world)

    worker.run()

    assert world.calls() == []
    assert 0 < worker.next_due() - world.clock.timestamp() <= HOUR


def test_a_minimum_for_each_value_costs_few_calls_until_a_story_ends(make_world):
    """Where Instagram refuses single values below 5, they are asked for alone once, and again before the end."""
    world = make_world("ordinary")
    world.switch(story_minimum="values")
    worker = story_worker(world)
    worker.run()
    world.calls()
    live = [each for each in true_stories(world) if each["is_live"] and each["counts"]["reach"] >= 5]
    world.advance(hours=1.01)

    worker.run()
    calls = world.calls("/insights")

    assert live
    for each in live:
        row = kept(world)[each["id"]]
        counts, values = counts_of(world, row), last_values(row)
        assert values["reach"].value == counts["reach"]
        assert {values[name].reason for name in PLAIN if counts[name] < 5} <= {"insufficient_viewers", None}
        assert len([path for path in calls if each["id"] in path]) <= 2 + len(PLAIN)


def test_a_story_that_was_deleted_before_its_end_does_not_have_the_others_read_again_and_again(make_world):
    world = make_world("no_posts")
    worker, now = look_worker(world), world.clock.timestamp()
    deleted = StoryRow("18099999999999999", ordered_at=now - HOUR, created_at=now - HOUR, read_at=now - 0.9 * HOUR)
    world.services.store.stories.keep(world.account["id"], [deleted])

    worker.run_until(world.clock.now() + timedelta(hours=2.2))

    assert kinds_of(world.calls()) == {"look with list": 2, "by breakdown": 2}
