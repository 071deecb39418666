"""Posts in the background: read at the fixed ages with few calls, never twice, whatever fails or is killed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from services import request_context
from services.clients.graph.reads import GraphReads
from services.errors import PermissionDeniedError, ProviderUnavailableError
from services.media.expansion import POST_METRICS
from services.media.values import MediaValue
from services.posts.ages import FIXED_AGES, LAST_STEP, PUNCTUAL, STEPS, TOLERANCES, due_since, slot_of
from services.posts.insights import PostInsightsReader
from services.posts.listed_posts import PostListPolicy
from services.posts.post_polling import FIRST_PAGE, PostPolling, _in_this_look
from services.request_context import RequestContext
from services.store.posts import COUNTS, INSIGHTS
from tests.posts.reading import Truth, kept, points_of, post_worker
from tests.support import utc

HOUR, DAY = 3600.0, 86_400.0
CONVERTED = utc("2026-11-01T00:00")


# At which ages


def test_a_reading_has_the_label_of_a_fixed_age_within_its_tolerance_only():
    for age, tolerance in TOLERANCES.items():
        assert slot_of(age * HOUR) == slot_of((age + tolerance) * HOUR) == (age * 60, age)
        assert slot_of(age * HOUR - 1).age_label is None
        assert slot_of((age + tolerance) * HOUR + 1).age_label is None


def test_slots_are_in_the_order_of_ages_and_few():
    found = [slot_of(minutes * 60 + 30) for minutes in range(90 * 1440)]
    slots = [slot.minutes for slot in found]

    # A reading in between never takes the place of one at a fixed age.
    assert {slot.minutes for slot in found if slot.age_label is None}.isdisjoint(age * 60 for age in FIXED_AGES)
    assert slots == sorted(slots)
    assert all(slot <= minutes + 1 for minutes, slot in enumerate(slots))
    assert len(set(slots)) < 45
    for age in FIXED_AGES:
        assert age * 60 % next((step for until, step in STEPS if age * 60 < until), LAST_STEP) == 0


@pytest.mark.parametrize(
    ("age", "read_at_age", "due_since_age"),
    [(0.5, None, None), (1, None, 1), (5.9, 1, None), (6, 5.9, 6), (30, 26, None), (200, 100, 168), (900, 672, None)],
)
def test_a_post_is_due_since_its_last_fixed_age(age, read_at_age, due_since_age):
    posted = 10 * DAY
    read_at = None if read_at_age is None else posted + read_at_age * HOUR

    due = due_since(posted, read_at, now=posted + age * HOUR)

    assert due == (None if due_since_age is None else posted + due_since_age * HOUR)


# A worker


def assert_true(world, truth, row, points):
    for point in points:
        if point.insights_read_at is not None:
            true = truth.at(row, point.insights_read_at)
            assert {name: point.values[name] for name in INSIGHTS} == {name: true[name] for name in INSIGHTS}
        if point.counts_read_at is not None:
            true = truth.at(row, point.counts_read_at)
            for name in COUNTS:
                assert point.values[name] == true[name] or point.reasons[name] == f"{name}_hidden"


def labels(points):
    return {point.age_label for point in points if point.insights_read_at is not None} - {None}


def paths_of(calls):
    return {call.partition("?")[0].rpartition("/")[2] for call in calls}


def test_readings_at_the_fixed_ages_are_the_truth_and_a_look_is_one_call(make_world):
    world = make_world("ordinary")
    worker, truth = post_worker(world), Truth(world)
    worker.run()
    world.calls()
    begin = world.clock.timestamp()
    worker.run_until(world.clock.now() + timedelta(hours=30))
    calls = world.calls()

    found = set()
    for row in kept(world, since=begin - 29 * DAY):
        points = points_of(world, row.id)
        reached = {each: row.posted_at + each * HOUR for each in FIXED_AGES}
        at_ages = {each for each in labels(points) if reached[each] > begin}
        # A look is at most an hour away, and a post beyond the first page may wait for half of its tolerance.
        wait = {each: 0 if each in PUNCTUAL else HOUR + TOLERANCES[each] * HOUR / 2 for each in FIXED_AGES}
        assert at_ages >= {
            each for each, moment in reached.items() if begin < moment < world.clock.timestamp() - 1 - wait[each]
        }
        found |= at_ages
        assert_true(world, truth, row, [point for point in points if point.age_label in at_ages])
        late = {
            point.age_label: point.insights_read_at - reached[point.age_label] for point in points if point.age_label
        }
        assert all(late[each] < 180 for each in at_ages & set(PUNCTUAL))
    assert found == set(FIXED_AGES)
    # Hourly, at two ages of each new post, and now and then the second page of a list that is longer than one.
    assert paths_of(calls) <= {world.account["id"], "media"}
    assert len(calls) <= 30 * 28 / 24 + 2 * len(kept(world, since=begin))


def test_an_idle_account_costs_one_call_an_hour(make_world):
    world = make_world("no_posts")
    worker = post_worker(world)
    worker.run()
    world.calls()

    worker.run_until(world.clock.now() + timedelta(hours=8))

    assert 7 <= len(world.calls()) <= 8


def test_the_first_look_reads_every_post_of_90_days_once(make_world):
    world = make_world("ordinary")
    worker = post_worker(world)

    while worker.next_due() <= world.clock.timestamp() + 121:
        world.advance(seconds=121)
        worker.run()
    calls = world.calls()
    world.advance(seconds=121)
    worker.run()

    since = world.clock.timestamp() - 90 * DAY
    truth = world.truth(since="2026-08-24")["posts"]
    rows = kept(world, since=since + DAY)
    assert {row.id for row in rows} <= {each["id"] for each in truth}
    assert len(rows) >= len(truth) - 6
    assert all(any(point.insights_read_at for point in points_of(world, row.id)) for row in rows)
    assert len(calls) <= 3 + len(rows) / 50 + len(rows) / 100
    assert world.calls() == []


def test_lists_do_not_bring_back_posts_that_retention_deletes(make_world):
    world = make_world("ordinary", MEDIA_KEEP_DAYS="91")
    now = world.clock.timestamp()

    trends = world.body("/growth-trends?period=365d&er_basis=reach")["trends"]
    world.settle()

    assert any(trend["coverage"].get("previous", {}).get("posts_used") for trend in trends)
    posted = [row.posted_at for row in world.services.store.posts.between(world.account["id"], 0, now)]
    assert now - 92 * 86_400 < min(posted) < now - 85 * 86_400


def test_a_reading_that_was_missed_comes_once_and_says_its_true_age(make_world):
    world = make_world("ordinary")
    worker, truth = post_worker(world), Truth(world)
    worker.run_until(world.clock.now() + timedelta(hours=3))
    row = max(kept(world), key=lambda row: row.posted_at)
    before = labels(points_of(world, row.id))
    world.advance(days=4)
    worker.run()
    worker.run_until(world.clock.now() + timedelta(hours=2))

    points = points_of(world, row.id)
    late = [point for point in points if point.insights_read_at and point.insights_read_at > row.posted_at + 3 * DAY]
    assert labels(points) == before
    assert [point.age_label for point in late] == [None]
    assert late[0].insights_read_at - row.posted_at > 72 * HOUR + TOLERANCES[72]
    assert_true(world, truth, row, points)


def test_what_callers_read_is_kept_and_not_read_again(make_world):
    world = make_world("ordinary")
    worker, truth = post_worker(world), Truth(world)
    worker.run()
    coming = [(row.posted_at + age * HOUR, age, row) for row in kept(world)[:10] for age in FIXED_AGES]
    moment, age, young = min(each for each in coming if each[0] > world.clock.timestamp() + 2 * HOUR)
    worker.run_until(world.clock.now() + timedelta(seconds=moment - world.clock.timestamp() - 600))
    world.calls()
    world.advance(seconds=660)
    world.body("/top-posts?time_range=10d&by=reach&refresh=true")
    of_caller = world.calls()

    worker.run()

    assert of_caller
    assert world.calls() == []
    points = points_of(world, young.id)
    assert age in labels(points)
    assert_true(world, truth, young, points)


def test_a_look_that_was_killed_repeats_no_call_and_loses_no_reading(make_world, monkeypatch):
    def ends(*_args, **_options):
        raise RuntimeError("as if the process ended here")

    world = make_world("ordinary")
    worker = post_worker(world)
    with monkeypatch.context() as patched:
        patched.setattr(PostInsightsReader, "read", ends)
        worker.run()
    first = {row.id: points_of(world, row.id) for row in kept(world)}
    made = world.calls()
    worker.end_leases()
    world.advance(seconds=121)
    worker.run()
    again = world.calls()

    assert made
    assert sum(any(point.insights_read_at for point in points) for points in first.values()) == 50
    # The list and the page of insights that came with it are kept; only the rest is read.
    assert len(again) <= 4
    assert all(any(point.insights_read_at for point in points_of(world, row.id)) for row in kept(world)[50:100])


def test_two_workers_look_once(make_world):
    world = make_world("ordinary")
    worker = post_worker(world)
    world.calls()
    first, second = worker.claim(), worker.claim()
    for job in (*first, *second):
        worker.runner.run(job)
    made = world.calls()
    worker.services.post_polling.look(world.account["id"])

    assert (len(first), len(second)) == (1, 0)
    assert made
    assert world.calls() == []


def test_posts_without_insights_are_kept_with_the_reason_and_asked_for_once(make_world):
    world = make_world("converted")
    world.switch(pre_conversion_before=CONVERTED.isoformat())
    worker, begin = post_worker(world), world.clock.timestamp()
    worker.run()
    world.calls()
    worker.run_until(world.clock.now() + timedelta(hours=3))

    old = [row for row in kept(world, since=begin - 89 * DAY) if row.posted_at < CONVERTED.timestamp()]
    assert old
    for row in old:
        assert {point.reasons["reach"] for point in points_of(world, row.id) if point.insights_read_at} == {
            "media_too_old"
        }
    assert len(world.calls()) <= 5


@pytest.mark.parametrize("call", [1, 2, 4])
def test_a_look_that_was_killed_at_any_call_reads_each_post_once(make_world, monkeypatch, call):
    world = make_world("ordinary")
    worker, made, read = post_worker(world), [], GraphReads.get

    def killed(*args, **options):
        made.append(1)
        if len(made) == call:
            raise RuntimeError("as if the process ended here")
        return read(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(GraphReads, "get", killed)
        worker.run()
    for _ in range(3):
        worker.end_leases()
        world.advance(seconds=121)
        worker.run()

    insights = [path for path in world.calls() if "insights" in path]
    rows = kept(world, since=world.clock.timestamp() - 89 * DAY)
    assert len(rows) > 100
    assert all(sum(point.insights_read_at is not None for point in points_of(world, row.id)) == 1 for row in rows)
    assert len(insights) == len(set(insights))


def test_posts_beyond_the_first_page_wait_for_each_other_within_their_tolerance():
    posted = 100 * DAY
    posts = [(f"new {number}", 0.0, None) for number in range(FIRST_PAGE)]
    posts += [("week", posted, posted + 168 * HOUR), ("month", posted - 21 * DAY, posted + 7 * DAY)]
    young = [("young", posted, posted + HOUR), *posts]

    assert _in_this_look(posts, posted + 173 * HOUR) == set()
    assert _in_this_look(posts, posted + 174 * HOUR) == {"week", "month"}
    assert _in_this_look(young, posted + 173 * HOUR) == {"young"}


def test_a_number_that_a_look_does_not_bring_leaves_the_one_that_was_known(make_world):
    world = make_world("ordinary")
    (known,) = world.body("/top-posts?time_range=3d&by=reach&limit=1")["top_posts"]
    place = [row.id for row in kept(world)].index(known["id"])
    world.fault("wrong_type", at=f"media.data.{place}.insights.data", value=[])
    world.advance(seconds=200)

    post_worker(world).run()

    (post,) = world.body("/top-posts?time_range=3d&by=reach&limit=1")["top_posts"]
    assert (post["id"], post["reach"]) == (known["id"], known["reach"])


def test_looks_pause_above_75_percent_of_the_quota(make_world):
    world = make_world("ordinary")
    worker = post_worker(world)
    world.switch(usage=76)
    world.body("/growth-trends?period=1d")
    world.calls()

    worker.run_until(world.clock.now() + timedelta(minutes=12))

    assert world.calls() == []
    assert worker.next_due() - world.clock.timestamp() <= 300


def test_a_missing_permission_costs_a_few_calls_a_day_and_its_end_is_noticed(make_world):
    world = make_world("ordinary")
    worker = post_worker(world)
    world.fault("permission", path="insights")
    worker.run_until(world.clock.now() + timedelta(hours=5))
    calls = world.calls()
    world.heal()
    worker.run_until(world.clock.now() + timedelta(hours=4))

    assert len([path for path in calls if "insights" in path]) <= 10
    assert len([path for path in calls if "insights" not in path]) <= 9
    assert any(point.insights_read_at for row in kept(world)[:5] for point in points_of(world, row.id))


def test_a_look_is_tried_again_after_a_failure(make_world):
    world = make_world("ordinary")
    worker = post_worker(world)
    world.fault("error", code=2)
    worker.run()
    assert kept(world) == []
    world.heal()
    world.advance(minutes=6)
    worker.run()
    assert kept(world)


@pytest.mark.parametrize(("kind", "code"), [("html", "provider_unavailable"), ("permission", "permission_denied")])
def test_insights_that_a_look_could_not_read_are_logged(make_world, monkeypatch, caplog, kind, code):
    world = make_world("ordinary")
    worker = post_worker(world)
    worker.run()
    monkeypatch.setattr(PostPolling, "_along", lambda *_: None)
    world.fault(kind, path="insights")
    caplog.clear()

    worker.run_until(world.clock.now() + timedelta(hours=6))

    lines = [record for record in caplog.records if record.message == "Insights of posts could not be read"]
    assert {(line.account, line.code, line.provider) for line in lines} == {(world.account["id"], code, "instagram")}
    assert all(line.reason for line in lines)


def test_a_listed_post_that_is_not_found_has_no_reading_and_stays_due(make_world):
    world = make_world("ordinary")
    world.body("/top-posts?time_range=3d")  # The list alone.
    posts, account = world.services.store.posts, world.account["id"]
    found, hidden = (row for row in kept(world)[:2])
    values = {
        found.id: {name: MediaValue(None, "refused") for name in POST_METRICS},
        hidden.id: {name: MediaValue(None, "object_not_found") for name in POST_METRICS},
    }

    listed = world.services.post_polling._posts.read(
        world.services.accounts.find(account), PostListPolicy(since=hidden.posted_at)
    )
    world.services.kept_posts.read(world.services.accounts.find(account), listed.posts, values)

    assert set(posts.last_insights(account, list(values))) == {found.id}


@pytest.mark.parametrize(("failure", "is_read"), [(ProviderUnavailableError, False), (PermissionDeniedError, True)])
def test_a_look_whose_insights_fail_ends_no_trouble(make_world, monkeypatch, failure, is_read):
    world = make_world("ordinary")
    post_worker(world).run()
    read, failed = PostInsightsReader.read, []

    def fails(self, *arguments, **more):
        failed.append(failure("It failed.", provider="instagram"))
        return replace(read(self, *arguments, **more), failure=failed[-1])

    monkeypatch.setattr(PostPolling, "_along", lambda *_: None)
    monkeypatch.setattr(PostInsightsReader, "read", fails)
    world.advance(hours=6)

    background = request_context.current.set(RequestContext(started_at=0.0, is_background=True))
    run = world.services.post_polling.look(world.account["id"])
    request_context.current.reset(background)

    assert (len(failed), run.is_read) == (1, is_read)
