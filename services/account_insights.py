"""Account insights: the metrics of an account by day, week or four weeks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NotRequired

from typing_extensions import TypedDict

from services.accounts import Accounts
from services.answers import Answer, Freshness, Substitution, Table, Unavailable, Warning_
from services.catalogue import METRICS, Successor
from services.clock import Clock
from services.days import Bound, EndTime, Window, between, is_after, midnight, pacific_day, provider_time
from services.errors import InvalidRequestError
from services.insights import InsightsReader
from services.readings import Reading
from services.reasons import explain
from services.wanted import Wanted, asks_of, reading_of, wanted_of

PERIOD_DAYS: Mapping[str, int] = {"day": 1, "week": 7, "days_28": 28}
COLUMNS = ("name", "period", "end_time", "breakdown", "bucket", "value", "reason")
MAX_DAYS = 93  # Day values cost one provider call each.


class BucketValue(TypedDict):
    """One bucket of a breakdown."""

    dimension_values: list[str]
    value: float | None


class BreakdownOfValue(TypedDict):
    """A value by the buckets of one breakdown, or of two together."""

    dimension_keys: list[str]
    results: list[BucketValue]


class InsightValue(TypedDict):
    """One day or window: `value` is null where it is unknown, and `reason` says why."""

    value: float | None
    end_time: str
    reason: NotRequired[str]
    breakdowns: NotRequired[list[BreakdownOfValue]]


class Insight(TypedDict):
    """One metric under the name it was asked for."""

    name: str
    period: str
    values: list[InsightValue]
    title: str
    description: str
    id: str
    unit: str
    answered_by: NotRequired[str]


class AccountInsights:
    """The account's metrics, in the shape the provider once had and the user's documents show."""

    def __init__(
        self, accounts: Accounts, reader: InsightsReader, *, end_time: EndTime, source: str, version: str, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._reader = reader
        self._end_time = end_time
        self._source = source
        self._version = version
        self._clock = clock

    def between(
        self,
        metrics: Sequence[str],
        period: str,
        *,
        since: Bound | None = None,
        until: Bound | None = None,
        breakdown: Sequence[str] = (),
        account: str | None = None,
    ) -> Answer:
        """Return the metrics for each day (`day`), 7 days (`week`) or 28 days (`days_28`) of a range.

        Raises `InvalidRequestError` where the range has more than 93 days, and the provider's failures.
        """
        now = self._clock.now()
        range_ = self._range(since, until, PERIOD_DAYS[period], now)
        found = self._accounts.find(account)
        windows, warnings = _windows(range_, period)
        wanted = [wanted_of(METRICS[name], tuple(breakdown), found.login) for name in metrics]
        insights = self._reader.read(found, asks_of(wanted, windows))
        readings = insights.readings
        freshness = Freshness.of(insights.memos, now=now, gaps=insights.gaps)
        values = {want: {window: reading_of(want, window, readings) for window in windows} for want in wanted}
        data = [
            _insight(want, period, [self._value(want, *each) for each in of_want.items()], found.id)
            for want, of_want in values.items()
        ]
        meta = {
            "account": found.id,
            "api_version": self._version,
            "provisional_from": _provisional_from(wanted, windows, int(freshness.fetched_at.timestamp())),
            "unavailable": _unavailable(values),
            "substitutions": [_substitution(want) for want in wanted if want.metric.successor],
            "warnings": warnings,
        }
        table = Table(COLUMNS, list(_rows(data)))
        return Answer({"data": data}, freshness, self._source, found.id, meta, table)

    def _range(self, since: Bound | None, until: Bound | None, length: int, now: datetime) -> Window | None:
        if since is not None and until is not None and is_after(since, until):
            raise InvalidRequestError(f"since ({since}) is after until ({until}).", hint="Exchange them.")
        if since is not None and is_after(since, pacific_day(now)):
            raise InvalidRequestError(f"since ({since}) is in the future.", hint="Accepted: today or earlier.")
        range_ = between(since, until, length=length, now=now, end_time=self._end_time)
        if range_ is not None and len(range_) > MAX_DAYS:
            raise InvalidRequestError(
                f"since and until span {len(range_)} days.", hint=f"Accepted: at most {MAX_DAYS} days in one request."
            )
        return range_

    def _value(self, want: Wanted, window: Window, reading: Reading) -> InsightValue:
        value: InsightValue = {
            "value": reading.value,
            "end_time": provider_time(self._end_time.of(window.last)),
        }
        if reading.reason is not None:
            value["reason"] = reading.reason
        if want.breakdown and want.bucket is None and reading.buckets is not None:
            results: list[BucketValue] = [
                {"dimension_values": list(bucket), "value": count} for bucket, count in sorted(reading.buckets.items())
            ]
            value["breakdowns"] = [{"dimension_keys": list(want.breakdown), "results": results}]
        return value


def _windows(range_: Window | None, period: str) -> tuple[list[Window], list[Warning_]]:
    if range_ is None:
        return [], [{"code": "empty_range", "message": "No day ends between since and until."}]
    windows, rest = range_.counted_back(PERIOD_DAYS[period])
    if rest is None:
        return windows, []
    message = f"{rest.first} to {rest.last} is shorter than the period and is not part of the answer."
    return windows, [{"code": "days_left_over", "message": message}]


def _unavailable(values: Mapping[Wanted, Mapping[Window, Reading]]) -> list[Unavailable]:
    """Name each metric once for each reason that any of its values is unknown for."""
    found: dict[tuple[str, str], Unavailable] = {}
    for want, of_want in values.items():
        for reading in of_want.values():
            for reason in _reasons(reading):
                name = want.metric.name
                found.setdefault((name, reason), explain(name, reason, reading.message))
    return list(found.values())


def _reasons(reading: Reading) -> Iterable[str]:
    if reading.reason is not None:
        yield reading.reason
    if reading.buckets is not None and None in reading.buckets.values():
        yield "bucket_unknown"


def _insight(want: Wanted, period: str, values: list[InsightValue], account_id: str) -> Insight:
    metric = want.metric
    insight: Insight = {
        "name": metric.name,
        "period": period,
        "values": values,
        "title": metric.title,
        "description": metric.description,
        "id": f"{account_id}_{metric.name}",
        "unit": metric.unit,
    }
    if metric.successor is not None:
        insight["answered_by"] = want.source.name
    return insight


def _substitution(want: Wanted) -> Substitution:
    successor = want.metric.successor
    assert isinstance(successor, Successor)  # noqa: S101  # The caller has just asked.
    return {"requested": want.metric.name, "answered_by": want.source.name, "since": successor.since}


def _provisional_from(wanted: Sequence[Wanted], windows: Sequence[Window], now: int) -> str | None:
    """Return the first day whose values may still change, or None where all are final."""
    hours = max((want.source.provisional_hours for want in wanted), default=0)
    for window in windows:
        for day in window:
            if midnight(day + timedelta(days=1)) > now - hours * 3600:
                return day.isoformat()
    return None


def _rows(data: Iterable[Insight]) -> Iterable[Mapping[str, object]]:
    """Give one row for each value and, below it, one for each of its buckets."""
    for insight in data:
        head = {"name": insight["name"], "period": insight["period"]}
        for value in insight["values"]:
            row = head | {"end_time": value["end_time"]}
            yield row | {"breakdown": "", "bucket": "", "value": value["value"], "reason": value.get("reason", "")}
            for part in value.get("breakdowns", ()):
                for result in part["results"]:
                    unknown = "" if result["value"] is not None else "bucket_unknown"
                    yield row | {
                        "breakdown": ",".join(part["dimension_keys"]),
                        "bucket": ",".join(result["dimension_values"]),
                        "value": result["value"],
                        "reason": unknown,
                    }
