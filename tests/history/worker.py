"""A worker for the history of a world's account, whose clocks it moves from one due job to the next."""

from __future__ import annotations

from datetime import date, timedelta

from services.background.job_schedule import BACKFILL_OF, SNAPSHOT_OF
from services.days import midnight, utc
from services.history.snapshot_plan import kinds
from tests.world import WorldWorker


class HistoryWorker(WorldWorker):
    """Runs snapshots and back-fills, by one gateway's services at a time."""

    def __init__(self, world):
        super().__init__(world, SNAPSHOT_OF, BACKFILL_OF)
        self.account = world.account["id"]

    @property
    def store(self):
        """The store of the present services."""
        return self.services.store

    def run_days(self, number, *, hour=18):
        """Run until an hour (UTC) of a later day."""
        day = self.world.clock.now().date() + timedelta(days=number)
        self.run_until(utc(midnight(day)).replace(hour=hour))

    def values(self, since, until):
        """Return what the history has of the days of a range, by metric, breakdown and day."""
        found = self.store.history.days(self.account, since=str(since), until=str(until))
        return {(key.metric, key.breakdown, key.first_day): value for key, value in found}

    def assert_true(self, since, until, *, final_until, missing=()):
        """Check each value of a range against the truth: all but some days are known, and final up to a day."""
        truth = self.world.truth(since=str(since), until=str(until))
        true_days = {day["date"]: day for day in truth["days"]}
        values, wrong = self.values(since, until), []
        for metric, breakdown in kinds("facebook"):
            for day in (str(since + timedelta(days=each)) for each in range((until - since).days + 1)):
                value = values.get((metric, breakdown, day))
                is_final = value is not None and value.final
                if is_final != (day <= str(final_until) and day not in missing):
                    wrong.append((metric, breakdown, day, value))
                elif value is not None and value.final and not _is_true(true_days[day], metric, breakdown, value):
                    wrong.append((metric, breakdown, day, value, true_days[day]["metrics"].get(metric)))
        assert wrong == []


def _is_true(day, metric, breakdown, value):
    if metric == "follows_and_unfollows":
        return value.value in (None, day["follows"] + day["unfollows"]) and (
            not breakdown or value.buckets == {("FOLLOWER",): day["follows"], ("NON_FOLLOWER",): day["unfollows"]}
        )
    if value.value != day["metrics"][metric]:
        return False
    true = day["breakdowns"].get(metric, {}).get(",".join(breakdown), {})
    listed = {names: count for names, count in (value.buckets or {}).items() if count}
    return not breakdown or listed == {tuple(name.split(",")): count for name, count in true.items() if count}


def day_of(text):
    return date.fromisoformat(text)
