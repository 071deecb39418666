"""Asks Instagram for the numbers of one media: in as few calls as it allows, each refused metric apart.

What the catalogue promises for the type of media goes into one call. Everything else has a call of its own: a metric
with a breakdown, one that may be refused for reasons of this media, and one that the catalogue does not promise, which
Instagram may answer by now. So a refusal of any of them is about one metric, and costs one call.

Where the common call is refused, the words of the refusal name a suspect. They decide nothing, for they are localised
and cut: the suspect is to blame only if the others are answered without it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from services.cache.policies import FEW_VIEWERS
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account, Item
from services.errors import (
    TRANSIENT,
    InsufficientViewersError,
    PermissionDeniedError,
    ProviderError,
    RetryStrategy,
)
from services.executors import Executor
from services.media.catalogue import EVERY_TYPE, MEDIA_METRICS
from services.media.known_refusals import FEW, OF_WHOLE_MEDIA, AnsweredMetrics, MediaRefusals
from services.media.metric_names import NAMED_BY_PLACE
from services.media.too_few_viewers import ViewersCheck
from services.media.values import MediaValue, read_item

SPLIT_FOR = frozenset({RetryStrategy.SPLIT, RetryStrategy.SHRINK})
UNKNOWN_TYPE = "unknown"  # in the keys of refusals
VIEWERS = "reach"  # the number that says whether a story has enough viewers
CHECKS = ("reach", "views")  # metrics of every type: if both are refused, the media is at fault, not a metric
Viewers = Literal["unknown", "few", "enough"]


class Call(NamedTuple):
    """The metrics of one call."""

    metrics: tuple[str, ...]
    breakdown: str | None = None
    as_total: bool = False

    def only(self, metrics: Collection[str]) -> Call:
        """Return the same call for some of its metrics."""
        return self._replace(metrics=tuple(metric for metric in self.metrics if metric in metrics))


@dataclass
class MediaFetch:
    """What one round of calls has brought: a value or a failure for each metric, and what Instagram refused.

    `refused` has the reason and the words of each refused metric, `as_totals` those that were answered as totals only.
    `failure` is that of the media as a whole.
    """

    values: dict[str, MediaValue | ProviderError] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    as_totals: set[str] = field(default_factory=set)
    failure: ProviderError | None = None


class MediaFetcher:
    """The calls for one media."""

    def __init__(
        self,
        graph: GraphClient,
        executor: Executor,
        account: Account,
        media_id: str,
        *,
        product_type: str | None,
        known: AnsweredMetrics,
        viewers: ViewersCheck,
        apart: Collection[str] = (),
    ) -> None:
        """Build the calls for a media; metrics `apart` were refused for it before, so each is asked for alone."""
        self._graph = graph
        self._executor = executor
        self._account = account
        self._media_id = media_id
        self._product_type = product_type
        self._known = known
        self._viewers = viewers
        self._apart = apart
        self._has_viewers = False
        self.found = MediaFetch()

    def fetch(self, metrics: Sequence[str], *, viewers: Viewers = "unknown") -> MediaFetch:
        """Ask for metrics; each has a value or a failure afterwards, unless the media as a whole has failed.

        The first call goes out alone: most refusals are about the media, and the others would get the same one. Of a
        story that may have too few `viewers` it asks for their number only; where they are known to be enough, it is
        not asked for to find that out.
        """
        self._has_viewers = viewers == "enough"
        first, *others = self._calls(metrics)
        if viewers == "few" and VIEWERS in first.metrics[1:]:
            rest = first.only(set(first.metrics) - {VIEWERS})
            first, others = first.only({VIEWERS}), [rest, *others]
        for calls in ([first], others):
            for call, error in self._send(calls):
                if self.found.failure is None:
                    self._resolve(call, error)
            if self.found.failure is not None:
                break
        failure = self.found.failure
        is_refusal = failure is not None and failure.retry_strategy is RetryStrategy.SPLIT
        if failure is not None and is_refusal and self._product_type not in EVERY_TYPE:
            # Every metric is refused for a type that the catalogue does not know: it has no insights.
            refusal = ("not_for_product_type", failure.words or failure.message)
            self.found = MediaFetch(refused=dict.fromkeys(metrics, refusal))
            self.found.values |= dict.fromkeys(metrics, MediaValue(None, *refusal))
        return self.found

    def _calls(self, metrics: Sequence[str]) -> list[Call]:
        together = [metric for metric in metrics if self._shares_a_call(metric)]
        as_totals = [metric for metric in together if metric in self._known.as_totals]
        plain = [metric for metric in together if metric not in self._known.as_totals]
        calls = [Call(tuple(plain)), Call(tuple(as_totals), as_total=True)]
        calls += [Call((metric,), _breakdown_of(metric)) for metric in metrics if metric not in together]
        return [call for call in calls if call.metrics]

    def _shares_a_call(self, metric: str) -> bool:
        described = MEDIA_METRICS.get(metric)
        is_plain = described is not None and not described.breakdowns and not described.asked_alone
        return is_plain and metric not in self._apart and self._is_promised(metric)

    def _is_promised(self, metric: str) -> bool:
        """Return whether the catalogue promises a metric; for a type that it does not know it cannot tell."""
        described = MEDIA_METRICS.get(metric)
        if described is None or metric in self._known.metrics:
            return described is not None
        if self._product_type not in EVERY_TYPE:
            return self._account.login in described.logins
        return described.is_answered(self._product_type, self._account.login)

    def _send(self, calls: Sequence[Call]) -> list[tuple[Call, ProviderError]]:
        """Make calls side by side, note what was answered, and return those that failed with their failures."""
        requests = [
            partial(
                self._graph.media_insights,
                self._account,
                self._media_id,
                call.metrics,
                breakdown=call.breakdown,
                as_total=call.as_total,
            )
            for call in calls
        ]
        answers = self._executor.gather(requests, fatal=_concerns_all, on_result=lambda _index, _answer: None)
        failed = []
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, ProviderError):
                error = self._viewers.explained(self._account, answer)
                failed.append((call, error))
                if isinstance(error, OF_WHOLE_MEDIA) or (_concerns_all(error) and not self.found.answered):
                    self.found.failure = error
            else:
                self._read(call, answer)
        return failed

    def _read(self, call: Call, answer: Mapping[str, Item]) -> None:
        for metric in call.metrics:
            value = read_item(answer.get(metric), call.breakdown)
            self.found.values[metric] = value
            if value.is_known:
                self.found.answered.add(metric)
                if call.as_total:
                    self.found.as_totals.add(metric)

    def _resolve(self, call: Call, error: ProviderError) -> None:
        """Find out what a failed call says of its metrics."""
        if isinstance(error, InsufficientViewersError):
            self._without_few(call, error)
        elif isinstance(error, PermissionDeniedError) and len(call.metrics) == 1:
            self._refuse(call, error)
        elif error.retry_strategy not in SPLIT_FOR:
            self._fail(call, error)
        elif len(call.metrics) > 1:
            self._isolate(call, error)
        else:
            self._refuse(call, error)

    def _without_few(self, call: Call, error: InsufficientViewersError) -> None:
        """Tell a story that has too few viewers from one that has too little of some metrics.

        Meta's rule is about each value, so a call is refused although others of its metrics would be answered.
        """
        if VIEWERS not in self.found.answered and not self._has_viewers:
            failure = error if call.metrics == (VIEWERS,) else self._fetch(Call((VIEWERS,)))
            if failure is not None:
                self._fail(call, failure)
                self.found.failure = self.found.failure or failure
                return
        if len(call.metrics) == 1:
            self.found.refused[call.metrics[0]] = (FEW, error.words or error.message)
            self.found.values[call.metrics[0]] = MediaValue(None, FEW, error.message)
            return
        self._each_alone(call.only({metric for metric in call.metrics if metric != VIEWERS}))

    def _each_alone(self, call: Call) -> None:
        for each, failure in self._send([call.only({metric}) for metric in call.metrics]):
            self._resolve(each, failure)

    def _isolate(self, call: Call, error: ProviderError) -> None:
        """Ask without the metrics that a refusal names, until that is answered; else ask for each metric alone."""
        if error.retry_strategy is RetryStrategy.SHRINK:
            self._halve(call)
            return
        suspects: list[str] = []
        rest, refusal = call, error
        while True:
            named = _suspects(rest, refusal)
            rest = rest.only(set(rest.metrics) - set(named))
            if not named or not rest.metrics:
                self._each(call)
                return
            suspects += named
            failure = self._fetch(rest)
            if failure is None:
                break
            if failure.retry_strategy is not RetryStrategy.SPLIT:
                self._resolve(rest, failure)
                if isinstance(failure, InsufficientViewersError) and self.found.failure is None:
                    self._each_alone(call.only(suspects))  # It is about a metric of the rest.
                else:
                    self._fail(call.only(suspects), failure)
                return
            refusal = failure
        if len(suspects) == 1:
            self._refuse(call.only(suspects), refusal)
        else:
            self._each(call.only(suspects))  # Each of those that are named may be without blame.

    def _halve(self, call: Call) -> None:
        """Ask for less at once after code 1; what has the fault again is not followed any further."""
        middle = len(call.metrics) // 2
        for half in (call.only(call.metrics[:middle]), call.only(call.metrics[middle:])):
            failure = self._fetch(half)
            if failure is not None and failure.retry_strategy is RetryStrategy.SHRINK:
                self._fail(half, failure)
            elif failure is not None:
                self._resolve(half, failure)

    def _each(self, call: Call) -> None:
        """Ask for each metric alone, unless what every media has is refused as well: then the media is at fault."""
        refused: dict[str, ProviderError] = {}
        for check in CHECKS if not self.found.answered else ():
            failure = self._fetch(Call((check,)))
            if failure is None:
                break
            refused[check] = failure
        if len(refused) == len(CHECKS):
            self._fail(call, refused[CHECKS[0]])
            self.found.failure = self.found.failure or refused[CHECKS[0]]
            return
        self._each_alone(call.only(set(call.metrics) - {*refused, *self.found.answered}))
        for metric in refused.keys() & set(call.metrics):
            self._resolve(call.only({metric}), refused[metric])

    def _refuse(self, call: Call, error: ProviderError) -> None:
        """Note that a metric alone is refused."""
        (metric,) = call.metrics
        if error.retry_strategy is RetryStrategy.SHRINK:  # Code 1 for the smallest call is a fault, no refusal.
            self._fail(call, error)
            return
        # A metric of the list was seen to be refused by its place where the metric type was missing.
        may_be_total = self._is_promised(metric) and not call.as_total and not call.breakdown
        is_by_place = NAMED_BY_PLACE.search(error.words or "") is not None
        if is_by_place and may_be_total:
            total = call._replace(as_total=True)
            if (failure := self._fetch(total)) is not None:
                self._resolve(total, failure)
            return
        needs_check = self._is_promised(metric) or isinstance(error, PermissionDeniedError)
        if needs_check and not self.found.answered and error.reason is None:
            checks = [check for check in CHECKS if check != metric]
            if (failure := self._fetch(Call((checks[0],)))) is not None:
                self._fail(call, failure if isinstance(failure, OF_WHOLE_MEDIA) else error)
                self.found.failure = self.found.failure or failure
                return
        reason = error.reason or self._reason(metric, error)
        self.found.refused[metric] = (reason, error.words or error.message)
        self.found.values[metric] = MediaValue(None, reason, error.words or error.message)

    def _reason(self, metric: str, error: ProviderError) -> str:
        """Return why a metric is unknown that Instagram refuses: as the catalogue explains it, if it does."""
        if isinstance(error, PermissionDeniedError):
            return error.code
        described = MEDIA_METRICS.get(metric)
        if described is None or self._product_type is None:
            return "refused"
        return described.why_not(self._product_type, self._account.login) or "refused"

    def _fetch(self, call: Call) -> ProviderError | None:
        """Make one call; return its failure, or None if it was answered."""
        failed = self._send([call])
        return failed[0][1] if failed else None

    def _fail(self, call: Call, error: ProviderError) -> None:
        for metric in call.metrics:
            self.found.values.setdefault(metric, error)


def note_refusals(
    refusals: MediaRefusals, account: Account, media_id: str, product_type: str | None, found: MediaFetch
) -> None:
    """Remember what Instagram answers and refuses, for the type of media or for this one."""
    type_ = product_type or UNKNOWN_TYPE
    if isinstance(found.failure, InsufficientViewersError):
        found.failure.retry_after = int(FEW_VIEWERS.ttl)
    if found.failure is not None:
        refusals.note_media(account.id, media_id, found.failure)
    own = {name for name, (reason, _) in found.refused.items() if reason in {FEW, "not_shared_to_facebook"}}
    # Others of its type have these, or ought to: one odd media does not show that the type lacks them. A missing
    # permission is the account's.
    promised = {name for name, each in MEDIA_METRICS.items() if each.is_answered(product_type, account.login)}
    of_others = refusals.answered(account.id, type_).metrics | promised
    denied = {name for name, (reason, _) in found.refused.items() if reason == PermissionDeniedError.code}
    expected = (found.refused.keys() & of_others) - own - denied
    if expected:
        own |= expected - refusals.refused_by_others(account.id, type_, expected, media_id)
    of_media = {name: refusal for name, refusal in found.refused.items() if name in own}
    of_type = {name: refusal for name, refusal in found.refused.items() if name not in own}
    refusals.note_metrics(account.id, type_, of_media, media_id=media_id)
    refusals.note_metrics(account.id, type_, of_type)
    if found.answered:
        refusals.note_answered(account.id, type_, found.answered, as_totals=found.as_totals)


def _breakdown_of(metric: str) -> str | None:
    described = MEDIA_METRICS.get(metric)
    return described.breakdowns[0] if described is not None and described.breakdowns else None


def _suspects(call: Call, error: ProviderError) -> tuple[str, ...]:
    """Return the metrics of a call that its refusal names: by their place in the list, or by their names."""
    words = error.words or ""
    if (place := NAMED_BY_PLACE.search(words)) is not None:
        return call.metrics[int(place[1]) : int(place[1]) + 1]
    return tuple(metric for metric in call.metrics if re.search(rf"\b{re.escape(metric)}\b", words))


def _concerns_all(error: ProviderError) -> bool:
    """Return whether nothing else would be answered either."""
    if isinstance(error, PermissionDeniedError):
        return False  # One metric was seen to need more permissions than the others.
    is_about_metrics = error.retry_strategy in SPLIT_FOR or isinstance(error, InsufficientViewersError)
    return not is_about_metrics and not isinstance(error, TRANSIENT)
