"""Media insights: the numbers of one post, reel or story, in the shapes of the user's guide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NotRequired

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import (
    VIEWS_FROM_IMPRESSIONS,
    Answer,
    Freshness,
    Origin,
    Substitution,
    Table,
    Unavailable,
    Warning_,
    explain,
)
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import our_time
from services.media.catalogue import FAMILIES, MEDIA_METRICS, RECOMMENDED, MediaMetric
from services.media.errors import no_such_media
from services.media.reader import MediaInsights, MediaReader
from services.media.request import ResolvedMediaMetric, recommended_metrics, resolve_media_metric
from services.media.values import MediaValue
from services.store.media import MediaRow

PERIOD = "lifetime"
COLUMNS = ("media_id", "name", "breakdown", "bucket", "value", "unit", "reason")


class LifetimeValue(TypedDict):
    """The number of a media's whole life; null where it is unknown, and `reason` says why."""

    value: float | None
    reason: NotRequired[str]


class MediaBucket(TypedDict):
    """One bucket of a breakdown, named as Instagram's answers name it."""

    dimension_values: list[str]
    value: float | None


class MediaBreakdown(TypedDict):
    """A number by the buckets of one breakdown."""

    dimension_keys: list[str]
    results: list[MediaBucket]


class MediaTotal(TypedDict):
    """A number with its breakdowns."""

    value: float | None
    breakdowns: list[MediaBreakdown]


class MediaInsight(TypedDict):
    """One metric, under the requested name.

    `unit` says what is counted; `milliseconds` and `percent` are no counts. `family` says which interactions are in it,
    and `estimated` that Meta calls its numbers estimates.
    """

    name: str
    period: str
    values: list[LifetimeValue]
    title: str
    description: str
    id: str
    unit: str
    family: str
    estimated: NotRequired[bool]
    answered_by: NotRequired[str]
    total_value: NotRequired[MediaTotal]


class RecommendedMetric(TypedDict):
    """One metric of the catalogue; `successor` is what answers a removed one."""

    name: str
    title: str
    description: str
    unit: str
    family: str
    family_description: str
    estimated: bool
    breakdowns: list[str]
    successor: str | None


@dataclass(frozen=True)
class _MediaReading:
    """What one request has read of a media, and the parts that every reply has."""

    account: Account
    media: MediaRow
    insights: MediaInsights
    freshness: Freshness
    values: Mapping[ResolvedMediaMetric, MediaValue]
    warnings: Sequence[Warning_]

    def answered_by(self, resolved: ResolvedMediaMetric) -> str | None:
        """Return the metrics whose numbers answer, if they are others than the requested one."""
        answering = [self.insights.answered_by(source) or source for source in resolved.sources]
        return "+".join(answering) if answering and answering != [resolved.metric.name] else None


class MediaInsightsService:
    """The numbers of single media."""

    def __init__(self, *, accounts: AccountResolver, reader: MediaReader, origin: Origin, clock: Clock) -> None:
        self._accounts = accounts
        self._reader = reader
        self._origin = origin
        self._clock = clock

    def of_media(
        self,
        media_id: str,
        metrics: Sequence[str] = (),
        *,
        media_type: str | None = None,
        account: str | None = None,
        refresh: bool = False,
    ) -> Answer:
        """Return metrics of a media; without any, those that are recommended for its type.

        `media_type` stands in only for a type that cannot be read. `refresh` reads everything again that can change.
        """
        request_context.accept_only_new(refresh=refresh)
        selected = self.account_of(media_id, account)
        media, warnings = _typed(self._reader.media(selected, media_id), media_type)
        reading = self._read(selected, media, metrics or recommended_metrics(media.product_type), warnings)
        insights = _insights(reading)
        body = {
            "success": True,
            "media_id": media_id,
            "media_type": media.product_type or media_type,
            "insights": insights,
            "timestamp": our_time(reading.freshness.fetched_at),
        }
        return self._answer(reading, body, insights)

    def by_breakdown(self, media_id: str, metric: str, *, account: str | None = None, refresh: bool = False) -> Answer:
        """Return one metric of a media with its breakdown."""
        request_context.accept_only_new(refresh=refresh)
        selected = self.account_of(media_id, account)
        reading = self._read(selected, self._reader.media(selected, media_id), [metric], [])
        (insight,) = _insights(reading)
        total = insight.get("total_value")
        body = {"success": True, "data": insight, "breakdown": total["breakdowns"] if total is not None else []}
        return self._answer(reading, body, [insight])

    def recommended(self, media_type: str) -> Mapping[str, object]:
        """Return the metrics that are recommended for a type of media; no provider is called."""
        metrics = [_described(MEDIA_METRICS[name]) for name in RECOMMENDED[media_type]]
        return {"success": True, "media_type": media_type, "metrics": metrics}

    def account_of(self, media_id: str, account: str | None = None) -> Account:
        """Return the named account; else the one that the media belongs to, as far as that is known."""
        if account is not None:
            return self._accounts.find(account)
        owner = self._reader.owner(media_id)
        if owner is None and request_context.caller().accounts is not None:
            raise no_such_media()  # Before a call: the token may show media of accounts that the caller may not see.
        return self._accounts.owner_of(owner)

    def _read(
        self, account: Account, media: MediaRow, metrics: Sequence[str], warnings: Sequence[Warning_]
    ) -> _MediaReading:
        resolved = [resolve_media_metric(MEDIA_METRICS[name], media) for name in metrics]
        sources = dict.fromkeys(source for each in resolved for source in each.sources)
        insights = self._reader.read(account, media, list(sources))
        freshness = Freshness.of(insights.entries, now=self._clock.now(), gaps=bool(insights.failures))
        own = {name: each.value for name, each in insights.kept.items()}
        resolved = [each.kept_under_its_name() if each.metric.name in own else each for each in resolved]
        values = {each: each.value({**own, **insights.values}) for each in resolved}
        ended: list[Warning_] = []
        if insights.has_ended:
            message = "The story is over; these are the last values that were read of it."
            ended.append({"code": "story_expired", "message": message})
        if any(insights.answered_by(source) == "impressions" for each in resolved for source in each.sources):
            ended.append(VIEWS_FROM_IMPRESSIONS)
        return _MediaReading(account, media, insights, freshness, values, [*warnings, *ended])

    def _answer(self, reading: _MediaReading, body: Mapping[str, object], insights: Sequence[MediaInsight]) -> Answer:
        account = reading.account
        return Answer(
            body=body,
            account=account.id,
            origin=self._origin,
            freshness=reading.freshness,
            meta={
                "account": account.id,
                "username": self._accounts.username(account),
                "api_version": self._origin.api_version,
            },
            unavailable=list(_unavailable(reading)),
            substitutions=list(_substitutions(reading)),
            warnings=reading.warnings,
            table=Table(COLUMNS, _rows(reading.media.id, insights)),
        )


def _typed(media: MediaRow, media_type: str | None) -> tuple[MediaRow, list[Warning_]]:
    """Return a media with its type, and what there is to say of the type that a caller gave."""
    given, read = media_type, media.product_type
    if read is None and given is None:
        message = "Instagram does not say what type of media this is; only metrics of every type are recommended."
        return media, [{"code": "media_type_unknown", "message": message}]
    if read is None:
        return replace(media, product_type=given), []
    if given is not None and given != read:
        message = f"Instagram says that the media is of the type {read}, not {given}; {read} is used."
        return media, [{"code": "media_type_mismatch", "message": message}]
    return media, []


def _insights(reading: _MediaReading) -> list[MediaInsight]:
    return [
        _insight(resolved, value, reading.media.id, reading.answered_by(resolved))
        for resolved, value in reading.values.items()
    ]


def _insight(resolved: ResolvedMediaMetric, value: MediaValue, media_id: str, answered_by: str | None) -> MediaInsight:
    metric, source = resolved.metric, resolved.described_by
    number: LifetimeValue = {"value": value.value}
    if value.reason is not None:
        number["reason"] = value.reason
    insight: MediaInsight = {
        "name": metric.name,
        "period": PERIOD,
        "values": [number],
        "title": metric.title,
        "description": metric.description,
        "id": f"{media_id}/insights/{metric.name}/{PERIOD}",
        "unit": metric.unit,
        "family": source.family,
    }
    if source.estimated:
        insight["estimated"] = True
    if answered_by is not None:
        insight["answered_by"] = answered_by
    if value.buckets is not None:
        results: list[MediaBucket] = [
            {"dimension_values": [name], "value": count} for name, count in sorted(value.buckets.items())
        ]
        breakdowns: list[MediaBreakdown] = [{"dimension_keys": list(metric.breakdowns), "results": results}]
        insight["total_value"] = {"value": value.value, "breakdowns": breakdowns}
    return insight


def _described(metric: MediaMetric) -> RecommendedMetric:
    return {
        "name": metric.name,
        "title": metric.title,
        "description": metric.description,
        "unit": metric.unit,
        "family": metric.family,
        "family_description": FAMILIES[metric.family],
        "estimated": metric.estimated,
        "breakdowns": list(metric.breakdowns),
        "successor": metric.successor.name if metric.successor is not None else None,
    }


def _unavailable(reading: _MediaReading) -> Iterator[Unavailable]:
    for resolved, value in reading.values.items():
        name = resolved.metric.name
        failure = next(
            (reading.insights.failures[each] for each in resolved.sources if each in reading.insights.failures), None
        )
        if value.reason is not None:
            waits = [reading.insights.waits[each] for each in resolved.sources if each in reading.insights.waits]
            wait = failure.retry_after if failure is not None else max(waits, default=None)
            yield explain(name, value.reason, value.message, retry_after=wait, of_media=True)
        elif value.buckets is not None and None in value.buckets.values():
            yield explain(name, "bucket_unknown")


def _substitutions(reading: _MediaReading) -> Iterator[Substitution]:
    for resolved in reading.values:
        successor, answered_by = resolved.metric.successor, reading.answered_by(resolved)
        if answered_by is not None and successor is not None:
            yield {"requested": resolved.metric.name, "answered_by": answered_by, "since": successor.since}


def _rows(media_id: str, insights: Iterable[MediaInsight]) -> Iterator[Mapping[str, object]]:
    """Yield one row for each metric and, below it, one for each of its buckets."""
    for insight in insights:
        (value,) = insight["values"]
        row = {"media_id": media_id, "name": insight["name"], "unit": insight["unit"]}
        yield row | {"breakdown": "", "bucket": "", "value": value["value"], "reason": value.get("reason", "")}
        for part in insight["total_value"]["breakdowns"] if "total_value" in insight else ():
            for result in part["results"]:
                yield row | {
                    "breakdown": ",".join(part["dimension_keys"]),
                    "bucket": ",".join(result["dimension_values"]),
                    "value": result["value"],
                    "reason": "" if result["value"] is not None else "bucket_unknown",
                }
