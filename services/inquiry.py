"""Asks Instagram for account insights: in as few calls as it allows, side by side, one refused metric apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from services.asks import Ask, Breakdown, Key
from services.clients.graph import Account, GraphClient, Item
from services.days import EndTime, Window
from services.errors import (
    ProviderError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    Remedy,
)
from services.parallel import Parallel
from services.readings import Reading, read_days, read_total

# A call that fails in one of these ways leaves a gap with its reason; any other failure concerns the whole account.
PASSING = (ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError)

# Code 1 is Instagram's word for a passing fault, and for a metric and a breakdown that do not go together.
SPLIT_FOR = frozenset({Remedy.SPLIT, Remedy.SHRINK})

Refused = tuple[Ask, ProviderError]
"""A call that was refused, and how."""

Guilty = Callable[[str, Ask, str], None]
"""Told the metric that is to blame for a refusal, the call, and the provider's words."""


class Inquiry:
    """What one round of calls has found out so far: a reading or a failure for each key."""

    def __init__(
        self, graph: GraphClient, parallel: Parallel, account: Account, *, end_time: EndTime, on_guilty: Guilty
    ) -> None:
        self._graph = graph
        self._parallel = parallel
        self._account = account
        self._end_time = end_time
        self._on_guilty = on_guilty
        self._found: dict[Key, Reading | ProviderError] = {}
        self._answered = False

    def of(self, calls: Sequence[Ask]) -> Mapping[Key, Reading | ProviderError]:
        """Make the calls, each of which fits Instagram's limits; raise a failure that concerns the whole account."""
        refused = self._wave(calls)
        while refused:
            refused = self._isolate(*refused)
        return self._found

    def _wave(self, calls: Sequence[Ask]) -> list[Refused]:
        """Make calls side by side, read what was answered, and return those that were refused."""
        thunks = [partial(self._call, call) for call in calls]
        answers = self._parallel.gather(thunks, lane=self._account.id, fatal=_is_fatal)
        refused: list[Refused] = []
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, ProviderError) and answer.remedy in SPLIT_FOR:
                refused.append((call, answer))
            elif isinstance(answer, ProviderError):
                self._fail(call, answer)
            else:
                self._answered = True
                self._take(call, answer)
        return refused

    def _call(self, call: Ask) -> Mapping[str, Item]:
        until = self._end_time.of(call.window.last) if call.series else call.window.until
        return self._graph.account_insights(
            self._account,
            call.metrics,
            since=call.window.since,
            until=until,
            breakdown=call.breakdown,
            series=call.series,
        )

    def _take(self, call: Ask, answer: Mapping[str, Item]) -> None:
        for metric in call.metrics:
            item = answer.get(metric)
            if not call.series:
                self._found[metric, call.breakdown, call.window] = read_total(item, call.breakdown)
                continue
            found = read_days(item, self._end_time)
            for day in call.window:
                self._found[metric, (), Window(day, day)] = found.get(day, Reading(None, "not_answered"))

    def _isolate(self, first: Refused, *others: Refused) -> list[Refused]:
        """Find what one refused call was refused for, ask the others without it, and return those refused again.

        If none of its metrics is answered alone, the window is at fault, or all of them are: other calls for nothing
        but these are taken to fare alike, and nobody is to blame. If nothing at all is answered, Instagram is down.
        """
        call, error = first
        if error.remedy is Remedy.SHRINK and others and not self._answered:
            for each, why in (first, *others):
                self._fail(each, why)
            return []
        guilty = self._split(call, error)
        if len(guilty) == len(call.metrics):
            alike = [each for each in others if set(each[0].metrics) <= set(guilty)]
            for other, _ in alike:
                self._fail(other, error)
            return [each for each in others if each not in alike]
        for metric, why in guilty.items():
            if why.remedy is Remedy.SPLIT:
                self._on_guilty(metric, call, why.words or why.message)
        again = [rest for other, _ in others if (rest := self._without(guilty, other, call.breakdown))]
        return self._wave(again)

    def _split(self, call: Ask, error: ProviderError) -> dict[str, ProviderError]:
        """Halve a refused call until each guilty metric stands alone; return them with what they were refused for."""
        if len(call.metrics) == 1:
            self._fail(call, error)
            return {call.metrics[0]: error}
        middle = len(call.metrics) // 2
        guilty: dict[str, ProviderError] = {}
        for half, why in self._wave([call.only(*call.metrics[:middle]), call.only(*call.metrics[middle:])]):
            guilty |= self._split(half, why)
        return guilty

    def _without(self, guilty: Mapping[str, ProviderError], call: Ask, breakdown: Breakdown) -> Ask | None:
        if call.breakdown != breakdown:
            return call
        for metric in guilty.keys() & set(call.metrics):
            self._fail(call.only(metric), guilty[metric])
        rest = [metric for metric in call.metrics if metric not in guilty]
        return call.only(*rest) if rest else None

    def _fail(self, call: Ask, error: ProviderError) -> None:
        """Give what a call asked for its refusal as the reason, or the failure."""
        outcome: Reading | ProviderError = error
        if error.remedy is Remedy.SPLIT:
            outcome = Reading(None, "refused", message=error.words or error.message)
        self._found |= dict.fromkeys(call.reading_keys(), outcome)


def _is_fatal(error: ProviderError) -> bool:
    return not isinstance(error, PASSING) and error.remedy not in SPLIT_FOR
