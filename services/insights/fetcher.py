"""Requests account insights from Instagram: in as few calls as it allows, side by side, each refused metric apart.

Each answer is handed over as it comes. A failure that concerns the whole account (a throttle, a bad token) ends the
round: what has not begun is not sent, what is under way is awaited, and the failure is the result of what is left.

Many requests go out in two rounds: first a few, one of each form among them, which show what Instagram refuses or has
a fault with, then the others without that. A refusal is about a metric only if the same request without it was
answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account, Item
from services.days import EndTime
from services.errors import TRANSIENT, ProviderError, RetryStrategy
from services.executors import Executor
from services.insights.catalogue import METRICS, Shape
from services.insights.request import Breakdown, InsightsRequest, ValueKey
from services.insights.request_order import rounds
from services.insights.values import MetricValue, add_up, read_days, read_total
from services.windows import Window

# Code 1 (SHRINK) means a transient fault, and also a metric and a breakdown that do not go together.
SPLIT_FOR = frozenset({RetryStrategy.SPLIT, RetryStrategy.SHRINK})
CHECKS = 2  # other metrics that are asked for where a request was refused, the second if the first has a fault

Answered = Mapping[str, Item]
Values = Mapping[ValueKey, MetricValue]
RefusedRequest = tuple[InsightsRequest, ProviderError]
Kind = tuple[str, Breakdown, bool]  # a metric, its breakdown, and whether it was requested as a series


class RefusedMetric(NamedTuple):
    """A metric that Instagram refuses, while it answers others; `words` are Instagram's."""

    metric: str
    request: InsightsRequest
    words: str


class FaultyMetric(NamedTuple):
    """A metric that Instagram has a fault with (code 1): by a breakdown, in one window or, with None, in all."""

    metric: str
    breakdown: Breakdown
    window: Window | None
    failure: ProviderError


class BatchFetcher:
    """One round of requests, and what is known so far: a value or a failure for each key."""

    def __init__(
        self,
        graph: GraphClient,
        executor: Executor,
        account: Account,
        *,
        end_time: EndTime,
        keep: Callable[[Values], None],
        last_check: Callable[[], bool | None] = lambda: None,
        is_doubtful: bool = False,
    ) -> None:
        """Build a round.

        `keep` gets the values of each answer on the thread that received it. `last_check` returns whether Instagram
        answered the last call that checked a refusal of everything, or None if that is too long ago. If it
        `is_doubtful` that anything is answered, one metric is asked for before all others.
        """
        self._graph = graph
        self._executor = executor
        self._account = account
        self._end_time = end_time
        self._keep = keep
        self._last_check = last_check
        self._is_doubtful = is_doubtful
        self._answered: set[Kind] = set()
        self._gone: dict[Kind, ProviderError] = {}
        self._stopped_by: ProviderError | None = None
        self.values: dict[ValueKey, MetricValue | ProviderError] = {}
        self.refused_metrics: list[RefusedMetric] = []
        self.faulty_metrics: list[FaultyMetric] = []
        self.checked: bool | None = None  # whether Instagram answered the call that checked a refusal of everything
        self.is_all_refused: bool | None = None  # whether it refuses everything; None if that was no question

    def fetch(self, requests: Sequence[InsightsRequest]) -> Mapping[ValueKey, MetricValue | ProviderError]:
        """Send requests that fit Instagram's limits; return a value or a failure for each of their keys."""
        if self._is_doubtful:
            requests = self._fetch_one(requests)
        for round_ in rounds(requests):
            left = [rest for request in round_ if (rest := self._left_of(request)) is not None]
            refused = self._accept(
                left,
                self._executor.gather(self._calls(left), fatal=concerns_all, on_result=partial(self._record, left)),
            )
            while refused and self._stopped_by is None:
                refused = self._isolate(*refused)
            for request, error in refused:
                self._fail(request, self._stopped_by or error)
        return self.values

    def _fetch_one(self, requests: Sequence[InsightsRequest]) -> Sequence[InsightsRequest]:
        """Ask for one metric, and return what is left to ask for; all that is left fails if that one is refused."""
        newest = max(requests, key=lambda request: request.window.last)
        refused = self._send([newest.only(newest.metrics[0])])
        if any(error.retry_strategy is not RetryStrategy.SPLIT for _, error in refused):
            return requests  # Code 1 says nothing of a refusal.
        for request, error in refused:
            # Not noted again: it may be this metric that is refused. Soon all are asked for as usual.
            self._stopped_by = error.unsent(retry_after=None)
            self._fail(request, self._stopped_by)
        if self._answered:
            self.is_all_refused = False
        others = newest.metrics[1:]
        rest = [request for request in requests if request is not newest]
        return [newest.only(*others), *rest] if others else rest

    def _send(self, requests: Sequence[InsightsRequest]) -> list[RefusedRequest]:
        """Send requests side by side, note what came of them, and return those that were refused."""
        record = partial(self._record, requests)
        return self._accept(
            requests, self._executor.gather(self._calls(requests), fatal=concerns_all, on_result=record)
        )

    def _calls(self, requests: Sequence[InsightsRequest]) -> list[Callable[[], Answered]]:
        return [
            partial(
                self._graph.account_insights,
                self._account,
                request.metrics,
                since=request.window.since,
                until=self._end_time.of(request.window.last) if request.series else request.window.until,
                breakdown=request.breakdown,
                series=request.series,
                in_parts=_is_divisible(request),
            )
            for request in requests
        ]

    def _record(self, requests: Sequence[InsightsRequest], index: int, answer: Answered) -> None:
        """Read an answer and hand its values over."""
        values = self._read(requests[index], answer)
        self.values |= values
        self._keep(values)

    def _accept(
        self, requests: Sequence[InsightsRequest], answers: Sequence[Answered | ProviderError]
    ) -> list[RefusedRequest]:
        """Note what came of requests whose answers are recorded already, and return those that were refused."""
        refused: list[RefusedRequest] = []
        for request, answer in zip(requests, answers, strict=True):
            if not isinstance(answer, ProviderError):
                self._answered |= set(_kinds(request))
            elif answer.retry_strategy in SPLIT_FOR:
                refused.append((request, answer))
            else:
                self._fail(request, answer)
                if concerns_all(answer):
                    self._stopped_by = answer
                elif answer.retry_strategy is RetryStrategy.ONCE_MORE:
                    self._note_faults(request, dict.fromkeys(request.metrics, answer))
                    self._gone |= {kind: answer for kind in _kinds(request) if kind not in self._answered}
        return refused

    def _read(self, request: InsightsRequest, answer: Answered) -> Values:
        values: dict[ValueKey, MetricValue] = {}
        for metric in request.metrics:
            item = answer.get(metric)
            if not request.series:
                values[metric, request.breakdown, request.window] = read_total(
                    item, request.breakdown, window=request.window, end_time=self._end_time
                )
                continue
            for day, value in read_days(item, self._end_time, request.window).items():
                values[metric, (), Window(day, day)] = value
        return values

    def _isolate(self, first: RefusedRequest, *others: RefusedRequest) -> list[RefusedRequest]:
        """Find the metrics that one request was refused for, send the others without them, and return new refusals."""
        request, error = first
        failures = self._split(request, error)
        if self._stopped_by is not None:
            return list(others)
        if failures and not self._answered.intersection(_kinds(request)):
            return self._without_answer(request.only(*failures), failures, others)
        for metric, failure in failures.items():
            self._gone[metric, request.breakdown, request.series] = failure
            if failure.retry_strategy is RetryStrategy.SPLIT:
                words = failure.words or failure.message
                self.refused_metrics.append(RefusedMetric(metric, request, words))
        self._note_faults(request, failures)
        return self._send([rest for other, _ in others if (rest := self._left_of(other)) is not None])

    def _without_answer(
        self, request: InsightsRequest, failures: Mapping[str, ProviderError], others: Sequence[RefusedRequest]
    ) -> list[RefusedRequest]:
        """Decide what a request says of which no metric was answered; return the others, but those that end alike.

        If the same metrics were answered over other days, these days are at fault. If nothing was answered at all, the
        request may have failed as a whole: the account, the app or the call is at fault, not a metric.
        """
        refusal = next((each for each in failures.values() if each.retry_strategy is RetryStrategy.SPLIT), None)
        if not self._answered:
            if refusal is not None:
                failure = self._check_refusal(request, refusal)
            else:
                failure = self._check_fault(request, failures[request.metrics[0]])
                if failure is not None:
                    self._note_faults(request, dict.fromkeys(request.metrics, failure))
            if failure is not None:
                self._fail(request, failure)
                self._stopped_by = failure
                return list(others)
        for kind in _kinds(request):
            if kind not in self._answered:
                failure = failures[kind[0]]
                self._gone[kind] = failure
                if failure.retry_strategy is RetryStrategy.SPLIT:
                    self.refused_metrics.append(RefusedMetric(kind[0], request, failure.words or failure.message))
        self._note_faults(request, failures)
        alike = [each for each in others if set(_kinds(each[0])) <= set(_kinds(request))]
        for other, _ in alike:
            for metric in other.metrics:
                self._fail(other.only(metric), failures[metric])
        return [each for each in others if each not in alike]

    def _check_refusal(self, request: InsightsRequest, error: ProviderError) -> ProviderError | None:
        """Ask for a metric that was not requested; return the failure of the whole request, if that is refused too."""
        known = self._last_check()
        if known is None:
            outcome = self._check(*_others(request, self._account.login))
            if isinstance(outcome, ProviderError):
                return outcome  # It says nothing of a refusal: a timeout, or a fault.
            known = self.checked = outcome
        if not known:
            self.is_all_refused = True
        # As a failure of the whole request: no metric is to blame, and nothing more is sent.
        return None if known else error.unsent(retry_after=None)

    def _check(self, check: InsightsRequest, *others: InsightsRequest) -> bool | ProviderError:
        """Return whether Instagram answers a check, or the failure where that says neither.

        Where it has a fault with one (code 1), another is sent: the fault may be one of its metric, and last.
        """
        refused = self._send([check])
        if self._stopped_by is not None:
            return self._stopped_by
        outcome = refused[0][1] if refused else self.values[next(iter(check.value_keys()))]
        if not isinstance(outcome, ProviderError):
            return True
        if outcome.retry_strategy is RetryStrategy.SPLIT:
            return False
        return self._check(*others) if others and outcome.retry_strategy is RetryStrategy.SHRINK else outcome

    def _check_fault(self, request: InsightsRequest, error: ProviderError) -> ProviderError | None:
        """Make the smallest call; return the failure of the whole request if that has the fault too."""
        if request.breakdown:
            return None  # The smallest call has no breakdown. The reader makes it for the totals.
        last = Window(request.window.last, request.window.last)
        smallest = InsightsRequest(request.metrics[:1], last, series=request.series)
        if _is_divisible(request):
            self._send([smallest])
        return self._stopped_by or (None if self._answered else error)

    def _split(self, request: InsightsRequest, error: ProviderError) -> dict[str, ProviderError]:
        """Halve a refused request until each refused metric stands alone; return these with their failures.

        Where both halves have a fault (code 1), it is not about one metric, and is not followed any further.
        """
        if len(request.metrics) == 1:
            if error.retry_strategy is RetryStrategy.SHRINK and self._in_shorter_windows(request):
                return {}
            self._fail(request, error)
            return {request.metrics[0]: error}
        middle = len(request.metrics) // 2
        refused = self._send([request.only(*request.metrics[:middle]), request.only(*request.metrics[middle:])])
        failures: dict[str, ProviderError] = {}
        are_faults = [failure.retry_strategy is RetryStrategy.SHRINK for _, failure in refused]
        for half, failure in refused:
            if are_faults == [True, True]:
                self._fail(half, failure)
                failures |= dict.fromkeys(half.metrics, failure)
            else:
                failures |= self._split(half, failure)
        return failures

    def _in_shorter_windows(self, request: InsightsRequest) -> bool:
        """Ask for one metric in two halves of its window; return whether any was answered."""
        halves = _shorter(request)
        if not halves:
            return False
        refused = self._send(halves)
        for half, failure in refused:
            self._fail(half, failure)
        if not request.series:
            parts = [self.values[half.value_keys()[0]] for half in halves]
            known = [part for part in parts if isinstance(part, MetricValue)]
            if len(known) == len(parts):
                value = {request.value_keys()[0]: add_up(known)}
                self.values |= value
                self._keep(value)
            return len(known) == len(parts)
        return len(refused) < len(halves)

    def _left_of(self, request: InsightsRequest) -> InsightsRequest | None:
        """Return a request without the metrics that are known to fail, or None if nothing is left of it."""
        if self._stopped_by is not None:
            self._fail(request, self._stopped_by)
            return None
        rest = []
        for kind in _kinds(request):
            if (failure := self._gone.get(kind)) is None:
                rest.append(kind[0])
            else:
                self._fail(request.only(kind[0]), failure)
        return request.only(*rest) if rest else None

    def _note_faults(self, request: InsightsRequest, failures: Mapping[str, ProviderError]) -> None:
        for metric, failure in failures.items():
            if failure.retry_strategy in {RetryStrategy.SHRINK, RetryStrategy.ONCE_MORE}:
                kind = (metric, request.breakdown, request.series)
                window = request.window if kind in self._answered else None
                self.faulty_metrics.append(FaultyMetric(metric, request.breakdown, window, failure))

    def _fail(self, request: InsightsRequest, error: ProviderError) -> None:
        """Give every key of a request its refusal as the reason, or the failure."""
        value: MetricValue | ProviderError = error
        if error.retry_strategy is RetryStrategy.SPLIT:
            value = MetricValue(None, "refused", message=error.words or error.message)
        self.values |= {key: value for key in request.value_keys() if not _is_answer(self.values.get(key))}


def _kinds(request: InsightsRequest) -> list[Kind]:
    return [(metric, request.breakdown, request.series) for metric in request.metrics]


def _is_divisible(request: InsightsRequest) -> bool:
    """Return whether there is a smaller call that shows something of this one."""
    return len(request.metrics) > 1 or bool(request.breakdown) or bool(_shorter(request))


def _shorter(request: InsightsRequest) -> list[InsightsRequest]:
    """Return a request for one metric as two of half the days each, or nothing where these say nothing of the whole."""
    (metric, *others), window = request.metrics, request.window
    if others or request.breakdown or len(window) == 1 or (not request.series and METRICS[metric].unique):
        return []
    return [InsightsRequest((metric,), half, series=request.series) for half in window.halves()]


def _others(request: InsightsRequest, login: str) -> list[InsightsRequest]:
    """Return `CHECKS` requests, each for one supported metric that another request does not ask for, over its days."""
    candidates = [
        metric
        for metric in METRICS.values()
        if metric.shape in {Shape.TOTAL, Shape.BOTH}
        and metric.successor is None
        and login in metric.logins
        and metric.name not in request.metrics
    ]
    by_same = [metric for metric in candidates if set(request.breakdown) <= set(metric.breakdowns)]
    if request.breakdown and by_same:
        return [InsightsRequest((each.name,), request.window, request.breakdown) for each in by_same[:CHECKS]]
    return [InsightsRequest((each.name,), request.window) for each in candidates[:CHECKS]]


def _is_answer(value: MetricValue | ProviderError | None) -> bool:
    return isinstance(value, MetricValue) and value.reason != "refused"


def concerns_all(error: ProviderError) -> bool:
    """Return whether no other call would be answered either; else it leaves a gap, or is about its metrics."""
    return not isinstance(error, TRANSIENT) and error.retry_strategy not in SPLIT_FOR
