"""The audience of an account: how answers about it are read, and how its numbers are cached and kept.

Demographics describe the present and have names that only Instagram knows (cities, countries), so a name is passed on
as it came. Followers online come by day and by hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from services.cache.policies import (
    DEMOGRAPHICS_SWR,
    DEMOGRAPHICS_TTL,
    REFUSED_VALUE_TTL,
    UNKNOWN_DEMOGRAPHICS_TTL,
    Json,
)
from services.clients.graph.models import Item, Number, as_number
from services.days import EndTime, parse_provider_time
from services.insights.caching import as_json, from_json, is_known
from services.insights.values import Bucket, MetricValue
from services.store.cache_entries import CacheKey
from services.windows import Window

DEMOGRAPHICS = ("follower_demographics", "engaged_audience_demographics")
ONLINE_FOLLOWERS = "online_followers"
AUDIENCE_METRICS = (*DEMOGRAPHICS, ONLINE_FOLLOWERS)
AUDIENCE_BREAKDOWNS = ("age", "gender", "city", "country")
# The names do not say what Meta counts: the last 7 and the last 30 days.
TIMEFRAME_DAYS: Mapping[str, int] = {"this_week": 7, "this_month": 30}
KEPT_TIMEFRAME = "this_month"  # that of the demographics in the history
MOST_RESULTS = 45  # of a breakdown; Meta lists the largest ones
MOST_DAYS_ONLINE = 30
HOUR_OF_DAY = ("hour",)  # the breakdown of followers online, under which the history keeps them


class DemographicKey(NamedTuple):
    """One table of people: a metric by one breakdown over one time frame."""

    metric: str
    breakdown: str
    timeframe: str

    def cache_key(self) -> CacheKey:
        """Return the key in the cache: the metrics of a breakdown are fetched in one single flight."""
        return CacheKey(f"audience/{self.breakdown}/{self.timeframe}", self.metric)


@dataclass(frozen=True)
class DemographicsPolicy:
    """How long demographics are fresh: an unknown table is asked for again sooner than a known one."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a table expires."""
        from_json(value)  # Raises for a damaged row, which must not serve as a value.
        if value.get("reason") == "refused":
            return fetched_at + REFUSED_VALUE_TTL
        return fetched_at + (DEMOGRAPHICS_TTL if is_known(value) else UNKNOWN_DEMOGRAPHICS_TTL)

    def stale_while_revalidate(self, value: Json) -> float:
        """Return for how long an expired table serves at once; an unknown one does not serve at all."""
        return DEMOGRAPHICS_SWR if is_known(value) else 0.0

    def merge(self, known: Json, new: Json) -> Json:
        """Return the new table, or the known one where the new one is unknown.

        A row that cannot be read keeps its known number. A row that is not listed any more has left the list.
        """
        old, table = from_json(known).buckets, from_json(new)
        if table.buckets is None:
            return new if old is None else known
        rows = {name: (old or {}).get(name) if count is None else count for name, count in table.buckets.items()}
        return as_json(replace(table, buckets=rows))


DEMOGRAPHICS_POLICY = DemographicsPolicy()


def read_demographics(item: Item | None, breakdown: str, timeframe: str) -> MetricValue:
    """Read one metric by one breakdown: the number of people by name, in `buckets`; no total is given.

    The dimension is found by its name: there may be others beside it, such as the time frame, in any order.
    """
    if item is None:
        return MetricValue(None, "not_answered")
    total = item.get("total_value")
    if total is not None and not isinstance(total, dict):
        return MetricValue(None, "unreadable")
    rows = list(_rows(total or {}, breakdown, timeframe))
    if not rows:
        return MetricValue(None, "not_answered")
    found: dict[Bucket, Number | None] = {}
    for name, count in rows:
        if name is not None:
            # A row that comes twice with two numbers says neither of them.
            found[name,] = count if (name,) not in found or found[name,] == count else None
    if not any(count is not None for count in found.values()):
        return MetricValue(None, "unreadable")
    return MetricValue(None, "no_total", found)


def _rows(total: Mapping[str, object], breakdown: str, timeframe: str) -> Iterator[tuple[str | None, Number | None]]:
    """Go through the listed rows of a breakdown; None is a name or a number that cannot be read."""
    parts = total.get("breakdowns")
    for part in parts if isinstance(parts, list) else ():
        keys = part.get("dimension_keys") if isinstance(part, dict) else None
        names = [str(key).lower() for key in keys] if isinstance(keys, list) else []
        if breakdown not in names:
            continue
        position = names.index(breakdown)
        results = part.get("results")
        for result in results if isinstance(results, list) else ():
            row = result if isinstance(result, dict) else {}
            values = row.get("dimension_values")
            if not isinstance(values, list) or len(values) != len(names):
                yield None, None
                continue
            if "timeframe" in names and _is_another(str(values[names.index("timeframe")]), timeframe):
                continue
            name = values[position]
            yield name if isinstance(name, str) and name else None, as_number(row.get("value"))


def _is_another(text: str, timeframe: str) -> bool:
    """Return whether a row is about another time frame than the requested one; an unknown name is taken as it."""
    return text.lower() != timeframe and text.lower() in TIMEFRAME_DAYS


def read_hours(item: Item | None, window: Window, end_time: EndTime) -> dict[date, MetricValue]:
    """Read the followers online for each day of a window; `buckets` has the hours by the names "0" to "23".

    An empty object is no number at all, and an hour that is missing is unknown.
    """
    values = None if item is None else item.get("values")
    points = values if isinstance(values, list) else []
    found: dict[date, MetricValue] = {}
    for point in points:
        given = point if isinstance(point, dict) else {}
        moment, hours = parse_provider_time(given.get("end_time")), _hours(given.get("value"))
        if moment is not None:
            seconds = int(moment.timestamp())
            day = end_time.day(seconds)
            value = replace(hours, is_shifted=end_time.of(day) != seconds)
        elif len(points) == len(window) == 1:
            day, value = window.first, hours
        else:
            continue
        if day in found and found[day].buckets != value.buckets:
            value = MetricValue(None, "unreadable", is_shifted=value.is_shifted)
        found[day] = value
    is_strange = values is not None and len(found) != len(points)
    missing = MetricValue(None, "unreadable" if is_strange else "not_answered")
    return {day: found.get(day, missing) for day in window}


def _hours(value: object) -> MetricValue:
    if not value:
        return MetricValue(None, "not_answered")
    if not isinstance(value, dict):
        return MetricValue(None, "unreadable")
    hours: dict[Bucket, Number | None] = {
        (_hour(name),): number for name, count in value.items() if (number := as_number(count)) is not None
    }
    return MetricValue(None, "no_total", hours) if hours else MetricValue(None, "unreadable")


def _hour(name: object) -> str:
    text = str(name)
    return str(int(text)) if text.isascii() and text.isdigit() and len(text) <= 2 else text  # noqa: PLR2004


def day_key(day: date) -> CacheKey:
    """Return the key of the followers online on a day: all days are fetched in one single flight."""
    return CacheKey("audience/online_followers", day.isoformat())


def spans(days: Sequence[date]) -> Window:
    """Return the window from the first to the last of some days."""
    return Window(min(days), max(days))
