"""Audience: who the followers and the engaged accounts are, and when followers are online."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import NotRequired

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table, Warning_, unexpected_end_time
from services.clients.graph.models import Account, Number, as_count
from services.clock import Clock
from services.days import PACIFIC
from services.errors import InsightsError
from services.insights.audience import (
    DEMOGRAPHICS,
    MOST_RESULTS,
    ONLINE_FOLLOWERS,
    TIMEFRAME_DAYS,
    DemographicKey,
)
from services.insights.audience_reader import AudienceReader, AudienceReading
from services.insights.catalogue import METRICS, MIN_FOLLOWERS
from services.insights.values import MetricValue
from services.reasons import Unavailable, explain
from services.redaction import one_line
from services.windows import last_days

HOURS = tuple(str(hour) for hour in range(24))
COLUMNS = ("metric", "breakdown", "timeframe", "date", "key", "value", "reason")
LIMITED_BREAKDOWNS = ("city", "country")
NOTHING_CAME = {
    "follower_demographics": f"it needs {MIN_FOLLOWERS} followers",
    "engaged_audience_demographics": "it needs 100 engagements within the time frame",
    ONLINE_FOLLOWERS: "it is often missing for a day, for the last two days above all",
}


class AudienceResult(TypedDict):
    """The people of one age, gender, city or country; `value` is null where Instagram's number cannot be read."""

    key: str
    value: Number | None
    reason: NotRequired[str]


class Demographic(TypedDict):
    """One metric by one breakdown; `results` is null where nothing is known, and `reason` says why.

    `days` says what the time frame means: `this_week` the last 7 days, `this_month` the last 30.
    """

    metric: str
    breakdown: str
    timeframe: str
    days: int
    description: str
    results: list[AudienceResult] | None
    reason: NotRequired[str]


class OnlineFollowers(TypedDict):
    """The followers who were online in each of the 24 hours of a Pacific day; an hour that is not known is null."""

    date: str
    hours: list[Number | None]
    reason: NotRequired[str]


class Audience:
    """The audience of an account."""

    def __init__(self, *, accounts: AccountResolver, reader: AudienceReader, origin: Origin, clock: Clock) -> None:
        self._accounts = accounts
        self._reader = reader
        self._origin = origin
        self._clock = clock

    def of(
        self,
        metrics: Sequence[str],
        breakdowns: Sequence[str],
        *,
        timeframe: str,
        days: int,
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return each demographic metric by each breakdown, and the followers online on the last finished days."""
        request_context.accept_only_new(refresh=refresh)
        selected = self._accounts.find(account)
        tables = [
            DemographicKey(metric, breakdown, timeframe)
            for metric in metrics
            if metric in DEMOGRAPHICS
            for breakdown in breakdowns
        ]
        window = list(last_days(days, now=self._clock.now())) if ONLINE_FOLLOWERS in metrics else []
        audience = self._with_reasons(selected, self._reader.read(selected, tables, window))
        demographics = [_demographic(table, audience.values[table]) for table in tables]
        online = [_online(day, audience.values[day]) for day in window]
        return Answer(
            body={"demographics": demographics, "online_followers": online},
            account=selected.id,
            origin=self._origin,
            freshness=Freshness.of(audience.entries, now=self._clock.now(), gaps=bool(audience.failures)),
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "tz": PACIFIC.key,
                "minimum_followers": MIN_FOLLOWERS,
                "most_results": MOST_RESULTS,
            },
            unavailable=_unavailable(audience),
            warnings=list(_warnings(audience)),
            table=Table(COLUMNS, _rows(demographics, online)),
        )

    def _with_reasons(self, account: Account, audience: AudienceReading) -> AudienceReading:
        """Give the account's size as the reason where nothing of its followers came and it has too few of them.

        The number of followers is read for that only; where it cannot be, the reason stays open.
        """
        empty = [
            key
            for key, value in audience.values.items()
            if value.reason == "not_answered" and (isinstance(key, date) or key.metric == "follower_demographics")
        ]
        if not empty:
            return audience
        try:
            profile = self._accounts.profile(account)
        except InsightsError:
            return audience
        audience.entries.append(profile)
        followers = as_count(profile.value.get("followers_count"))
        if followers is not None and followers < MIN_FOLLOWERS:
            audience.values |= {key: replace(audience.values[key], reason="few_followers") for key in empty}
        return audience


def _demographic(table: DemographicKey, value: MetricValue) -> Demographic:
    days = TIMEFRAME_DAYS[table.timeframe]
    what = METRICS[table.metric].description
    found: Demographic = {
        "metric": table.metric,
        "breakdown": table.breakdown,
        "timeframe": table.timeframe,
        "days": days,
        "description": f"{what}, by {table.breakdown}; {table.timeframe} means the last {days} days",
        "results": None if value.buckets is None else _results(table.breakdown, value),
    }
    if value.buckets is None and value.reason is not None:
        found["reason"] = value.reason
    return found


def _results(breakdown: str, value: MetricValue) -> list[AudienceResult]:
    """Return ages in their order, anything else with the largest number first."""
    rows = [(name, count) for (name, *_), count in (value.buckets or {}).items()]
    rows.sort(key=lambda row: (0 if breakdown == "age" else -(row[1] or 0), row[0]))
    return [
        {"key": name, "value": count} if count is not None else {"key": name, "value": None, "reason": "unreadable"}
        for name, count in rows
    ]


def _online(day: date, value: MetricValue) -> OnlineFollowers:
    hours = [(value.buckets or {}).get((hour,)) for hour in HOURS]
    found: OnlineFollowers = {"date": day.isoformat(), "hours": hours}
    if value.buckets is None and value.reason is not None:
        found["reason"] = value.reason
    elif None in hours:
        found["reason"] = "not_answered"
    return found


def _unavailable(audience: AudienceReading) -> list[Unavailable]:
    """Explain each metric's reason once; the entry itself says which breakdown or day it is about."""
    unknown: dict[tuple[str, str], MetricValue] = {}
    for key, value in audience.values.items():
        if value.buckets is None and value.reason is not None:
            metric = ONLINE_FOLLOWERS if isinstance(key, date) else key.metric
            unknown.setdefault((metric, value.reason), value)
    return [
        explain(
            metric,
            reason,
            NOTHING_CAME[metric] if reason == "not_answered" else value.message,
            retry_after=value.retry_after,
        )
        for (metric, reason), value in unknown.items()
    ]


def _warnings(audience: AudienceReading) -> Iterator[Warning_]:
    tables = {key: value for key, value in audience.values.items() if isinstance(key, DemographicKey)}
    limited = {
        key.breakdown
        for key, value in tables.items()
        if key.breakdown in LIMITED_BREAKDOWNS and len(value.buckets or ()) >= MOST_RESULTS
    }
    if limited:
        message = (
            f"By {' and '.join(sorted(limited))} Instagram lists the {MOST_RESULTS} largest only; others are missing."
        )
        yield {"code": "top_45_only", "message": message}
    days = {key: value for key, value in audience.values.items() if isinstance(key, date)}
    others = sorted({name for value in days.values() for (name, *_) in value.buckets or {} if name not in HOURS})
    if others:
        message = f"Instagram names hours that no day has, and they are left out: {one_line(', '.join(others), 200)}."
        yield {"code": "hours_unknown", "message": message}
    if any(value.is_shifted for value in days.values()):
        yield unexpected_end_time(ONLINE_FOLLOWERS)


def _rows(demographics: Sequence[Demographic], online: Sequence[OnlineFollowers]) -> Iterator[Mapping[str, object]]:
    """Yield a row for each person count and each hour; an unknown table is one row with its reason."""
    for each in demographics:
        head = {"metric": each["metric"], "breakdown": each["breakdown"], "timeframe": each["timeframe"], "date": ""}
        for result in each["results"] or ():
            yield head | {"key": result["key"], "value": result["value"], "reason": result.get("reason", "")}
        if each["results"] is None:
            yield head | {"key": "", "value": None, "reason": each.get("reason", "")}
    for day in online:
        head = {"metric": ONLINE_FOLLOWERS, "breakdown": "hour", "timeframe": "", "date": day["date"]}
        for hour, value in zip(HOURS, day["hours"], strict=True):
            reason = day.get("reason", "") if value is None else ""
            yield head | {"key": hour, "value": value, "reason": reason}
