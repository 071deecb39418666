"""Media insights: the numbers of one post, reel or story, in the shapes of the user's guide."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import VIEWS_FROM_IMPRESSIONS, Answer, Freshness, Origin, Table, Warning_
from services.cache.cache import Cache
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import our_time
from services.media.catalogue import FAMILIES, MEDIA_METRICS, RECOMMENDED, MediaMetric
from services.media.errors import no_such_media
from services.media.owners import MediaOwners
from services.media.reader import MediaReader
from services.media.request import recommended_metrics, resolve_media_metric
from services.media.shown_metrics import COLUMNS, MediaInsight, ShownMetric, ShownMetrics
from services.rendering.prepared_parts import PreparedList
from services.store.media import MediaRow


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


class _ShownMedia(NamedTuple):
    """What one reply shows of a media."""

    account: Account
    media: MediaRow
    metrics: Sequence[ShownMetric]
    freshness: Freshness
    warnings: Sequence[Warning_]


class MediaInsightsService:
    """The numbers of single media."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        reader: MediaReader,
        owners: MediaOwners,
        cache: Cache,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._owners = owners
        self._shown = ShownMetrics(cache)
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
        shown = self._read(selected, media, metrics or recommended_metrics(media.product_type), warnings)
        body = {
            "success": True,
            "media_id": media_id,
            "media_type": media.product_type or media_type,
            "insights": PreparedList([metric.insight for metric in shown.metrics]),
            "timestamp": our_time(shown.freshness.fetched_at),
        }
        return self._answer(shown, body)

    def by_breakdown(self, media_id: str, metric: str, *, account: str | None = None, refresh: bool = False) -> Answer:
        """Return one metric of a media with its breakdown."""
        request_context.accept_only_new(refresh=refresh)
        selected = self.account_of(media_id, account)
        shown = self._read(selected, self._reader.media(selected, media_id), [metric], [])
        insight: MediaInsight = json.loads(shown.metrics[0].insight.text)
        total = insight.get("total_value")
        body = {"success": True, "data": insight, "breakdown": total["breakdowns"] if total is not None else []}
        return self._answer(shown, body)

    def recommended(self, media_type: str) -> Mapping[str, object]:
        """Return the metrics that are recommended for a type of media; no provider is called."""
        metrics = [_described(MEDIA_METRICS[name]) for name in RECOMMENDED[media_type]]
        return {"success": True, "media_type": media_type, "metrics": metrics}

    def account_of(self, media_id: str, account: str | None = None) -> Account:
        """Return the named account; else the one that the media belongs to, as far as that is known."""
        if account is not None:
            return self._accounts.find(account)
        owner = self._owners.owner(media_id)
        if owner is None and request_context.caller().accounts is not None:
            raise no_such_media()  # Before a call: the token may show media of accounts that the caller may not see.
        return self._accounts.owner_of(owner)

    def _read(
        self, account: Account, media: MediaRow, metrics: Sequence[str], warnings: Sequence[Warning_]
    ) -> _ShownMedia:
        now = self._clock.now()
        known = self._shown.begin(account.id)
        if not request_context.not_before():
            shown = self._shown.known(known, media, metrics, now=now.timestamp())
            if shown is not None:
                return _ShownMedia(account, media, shown, _freshness_of(shown, now), warnings)
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
        shown = self._shown.add(known, media, values, insights)
        return _ShownMedia(account, media, shown, freshness, [*warnings, *ended])

    def _answer(self, shown: _ShownMedia, body: Mapping[str, object]) -> Answer:
        account = shown.account
        return Answer(
            body=body,
            account=account.id,
            origin=self._origin,
            freshness=shown.freshness,
            meta={
                "account": account.id,
                "username": self._accounts.username(account),
                "api_version": self._origin.api_version,
            },
            unavailable=[metric.unavailable for metric in shown.metrics if metric.unavailable is not None],
            substitutions=[metric.substitution for metric in shown.metrics if metric.substitution is not None],
            warnings=shown.warnings,
            table=Table(COLUMNS, (metric.lines for metric in shown.metrics)),
        )


def _freshness_of(metrics: Sequence[ShownMetric], now: datetime) -> Freshness:
    """Return how fresh metrics are that were shown before; what is refused counts only where there is nothing else."""
    entries = [entry for metric in metrics for entry in metric.entries]
    return Freshness.of(entries or [entry for metric in metrics for entry in metric.refusals], now=now)


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
