"""Capabilities: which metrics Instagram gives for an account and its media, and why not the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from typing_extensions import TypedDict

from services.accounts.resolver import AccountResolver
from services.answers import Answer, Freshness, Origin, Table
from services.cache.cache import Cache
from services.cache.policies import REFUSED_METRIC
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import our_time
from services.insights.audience import AUDIENCE_BREAKDOWNS, DEMOGRAPHICS, HOUR_OF_DAY, ONLINE_FOLLOWERS
from services.insights.caching import refusal_key
from services.insights.catalogue import METRICS, Metric
from services.insights.request import Breakdown
from services.media.catalogue import EVERY_TYPE, MEDIA_METRICS, UNDOCUMENTED_TYPES, MediaMetric
from services.media.known_refusals import AnsweredMetrics, MediaRefusal, MediaRefusals
from services.reasons import REASONS

OF_ACCOUNT = "account"


class Capability(TypedDict):
    """Whether a metric works: of the account, or of media of one type, as a total or by a breakdown.

    `since` says from when on it does not: the time of a refusal, or the day on which Meta removed the metric. A removed
    one works where its successor does, which `answered_by` names. Demographics come by a breakdown only: without one,
    they work as long as any breakdown does.
    What neither was refused nor is promised does not work as far as is known: it is asked for once when a caller wants
    it. Of a type of media for which Meta documents no metric (`AD`), `works` is null until Instagram has answered or
    refused the metric.
    """

    metric: str
    scope: str
    breakdown: str | None
    works: bool | None
    reason: str | None
    message: str | None
    since: str | None
    answered_by: str | None


COLUMNS = tuple(Capability.__annotations__)


class Capabilities:
    """What is known of the metrics of each account, from the catalogues and from remembered refusals."""

    def __init__(
        self,
        *,
        accounts: AccountResolver,
        cache: Cache,
        refusals: MediaRefusals,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._cache = cache
        self._refusals = refusals
        self._origin = origin
        self._clock = clock

    def of(self, account: str | None) -> Answer:
        """Return what works for an account; no provider is called for it."""
        selected = self._accounts.find(account)
        now = self._clock.now().timestamp()
        found = [*self._of_account(selected), *self._of_media(selected)]
        return Answer(
            body={"capabilities": found},
            account=selected.id,
            origin=self._origin,
            freshness=Freshness(now, now),
            meta={
                "account": selected.id,
                "username": self._accounts.username(selected),
                "api_version": self._origin.api_version,
                "login": selected.login,
            },
            table=Table(COLUMNS, found),
        )

    def _of_account(self, account: Account) -> Iterator[Capability]:
        asked = [
            (metric, breakdown) for metric in METRICS.values() for breakdown in ((), *_single(_breakdowns_of(metric)))
        ]
        keys = {refusal_key(*key) for metric, breakdown in asked for key in _requested_for(metric, breakdown)}
        noted = self._cache.peek(account.id, dict.fromkeys(keys, REFUSED_METRIC))
        for metric, breakdown in asked:
            source, successor = _source_of(metric), metric.successor
            refusals = [noted.get(refusal_key(*key)) for key in _requested_for(metric, breakdown)]
            refusal = None if None in refusals else max(filter(None, refusals), key=lambda each: each.fetched_at)
            by = breakdown[0] if breakdown else None
            removed_on = None if successor is None else successor.since
            answered_by = None if successor is None else successor.metric
            if account.login not in METRICS[source].logins:
                yield _capability(
                    metric.name,
                    OF_ACCOUNT,
                    by,
                    works=False,
                    reason="not_by_login",
                    since=removed_on,
                    answered_by=answered_by,
                )
            elif refusal is not None:
                yield _capability(
                    metric.name,
                    OF_ACCOUNT,
                    by,
                    works=False,
                    reason="refused",
                    since=our_time(refusal.fetched_at),
                    words=str(refusal.value["message"]),
                    answered_by=answered_by,
                )
            else:
                yield _capability(metric.name, OF_ACCOUNT, by, works=True, since=removed_on, answered_by=answered_by)

    def _of_media(self, account: Account) -> Iterator[Capability]:
        for product_type in (*EVERY_TYPE, *UNDOCUMENTED_TYPES):
            refused = self._refusals.of_metrics(account.id, product_type, tuple(MEDIA_METRICS))
            answered = self._refusals.answered(account.id, product_type)
            for metric in MEDIA_METRICS.values():
                yield _of_media_metric(metric, product_type, account.login, refused=refused, answered=answered)


def _of_media_metric(
    metric: MediaMetric,
    product_type: str,
    login: str,
    *,
    refused: Mapping[str, MediaRefusal],
    answered: AnsweredMetrics,
) -> Capability:
    """Decide on a metric of a type of media: what Instagram did counts for more than what the catalogue says."""
    successor = metric.successor
    if successor is not None and not successor.metrics:
        return _capability(metric.name, product_type, None, works=False, reason="no_successor", since=successor.since)
    sources = (metric.name,) if successor is None else successor.metrics
    refusal = next((refused[source] for source in sources if source in refused), None)
    breakdown = metric.breakdowns[0] if metric.breakdowns else None
    removed_on = None if successor is None else successor.since
    answered_by = None if successor is None else successor.name
    if refusal is not None:
        return _capability(
            metric.name,
            product_type,
            breakdown,
            works=False,
            reason=refusal.reason,
            since=our_time(refusal.since),
            words=refusal.message,
            answered_by=answered_by,
        )
    described = [MEDIA_METRICS[source] for source in sources]
    if all(each.name in answered.metrics or each.is_answered(product_type, login) for each in described):
        return _capability(metric.name, product_type, breakdown, works=True, since=removed_on, answered_by=answered_by)
    works: bool | None = False
    if not all(login in each.logins for each in described) and (
        product_type in UNDOCUMENTED_TYPES or all(product_type in each.product_types for each in described)
    ):
        reason = "not_by_login"
    elif product_type in UNDOCUMENTED_TYPES:
        works, reason = None, "not_documented"
    else:
        reason = "not_for_product_type"
    return _capability(
        metric.name, product_type, breakdown, works=works, reason=reason, since=removed_on, answered_by=answered_by
    )


def _single(breakdowns: Iterable[str]) -> list[tuple[str, ...]]:
    return [(breakdown,) for breakdown in breakdowns]


def _breakdowns_of(metric: Metric) -> tuple[str, ...]:
    return AUDIENCE_BREAKDOWNS if metric.name in DEMOGRAPHICS else metric.breakdowns


def _requested_for(metric: Metric, breakdown: Breakdown) -> list[tuple[str, Breakdown]]:
    """Return the metrics and breakdowns that Instagram is asked for; one that it answers is enough."""
    if metric.successor is not None and metric.successor.breakdown is not None:
        return [(metric.successor.metric, (metric.successor.breakdown,))]
    if metric.name == ONLINE_FOLLOWERS:
        return [(metric.name, HOUR_OF_DAY)]
    if metric.name in DEMOGRAPHICS and not breakdown:
        return [(metric.name, each) for each in _single(AUDIENCE_BREAKDOWNS)]
    return [(_source_of(metric), breakdown)]


def _source_of(metric: Metric) -> str:
    return metric.name if metric.successor is None else metric.successor.metric


def _capability(
    metric: str,
    scope: str,
    breakdown: str | None,
    *,
    works: bool | None,
    reason: str | None = None,
    since: str | None = None,
    words: str | None = None,
    answered_by: str | None = None,
) -> Capability:
    message = None if reason is None else REASONS.get(reason, "Instagram refuses this metric.")
    return {
        "metric": metric,
        "scope": scope,
        "breakdown": breakdown,
        "works": works,
        "reason": reason,
        "message": f"{message} ({words})" if words else message,
        "since": since,
        "answered_by": answered_by,
    }
