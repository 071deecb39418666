"""The history of an account over 150 days at speed: kills, throttles, outages and both clock changes.

The gateway runs in this process on a clock that moves from one due job to the next, and the simulator's clock with it.
A kill ends the work before one of its writes, and a new gateway goes on. In the end every final value has to be true,
no settled day may be missing, and an ordinary day may not cost more than 12 calls. Demographics and followers online,
which are read once a week, are counted apart, and so are the hourly looks for posts and stories of a week after that.
"""

from __future__ import annotations

import random
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from benchmarks.inside import SteppedClock, application, wait_until_quiet
from benchmarks.load import MisleadingError
from benchmarks.stage import Options, Row, Simulator, Stage
from services.background.job_handlers import handlers
from services.background.job_runner import Runner
from services.background.job_schedule import BACKFILL_OF, POSTS_OF, SNAPSHOT_OF, STORIES_OF
from services.days import pacific_day, utc
from services.history.snapshot_plan import kinds, last_settled_day
from services.insights.audience import AUDIENCE_METRICS
from services.store.history import HistoryValue
from services.wiring.container import Services

START = datetime(2026, 10, 20, 18, 0, tzinfo=UTC).timestamp()
DAY, HOUR = 86_400.0, 3600.0  # seconds
ACCOUNT = "17841400000000000"
KINDS = [SNAPSHOT_OF, BACKFILL_OF]
LOOKS = [POSTS_OF, STORIES_OF]
BACKFILL_DAYS = 30
MOST_CALLS = 12  # on an ordinary day
THROTTLES, OUTAGE, NIGHT = (10, 50, 90), 30, 70  # days of the run on which they begin
OUTAGE_DAYS, NIGHT_HOURS, THROTTLE_MINUTES = 4, 14, 300


class Killed(BaseException):
    """The end of a process, which nothing catches."""


def measure(options: Options) -> list[Row]:
    """Run the days, and compare the history with the truth."""
    days, kills = options.pick(150, 14), options.pick(100, 5)
    with Stage() as stage:
        simulator = stage.simulator()
        settings = stage.settings(simulator, BACKFILL_DAYS=str(BACKFILL_DAYS), RETRY_BUDGET="0")
        run = _Run(stage, simulator, settings, days=days, kills=kills)
        run.to_the_end()
        clock = SteppedClock(run.clock.timestamp())
        with application(settings, stage.path("end.log"), clock) as app:
            services = app.extensions["services"]
            return [run.result(services) | _looks(services, simulator, clock, days=options.pick(7, 1))]


class _Run:
    """The clock, the simulator in step with it, and what each day has cost."""

    def __init__(
        self, stage: Stage, simulator: Simulator, settings: Mapping[str, str], *, days: int, kills: int
    ) -> None:
        self.clock = SteppedClock(START)
        self._stage = stage
        self._simulator = simulator
        self._settings = settings
        self._end = START + days * DAY
        self._random = random.Random(7)  # noqa: S311  # Not for a secret.
        moments = sorted(self._random.uniform(START, self._end) for _ in range(kills))
        self._kills = moments
        self._events = sorted(self._faults(), key=lambda event: event[0])
        self._calls: Counter[date] = Counter()
        self._weekly_calls = 0  # for demographics and followers online
        self._eventful: set[date] = set()
        self.killed = 0

    def to_the_end(self) -> None:
        """Work as one gateway after another until the last day."""
        self._move(START)
        while self.clock.timestamp() < self._end:
            with application(self._settings, self._stage.path("gateway.log"), self.clock) as app:
                services = app.extensions["services"]
                with suppress(Killed):
                    self._work(services)
                wait_until_quiet(app)

    def result(self, services: Services) -> Row:
        """Compare what is kept with the truth; raise `MisleadingError` where it is not true or not complete."""
        now = self.clock.timestamp()
        first, last = pacific_day(utc(START)) - timedelta(days=BACKFILL_DAYS), last_settled_day(now)
        truth = self._simulator.get(f"/_simulator/truth/{ACCOUNT}?since={first}&until={last}").json()
        true_days = {day["date"]: day for day in truth["days"]}
        metrics = {metric for metric, _ in kinds("facebook")}
        kept = services.store.history.days(ACCOUNT, since=str(first), until=str(last), metrics=metrics)
        final = {(key.metric, key.breakdown, key.first_day): value for key, value in kept if value.final}
        expected = {(*kind, day) for kind in kinds("facebook") for day in true_days}
        wrong = [key for key, value in final.items() if not _is_true(true_days[key[2]], key, value)]
        if wrong or expected != final.keys():
            lost = sorted(expected - final.keys())
            raise MisleadingError(f"{len(wrong)} values are wrong {wrong[:3]}, {len(lost)} are missing {lost[:3]}.")
        first_days = {pacific_day(utc(START)) + timedelta(days=each) for each in range(3)}
        ordinary = [calls for day, calls in self._calls.items() if day not in self._eventful | first_days]
        if max(ordinary, default=0) > MOST_CALLS:
            raise MisleadingError(f"An ordinary day costs {max(ordinary)} calls, more than {MOST_CALLS}.")
        counts = services.store.follower_counts.days(ACCOUNT, since=str(pacific_day(utc(START))), until=str(last))
        return {
            "days": len(true_days),
            "kills": self.killed,
            "final_values": len(final),
            "wrong": 0,
            "missing": 0,
            "follower_counts": len(counts),
            "calls": self._calls.total(),
            "calls_of_a_day": statistics.median(ordinary),
            "most_calls_of_a_day": max(ordinary),
            "weekly_calls": round(self._weekly_calls * 7 / len(self._calls), 1),
        }

    def _work(self, services: Services) -> None:
        """Move to each due job in turn and run it; raise `Killed` where that is its time."""
        store, clock = services.store, services.store.clock
        runner = Runner(store, handlers(services, clock), clock)
        store.jobs.put(SNAPSHOT_OF, ACCOUNT, due_at=self.clock.timestamp())
        while (now := self.clock.timestamp()) < self._end:
            moments = [_next_due(services, KINDS, self._end), *(moment for moment, _ in self._events[:1]), self._end]
            self._move(max(now, min(moments)))
            while self._events and self._events[0][0] <= self.clock.timestamp():
                self._events.pop(0)[1]()
            if self._kills and self._kills[0] <= self.clock.timestamp():
                self._kills.pop(0)
                self.killed += 1
                self._eventful |= self._days_around()
                _kill_at(services, self._random.randint(1, 5))
            try:
                for job in store.jobs.claim("worker", 1, now=self.clock.timestamp(), kinds=KINDS):
                    runner.run(job)
            finally:
                self._count()
                _end_leases(services)

    def _faults(self) -> list[tuple[float, Callable[[], None]]]:
        def fault(kind: str, **options: object) -> Callable[[], None]:
            def begin() -> None:
                order = {"provider": "instagram", "kind": kind, **options}
                self._simulator.post("/_simulator/faults", order)
                self._eventful.update(pacific_day(utc(self.clock.timestamp() + each * DAY)) for each in range(9))

            return begin

        events = [(START + day * DAY, fault("throttled", minutes=THROTTLE_MINUTES, times=1)) for day in THROTTLES]
        events.append((START + OUTAGE * DAY, fault("server_error", seconds=OUTAGE_DAYS * DAY)))
        events.append((START + NIGHT * DAY, fault("html", seconds=NIGHT_HOURS * HOUR)))
        return events

    def _move(self, now: float) -> None:
        self.clock.move_to(now)
        self._simulator.post("/_simulator/clock", {"now": now})

    def _count(self) -> None:
        calls = self._simulator.calls()["instagram"]
        weekly = sum(any(name in call["path"] for name in AUDIENCE_METRICS) for call in calls["calls"])
        self._weekly_calls += weekly
        self._calls[pacific_day(utc(self.clock.timestamp()))] += int(calls["total"]) - weekly

    def _days_around(self) -> set[date]:
        today = pacific_day(utc(self.clock.timestamp()))
        return {today, today + timedelta(days=1)}


def _looks(services: Services, simulator: Simulator, clock: SteppedClock, *, days: int) -> dict[str, float]:
    """Look for posts and stories for some days; return the calls of a day for the looks and for the readings apart."""
    store = services.store
    runner = Runner(store, handlers(services, store.clock), clock)
    looks = readings = 0
    for kind in LOOKS:
        store.jobs.put(kind, ACCOUNT, due_at=clock.timestamp())
    begun = False  # The first looks read 90 days.
    end = clock.timestamp() + (days * DAY) + HOUR
    while (due := _next_due(services, LOOKS, end)) < end:
        clock.move_to(max(due, clock.timestamp()))
        simulator.post("/_simulator/clock", {"now": clock.timestamp()})
        for job in store.jobs.claim("worker", 2, now=clock.timestamp(), kinds=LOOKS):
            runner.run(job)
        paths = [call["path"] for call in simulator.calls()["instagram"]["calls"]]
        begun = begun or clock.timestamp() >= end - days * DAY
        if begun:
            lists = sum("media.limit(" in path or "/media?" in path for path in paths)
            looks, readings = looks + lists, readings + len(paths) - lists
    return {"looks_of_a_day": looks / days, "story_calls_of_a_day": readings / days}


def _next_due(services: Services, kinds: Collection[str], default: float) -> float:
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    with services.store.databases[1].read() as connection:
        due = connection.exec_driver_sql(f"SELECT min(due_at) FROM jobs WHERE kind IN ({listed})").scalar()  # noqa: S608
    return default if due is None else float(due)


def _kill_at(services: Services, number: int) -> None:
    """Have the process end before one of its next writes."""
    left = number

    def killing(write: Callable[[], Any]) -> Callable[[], Any]:
        def counting() -> Any:
            nonlocal left
            if "heartbeat" not in threading.current_thread().name:  # Of a killed process nothing would show its end.
                left -= 1
                if left == 0:
                    raise Killed
            return write()

        return counting

    for database in services.store.databases:
        database.write = killing(database.write)  # type: ignore[method-assign]


def _end_leases(services: Services) -> None:
    """Have what a killed process holds be free, as it is after ten seconds."""
    memory, gateway = services.store.databases
    with gateway.read() as connection:
        connection.exec_driver_sql("UPDATE jobs SET lease_until = 1 WHERE holder <> ''")
    with memory.read() as connection:
        connection.exec_driver_sql("UPDATE leases SET lease_until = 1")


def _is_true(day: Mapping[str, Any], key: tuple[str, tuple[str, ...], str], value: HistoryValue) -> bool:
    metric, breakdown, _ = key
    if metric == "follows_and_unfollows":
        if breakdown:
            return value.buckets == {("FOLLOWER",): day["follows"], ("NON_FOLLOWER",): day["unfollows"]}
        return bool(value.value == day["follows"] + day["unfollows"])
    true = day["breakdowns"].get(metric, {}).get(",".join(breakdown), {})
    listed = {names: count for names, count in (value.buckets or {}).items() if count}
    buckets = {tuple(name.split(",")): count for name, count in true.items() if count}
    return bool(value.value == day["metrics"][metric] and (not breakdown or listed == buckets))
