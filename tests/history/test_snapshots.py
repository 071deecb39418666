"""The daily snapshot and the back-fill against the simulator: everything true, nothing twice, whatever happens."""

from __future__ import annotations

import logging
import threading
from datetime import date, timedelta
from itertools import pairwise

import pytest
import responses

from services.background.job_schedule import BACKFILL_OF, SNAPSHOT_OF
from services.days import provider_time
from services.errors import ProviderError
from services.history.snapshot_plan import FAILED, last_settled_day
from services.history.snapshot_schedule import due_at
from services.history.snapshots import ATTEMPTS
from services.insights.audience import AUDIENCE_BREAKDOWNS, DEMOGRAPHICS
from services.store.database import DatabaseUnavailableError
from tests.history.worker import HistoryWorker
from tests.planners import body_of, plan_insights, plan_profile, totals
from tests.support import ACCOUNT_ID, utc

FIRST_CALLS = 10  # of a first snapshot, beside those of settled days; four of them for demographics
LAST_FINAL = date(2026, 11, 17)  # on 2026-11-21, when its follows can change no more


@pytest.fixture
def make_worker(make_world):
    def make(kind="ordinary", *, now=None, **settings):
        world = make_world(kind, **settings)
        if now is not None:
            world.clock.set(utc(now))
            world.advance(seconds=0)
        return HistoryWorker(world)

    return make


def test_a_day_that_instagram_marks_by_another_time_is_not_kept_and_says_so(client, clock):
    def answer(query):
        if "metric_type" in query:
            return totals(query, 7)
        first, last = int(query["since"]), int(query["until"])
        ends = [end + 3 * 3600 for end in range(first, last, 86_400)]
        points = [{"value": 7, "end_time": provider_time(end)} for end in ends]
        return 200, {"data": [{"name": name, "values": points} for name in query["metric"].split(",")]}

    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        plan_insights(wire, answer)
        plan_profile(wire)
        client.application.extensions["services"].snapshots.take_snapshot(ACCOUNT_ID)

    body = body_of(client, "/history", metrics="follower_count", since="2026-06-10", until="2026-06-12")

    points = {(point["value"], point["reason"]) for point in body["series"][0]["points"]}
    (entry,) = body["meta"]["unavailable"]
    assert points == {(None, "unexpected_end_time")}
    assert "midnight in California" in entry["message"]


def insights(calls):
    return [path for path in calls if "insights" in path]


def test_the_first_snapshot_and_its_backfill_have_every_value_and_ask_for_none_twice(make_worker, caplog):
    worker = make_worker(BACKFILL_DAYS="14")
    caplog.set_level(logging.INFO)

    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))

    calls = worker.world.calls()
    # Seven days, and four more by the back-fill, of five calls each; yesterday, the profile, and a month of new
    # followers and of those online, which across the clock change of autumn is an hour too long for one call.
    assert len(calls) == len(set(calls)) == 7 * 5 + 4 * 5 + FIRST_CALLS
    worker.assert_true(date(2026, 11, 7), date(2026, 11, 20), final_until=LAST_FINAL)
    yesterday = {key[:2]: value for key, value in worker.values("2026-11-20", "2026-11-20").items()}
    assert {breakdown for _, breakdown in yesterday} == {(), ("hour",)}
    assert worker.values("2026-11-15", "2026-11-15")["online_followers", ("hour",), "2026-11-15"].final
    assert not any(value.final for value in yesterday.values())
    assert worker.services.snapshots.progress() == {
        "accounts": 1,
        "snapshots_today": 1,
        "last_snapshot_at": "2026-11-21T18:00:00Z",
        "backfill": {"accounts": 0, "calls": 0, "calls_left": 0},
    }
    lines = [(line.calls, line.calls_left) for line in caplog.records if line.message == "Back-fill"]
    assert lines == [(20, 10), (20, 0)]
    assert worker.store.jobs.keys(BACKFILL_OF) == set()


def test_an_ordinary_day_costs_eight_calls(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.run_days(2)
    worker.world.calls()

    worker.run_days(1)

    calls = worker.world.calls()
    assert len(calls) == 8, calls
    worker.assert_true(date(2026, 11, 11), date(2026, 11, 23), final_until=date(2026, 11, 20))
    counts = worker.store.follower_counts.days(worker.account, since="2026-11-21", until="2026-11-24")
    assert [count.day for count in counts] == [f"2026-11-{day}" for day in (21, 22, 23, 24)]
    assert all(count.read_at == due_at(worker.account, date.fromisoformat(count.day)) + 0.001 for count in counts[1:])


WEEKLY = ["2026-11-21", "2026-11-28"]


def test_demographics_are_read_once_a_week_beside_the_calls_of_the_day(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))
    truth = worker.world.simulator.get(f"/_simulator/truth/{worker.account}/audience").json()
    worker.run_days(8)

    calls = [path for path in worker.world.calls() if "demographics" in path]
    kept = {key: value for key, value in worker.values("2026-11-21", "2026-11-29").items() if "demographics" in key[0]}
    assert len(calls) == len(WEEKLY) * len(AUDIENCE_BREAKDOWNS)
    assert kept.keys() == {(name, (by,), day) for name in DEMOGRAPHICS for by in AUDIENCE_BREAKDOWNS for day in WEEKLY}
    assert all(value.final and value.source == "instagram" and value.api_version == "v25.0" for value in kept.values())
    for by in AUDIENCE_BREAKDOWNS:
        buckets = kept["follower_demographics", (by,), "2026-11-21"].buckets
        assert {name: count for (name,), count in buckets.items()} == truth["follower_demographics"][by]
    path = "/history?metrics=follower_demographics&breakdown=age&interval=week&since=2026-11-16&until=2026-11-29"
    weeks = worker.world.body(path)["series"][0]["points"]
    assert [week["counted_at"][:10] for week in weeks] == WEEKLY
    assert worker.world.calls() == []


def test_the_followers_online_of_a_month_are_read_at_first_and_then_on_one_day_of_each_week(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))
    first = worker.world.calls("online_followers")
    read_on = []
    for _ in range(21):
        worker.run_days(1)
        if worker.world.calls("online_followers"):
            read_on.append(worker.world.clock.now().date())

    assert first
    assert [after - before for before, after in pairwise(read_on)] == [timedelta(days=7)] * 2


def test_demographics_that_failed_are_read_on_the_next_day_and_what_a_caller_has_read_counts(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.world.body("/audience?metrics=follower_demographics&breakdown=age")
    worker.world.fault("server_error", path="demographics")
    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))
    worker.world.heal()
    worker.run_days(1)

    kept = {key[1:] for key in worker.values("2026-11-21", "2026-11-30") if key[0] == "follower_demographics"}
    assert kept == {(("age",), "2026-11-21"), *(((by,), "2026-11-22") for by in AUDIENCE_BREAKDOWNS if by != "age")}


@pytest.mark.parametrize("now", ["2026-10-29T18:00", "2027-03-11T18:00"])
def test_weeks_with_outages_throttles_and_restarts_over_a_clock_change(make_worker, now):
    worker = make_worker(BACKFILL_DAYS="0", now=now)
    world, start = worker.world, utc(now).date()
    worker.run_days(1)
    world.fault("throttled", minutes=300, times=1)
    worker.run_days(2)
    world.fault("server_error")  # for four days
    worker.run_days(4)
    world.heal()
    world.restart()
    worker.take_over()
    worker.run_days(5)

    end = start + timedelta(days=12)
    worker.assert_true(start - timedelta(days=10), end - timedelta(days=1), final_until=end - timedelta(days=4))
    counts = worker.store.follower_counts.days(worker.account, since=str(start), until=str(end))
    down = {str(start + timedelta(days=each)) for each in (4, 5, 6, 7)}
    assert {count.day for count in counts} == {str(start + timedelta(days=each)) for each in range(13)} - down


def test_a_value_that_comes_late_is_asked_for_daily_until_it_is_known(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))
    worker.world.fault("drop_metric", metric="saves")
    worker.run_days(2)
    missing = worker.store.history.missing_days(worker.account, "saves", since="2026-11-17", until="2026-11-19")
    assert missing == ["2026-11-18", "2026-11-19"]
    states = worker.store.history.states(worker.account, since="2026-11-18", until="2026-11-18")
    assert states["saves", ()]["2026-11-18"].reason == "not_answered"

    worker.world.heal()
    worker.run_days(1)

    worker.assert_true(date(2026, 11, 11), date(2026, 11, 22), final_until=date(2026, 11, 20))


def test_a_metric_that_is_refused_costs_few_calls_and_takes_no_other_down(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.world.fault("refuse_metric", metric="reposts")
    worker.run_days(1)
    worker.world.calls()

    worker.run_days(1)

    assert len(worker.world.calls()) == 8
    values = worker.values("2026-11-18", "2026-11-18")
    assert {key[0] for key, value in values.items() if not value.final} <= {"reposts"}
    assert values["views", ("follow_type",), "2026-11-18"].final


def test_without_room_in_the_quota_nothing_is_called(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.world.switch(usage=76)
    worker.world.body("/account-insights?period=day&metrics=views")
    worker.world.calls()

    worker.run()

    assert worker.world.calls() == []
    assert worker.next_due() == worker.world.clock.timestamp() + 300


def test_a_back_fill_pauses_while_the_quota_has_no_room(make_worker):
    worker = make_worker(BACKFILL_DAYS="14")
    worker.run()
    worker.world.switch(usage=76)
    worker.world.body("/top-posts?time_range=7d")
    worker.world.calls()

    worker.run()

    assert worker.world.calls() == []
    assert worker.store.jobs.keys(BACKFILL_OF) == {worker.account}
    assert worker.next_due() == worker.world.clock.timestamp() + 300


def test_a_pause_for_the_quota_neither_counts_as_an_attempt_of_a_back_fill_nor_ends_the_delays(make_worker):
    worker = make_worker(BACKFILL_DAYS="14")
    worker.run()
    worker.world.fault("throttled", minutes=5, times=1)

    def run():
        worker.world.advance(seconds=max(0, worker.next_due() - worker.world.clock.timestamp()) + 1)
        worker.run()
        with worker.store.databases[1].read() as connection:
            statement = f"SELECT attempts FROM jobs WHERE kind = '{BACKFILL_OF}'"
            return connection.exec_driver_sql(statement).scalar()

    failed = run()
    worker.world.heal()
    worker.world.advance(minutes=6)
    worker.world.switch(usage=76)
    worker.world.body("/top-posts?time_range=7d")
    paused = [run() for _ in range(2)]

    assert failed > 0
    assert paused == [failed, failed]


def test_after_a_long_pause_the_days_in_between_are_filled_in_at_once(make_worker):
    worker = make_worker(BACKFILL_DAYS="14")
    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))
    worker.world.advance(days=10)

    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))

    worker.assert_true(date(2026, 11, 7), date(2026, 11, 30), final_until=date(2026, 11, 27))


def test_a_snapshot_of_which_calls_were_throttled_is_not_taken_for_complete(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.world.fault("throttled", path="follow_type", minutes=1)
    worker.run_until(worker.world.clock.now() + timedelta(hours=1))
    before = worker.services.snapshots.progress()["snapshots_today"]
    worker.world.heal()

    worker.run_until(worker.world.clock.now() + timedelta(hours=2))

    assert (before, worker.services.snapshots.progress()["snapshots_today"]) == (0, 1)
    worker.assert_true(date(2026, 11, 11), date(2026, 11, 20), final_until=LAST_FINAL)


def test_in_the_end_a_snapshot_is_taken_without_the_profile(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.world.fault("html", path="followers_count")
    snapshots = worker.services.snapshots

    with pytest.raises(ProviderError):
        snapshots.take_snapshot(worker.account, attempts=ATTEMPTS - 1)
    before = snapshots.progress()["snapshots_today"]
    snapshots.take_snapshot(worker.account, attempts=ATTEMPTS)

    assert (before, snapshots.progress()["snapshots_today"]) == (0, 1)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("followers_count", "A follower count could not be read"),
        ("demographics", "Demographics could not be read"),
        ("online_followers", "Followers online could not be read"),
        ("follow_type", "Values of the history could not be read"),
    ],
)
def test_what_is_left_out_of_a_snapshot_is_logged_with_its_account_and_cause(make_worker, caplog, path, message):
    worker = make_worker(BACKFILL_DAYS="0")
    worker.world.fault("html", path=path)

    worker.services.snapshots.take_snapshot(worker.account, attempts=ATTEMPTS)

    lines = [line for line in caplog.records if line.message == message]
    assert {(line.account, line.provider, line.code in FAILED) for line in lines} == {
        (worker.account, "instagram", True)
    }


def test_what_the_database_did_not_take_at_once_is_kept_from_the_cache(make_worker, monkeypatch):
    worker = make_worker(BACKFILL_DAYS="0")
    history = worker.store.history
    keep, failed = history.keep, []

    def fail_once(account, values):
        if not failed:
            failed.append(values)
            raise DatabaseUnavailableError("gone for a moment")
        keep(account, values)

    monkeypatch.setattr(history, "keep", fail_once)
    worker.run()

    assert failed
    worker.assert_true(date(2026, 11, 11), date(2026, 11, 20), final_until=LAST_FINAL)


def test_two_workers_at_once_ask_for_nothing_twice(make_worker, store_settings):
    worker = make_worker(BACKFILL_DAYS="0", **store_settings)
    first = worker.services
    worker.world.restart()
    threads = [
        threading.Thread(target=services.snapshots.take_snapshot, args=(worker.account,))
        for services in (first, worker.world.services)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    calls = worker.world.calls()
    assert len(insights(calls)) == len(set(insights(calls)))
    assert len(calls) == 7 * 5 + FIRST_CALLS
    worker.assert_true(date(2026, 11, 11), date(2026, 11, 20), final_until=LAST_FINAL)
    assert worker.services.snapshots.take_snapshot(worker.account).due_at == due_at(worker.account, date(2026, 11, 22))
    assert worker.world.calls() == []


def test_back_fills_wait_for_other_jobs_and_leave_a_place_free(make_worker):
    worker = make_worker()
    for number in range(9):
        worker.store.jobs.put(BACKFILL_OF, str(number), due_at=number)

    claimed = [job.kind for job in worker.runner.claim("worker", 4)]

    assert claimed == [SNAPSHOT_OF, BACKFILL_OF, BACKFILL_OF]
    assert [job.kind for job in worker.runner.claim("worker", 1)] == []


def test_a_snapshot_that_is_killed_goes_on_where_it_was(make_worker, monkeypatch):
    worker = make_worker(BACKFILL_DAYS="14")
    worker.run()
    worker.world.calls()

    def killed(*_):
        raise SystemExit

    worker.services.snapshots.backfill(worker.account, limit=5)
    monkeypatch.setattr(worker.store.history, "keep", killed)
    with pytest.raises(SystemExit):
        worker.services.snapshots.backfill(worker.account, limit=5)
    worker.world.restart()
    worker.take_over()
    worker.run_until(worker.world.clock.now() + timedelta(seconds=60))

    calls = worker.world.calls()
    assert len(calls) == len(set(calls)) == 20
    worker.assert_true(date(2026, 11, 7), date(2026, 11, 20), final_until=LAST_FINAL)


def test_an_account_that_is_removed_and_one_without_a_snapshot(make_worker):
    worker = make_worker(BACKFILL_DAYS="0")
    for kind in (SNAPSHOT_OF, BACKFILL_OF):
        worker.store.jobs.put(kind, "17841499999999999", due_at=worker.world.clock.timestamp())
    worker.run()
    assert worker.store.jobs.keys(BACKFILL_OF) == set()
    assert worker.store.jobs.keys(SNAPSHOT_OF) == {worker.account}


def test_snapshots_are_spread_over_the_hour_after_midnight():
    day = date(2026, 11, 21)

    moments = {
        due_at(str(17841400000000000 + number), day) - utc("2026-11-21T08:00").timestamp() for number in range(999)
    }

    assert min(moments) >= 120
    assert max(moments) < 3600
    assert len(moments) > 800


def test_when_a_snapshot_is_due_the_same_day_is_settled_all_year_also_around_a_clock_change():
    year = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]

    settled = {day - last_settled_day(due_at("17841400000000001", day)) for day in year}

    assert settled == {timedelta(days=4)}


class Killed(BaseException):
    """The end of a process, which nothing catches."""


def test_killed_at_any_moment_it_loses_nothing_and_repeats_only_what_was_under_way(make_worker, monkeypatch):
    worker = make_worker(BACKFILL_DAYS="10")
    world, account = worker.world, worker.account
    answered, failed = [], 0
    for moment in (1, 2, 4, 5, None):
        services = world.services
        statements = 0

        def count(*_, moment=moment):
            nonlocal statements
            statements += "heartbeat" not in threading.current_thread().name
            if moment is not None and statements >= moment:  # No thread of a killed process writes any more.
                raise Killed

        for database in services.store.databases:
            monkeypatch.setattr(database, "write", counted(database.write, count))
        try:
            services.snapshots.take_snapshot(account)
            while services.snapshots.backfill(account).left:
                pass
        except Killed:
            failed += 1
        else:
            break
        finally:
            answered += world.calls()
            monkeypatch.undo()
        world.restart()
    worker.take_over()

    assert failed == 4
    assert len(insights(answered)) <= 7 * 5 + FIRST_CALLS + failed * 8
    worker.assert_true(date(2026, 11, 11), date(2026, 11, 20), final_until=LAST_FINAL)


def counted(write, count):
    def counting():
        count()
        return write()

    return counting
