"""Account insights: totals of a window, series of days, and audiences."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from simulator.graph.insight_query import InsightQuery, insight_query
from simulator.graph.metrics import DAYS_OF_PERIOD, METRICS, Metric
from simulator.graph.permissions import are_insights_empty
from simulator.graph.scope import Scope
from simulator.world.accounts import Account
from simulator.world.audience import FEWEST, demographics, engaged_people, is_online_known, online_followers
from simulator.world.day import Day
from simulator.world.days import DAY, day_of, days, days_starting_in, midnight, utc_text
from simulator.world.history import history_of, unique

# Without any bucket a breakdown has no results, or no list of results, or is not there at all: all three were seen.
WITHOUT_BREAKDOWN = ("views", "likes")
WITHOUT_RESULTS = ("profile_links_taps", "saves")

FOLLOW_TYPES_KEPT = timedelta(days=365)  # An Instagram login gets no reach by follow type for days before.

Buckets = Mapping[tuple[str, ...], int]


def insights_edge(account: Account, scope: Scope) -> dict[str, Any]:
    """Answer `GET /<IG_ID>/insights`; a metric that is not available is left out."""
    query = insight_query(scope)
    if are_insights_empty(scope):
        return {"data": []}
    answers = _Answers(account, scope, query)
    data = [answers.of(metric) for metric in query.metrics if metric.name not in scope.dropped_metrics]
    answer: dict[str, Any] = {"data": [entry for entry in data if entry]}
    if not all(metric.is_audience for metric in query.metrics):
        answer["paging"] = _paging(account, scope, query)
    return answer


class _Answers:
    def __init__(self, account: Account, scope: Scope, query: InsightQuery) -> None:
        self._account, self._scope, self._query = account, scope, query
        self._history = history_of(account)
        self._followers = self._history.followers(scope.now)

    def of(self, metric: Metric) -> dict[str, Any] | None:
        if metric.name not in METRICS or (metric.needs_followers and self._followers < FEWEST):
            return None
        if metric.is_audience:
            return self._entry(metric, self._audience(metric))
        if metric.name == "online_followers":
            return self._entry(metric, self._online())
        if self._query.is_total:
            return self._entry(metric, self._total(metric))
        return self._entry(metric, self._series(metric))

    def _entry(self, metric: Metric, content: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if content is None:
            return None
        return {
            "name": metric.name,
            "period": self._query.period,
            **({"values": content["values"]} if "values" in content else {}),
            "title": metric.title,
            "description": metric.description,
            **({"total_value": content["total_value"]} if "total_value" in content else {}),
            "id": f"{self._account.id}/insights/{metric.name}/{self._query.period}",
        }

    def _reported(self, metric: Metric, wanted: Iterable[date]) -> list[Day]:
        delay = metric.delay_hours if self._scope.switches["reporting_delay"] else -math.inf
        reported = (self._history.reported_day(day, self._scope.now, delay) for day in wanted)
        return [day for day in reported if day]

    def _total(self, metric: Metric) -> dict[str, Any] | None:
        reported = self._reported(metric, days_starting_in(self._query.since, self._query.until))
        if not reported:
            return None
        broken_down = self._broken_down(metric, reported) if self._query.breakdowns else {}
        return {"total_value": {**self._value(metric, reported), **broken_down}}

    def _value(self, metric: Metric, reported: Sequence[Day]) -> dict[str, int]:
        if metric.name != "follows_and_unfollows":
            return {"value": self._together(metric, [day.metrics[metric.name] for day in reported])}
        if self._query.breakdowns or self._scope.switches["follows_plain_value"] == "skeleton":
            return {}
        return {"value": sum(day.follows + day.unfollows for day in reported)}

    def _broken_down(self, metric: Metric, reported: Sequence[Day]) -> dict[str, Any]:
        buckets = {} if metric.name in self._account.kind.withheld_breakdowns else self._buckets(metric, reported)
        if not buckets and metric.name in WITHOUT_BREAKDOWN:
            return {}
        if not buckets and metric.name in WITHOUT_RESULTS:
            return {"breakdowns": [{"dimension_keys": list(self._query.breakdowns)}]}
        return {"breakdowns": [self._breakdown(buckets)]}

    def _buckets(self, metric: Metric, reported: Sequence[Day]) -> Buckets:
        kept = sorted(self._query.breakdowns, key=metric.breakdowns.index)  # the order of the truth
        places = [kept.index(name) for name in self._query.breakdowns]
        values: dict[tuple[str, ...], list[int]] = {}
        if self._scope.by_instagram and metric.name == "reach" and "follow_type" in kept:
            reported = [day for day in reported if day.date >= day_of(self._scope.now) - FOLLOW_TYPES_KEPT]
        for day in reported:
            for bucket, value in day.breakdowns.get(metric.name, {}).get(",".join(kept), {}).items():
                names = bucket.split(",")
                values.setdefault(tuple(names[place] for place in places), []).append(value)
        return {bucket: self._together(metric, all_days) for bucket, all_days in values.items()}

    def _breakdown(self, buckets: Buckets) -> dict[str, Any]:
        results = [{"dimension_values": list(bucket), "value": value} for bucket, value in buckets.items() if value]
        return {"dimension_keys": list(self._query.breakdowns), "results": results}

    def _together(self, metric: Metric, values: Sequence[int]) -> int:
        return unique(values, self._account.uniqueness) if metric.is_unique else sum(values)

    def _points(self) -> Iterator[tuple[date, int]]:
        """Walk over the days whose end_time lies in the range."""
        ends = self._scope.switches["end_time"] == "day_end"
        for day in days(day_of(self._query.since) - DAY, day_of(self._query.until)):
            end_time = midnight(day + DAY if ends else day)
            if self._query.since <= end_time <= self._query.until:
                yield day, end_time

    def _series(self, metric: Metric) -> dict[str, Any] | None:
        before = self._days_before()
        values = []
        for day, end_time in self._points():
            if self._reported(metric, [day]):
                reported = self._reported(metric, days(day - before, day))
                value = self._together(metric, [each.metrics[metric.name] for each in reported])
                values.append({"value": value, "end_time": utc_text(end_time)})
        return {"values": values} if values else None

    def _days_before(self) -> timedelta:
        """Return how many days before its own a point is about."""
        asked = {"since", "until"} & set(self._scope.request.query)
        if self._scope.by_instagram and self._query.period == "days_28" and not asked:
            return timedelta()  # Without a range such a login gets the last 24 hours instead.
        return timedelta(days=DAYS_OF_PERIOD[self._query.period] - 1)

    def _online(self) -> dict[str, Any] | None:
        values = [
            {"value": self._online_on(day), "end_time": utc_text(end_time)}
            for day, end_time in self._points()
            if midnight(day + DAY) <= self._scope.now
        ]
        return {"values": values} if values else None

    def _online_on(self, day: date) -> dict[str, int]:
        is_known = is_online_known(day, self._scope.now) or not self._scope.switches["reporting_delay"]
        return online_followers(self._account, day, self._followers) if is_known else {}

    def _audience(self, metric: Metric) -> dict[str, Any] | None:
        people = self._followers
        if metric.name == "engaged_audience_demographics":
            people = engaged_people(self._account, self._query.timeframe, self._scope.now)
        if people < FEWEST:
            return None
        buckets = demographics(self._account, metric.name, people, self._query.breakdowns)
        breakdown = self._breakdown(buckets)
        if self._scope.switches["demographics_keys"] == "timeframe_first":
            breakdown["dimension_keys"].insert(0, "timeframe")
            for result in breakdown["results"]:
                result["dimension_values"].insert(0, self._query.timeframe.upper())
        return {"total_value": {"breakdowns": [breakdown]}}


def _paging(account: Account, scope: Scope, query: InsightQuery) -> dict[str, str]:
    width = query.until - query.since
    before = {"since": query.since - 1 - width, "until": query.since - 1}
    after = {"since": query.until + 1, "until": query.until + 1 + width}
    return {
        name: scope.address(f"/{account.id}/insights", {**scope.request.query, **window})
        for name, window in (("previous", before), ("next", after))
    }
