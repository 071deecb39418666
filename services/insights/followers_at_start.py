"""How many followers an account had at the start of a window, worked out from what Instagram reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.days import our_time
from services.insights.catalogue import FOLLOWER_COUNT_DAYS, MIN_FOLLOWERS
from services.insights.final_days import PROVISIONAL_HOURS_OF_FOLLOWS
from services.insights.request import InsightsRequest, ValueKey
from services.insights.values import MetricValue, add_up
from services.windows import Window

FOLLOWS, BREAKDOWN = "follows_and_unfollows", ("follow_type",)
NEW_FOLLOWERS = "follower_count"


@dataclass(frozen=True)
class FollowersThen:
    """A number of followers at the start of a window, or None with the reason.

    It was counted (at `counted_at`, Unix seconds), or is worked back from now.
    """

    value: int | None
    reason: str | None
    basis: str | None
    covered_until: str | None
    counted_at: float | None = None


class FollowersAtStart:
    """Works back from the present number by the followers gained and lost since the window began."""

    def __init__(self, window: Window, fetched_at: datetime, today: date) -> None:
        # Followers are counted now, so those who came and went today count too.
        self._gains = Window(window.first, today)
        self._fetched_at = fetched_at

    def requests(self) -> list[InsightsRequest]:
        """Return the requests of the first method: follows and unfollows since the start."""
        return [InsightsRequest((FOLLOWS,), self._gains, BREAKDOWN)]

    def fallback_requests(
        self, current: int | None, metric_values: Mapping[ValueKey, MetricValue]
    ) -> list[InsightsRequest]:
        """Return the requests of the second method, where the first gave nothing: new followers by day."""
        if current is None or current < MIN_FOLLOWERS:
            return []
        finished = Window(self._gains.first, self._gains.last - timedelta(days=1))
        if self._net(metric_values) is not None or not 0 < len(finished) <= FOLLOWER_COUNT_DAYS:
            return []
        return [InsightsRequest((NEW_FOLLOWERS,), finished, series=True)]

    def value(self, current: int | None, metric_values: Mapping[ValueKey, MetricValue]) -> FollowersThen:
        """Return the number at the start; always approximate, for removed accounts are in no report."""
        covered_until = our_time(self._fetched_at - timedelta(hours=PROVISIONAL_HOURS_OF_FOLLOWS))
        if current is None:
            return FollowersThen(None, "current_unknown", None, None)
        net, basis = self._net(metric_values), FOLLOWS
        if net is None:
            gross = self._gross(metric_values)
            if gross.value is None:
                is_silent = gross.reason in {None, "not_answered"}
                reason = "few_followers" if is_silent and current < MIN_FOLLOWERS else gross.reason
                return FollowersThen(None, reason, None, None)
            net, basis = int(gross.value), NEW_FOLLOWERS
        if net > current:
            return FollowersThen(None, "inconsistent", basis, covered_until)
        return FollowersThen(current - net, None, basis, covered_until)

    def _net(self, metric_values: Mapping[ValueKey, MetricValue]) -> int | None:
        metric_value = metric_values.get((FOLLOWS, BREAKDOWN, self._gains))
        if metric_value is None:
            return None
        buckets = metric_value.buckets or {}
        if any(count != 0 for names, count in buckets.items() if names not in {("FOLLOWER",), ("NON_FOLLOWER",)}):
            return None  # Whether the accounts of an unknown bucket came or left is not known.
        gained, lost = metric_value.bucket("FOLLOWER").value, metric_value.bucket("NON_FOLLOWER").value
        return None if gained is None or lost is None else int(gained - lost)

    def _gross(self, metric_values: Mapping[ValueKey, MetricValue]) -> MetricValue:
        days = [day for day in self._gains if day != self._gains.last]
        found = [metric_values.get((NEW_FOLLOWERS, (), Window(day, day))) for day in days]
        known = [metric_value for metric_value in found if metric_value is not None]
        second = add_up(known) if len(known) == len(days) > 0 else None
        if second is not None and second.reason != "not_answered":
            return second
        # The second method was not used, or is silent too, so the reason is that of the first.
        first = metric_values.get((FOLLOWS, BREAKDOWN, self._gains))
        if first is not None and first.buckets is not None:
            return MetricValue(None, "bucket_unknown")
        return second or MetricValue(None, (first.reason if first else None) or "not_answered")
