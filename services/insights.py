"""Asks Instagram for account insights: in as few calls as it allows, side by side, one refused metric apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial

from services.catalogue import BREAKDOWN_RETENTION_DAYS, METRICS
from services.clients.graph import Account, GraphClient, Item
from services.clock import Clock
from services.days import ONE_DAY, EndTime, Window, pacific_day
from services.errors import (
    ProviderError,
    ProviderResponseError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    Remedy,
)
from services.parallel import Parallel
from services.readings import Reading, add_up, read_days, read_total
from services.refusals import Refusals

Breakdown = tuple[str, ...]
Key = tuple[str, Breakdown, Window]

# A call that fails in one of these ways leaves a gap with its reason; any other failure concerns the whole account.
PASSING = (ProviderResponseError, ProviderTimeoutError, ProviderUnavailableError)

# Code 1 is Instagram's word for a passing fault, and for a metric and a breakdown that do not go together.
SPLIT_FOR = frozenset({Remedy.SPLIT, Remedy.SHRINK})


@dataclass(frozen=True)
class Ask:
    """Metrics that share a window and a breakdown: one total each or, as `series` of one, a value for each day."""

    metrics: tuple[str, ...]
    window: Window
    breakdown: Breakdown = ()
    series: bool = False

    def pieces(self) -> list[Ask]:
        """Cut the window so that each piece can be asked for in one call."""
        return [replace(self, window=piece) for piece in self.window.pieces()]

    def only(self, *metrics: str) -> Ask:
        """Return the same ask for some of its metrics."""
        return replace(self, metrics=metrics)


Refused = tuple[Ask, ProviderError]
"""A call that was refused, and how."""

REMEMBERED_WINDOW = timedelta(days=90)  # Meta promises so many days; a refusal of older ones may be about the days.

BEYOND_RETENTION = Reading(None, "beyond_retention")


class InsightsReader:
    """Turns what services ask for into calls, and their answers into readings."""

    def __init__(
        self, graph: GraphClient, parallel: Parallel, *, refusals: Refusals, end_time: EndTime, clock: Clock
    ) -> None:
        self.graph = graph
        self.parallel = parallel
        self.refusals = refusals
        self.end_time = end_time
        self.clock = clock

    @property
    def login(self) -> str:
        """The login by which Instagram is read, on which it depends what is answered."""
        return self.graph.login.name

    def read(self, account: Account, asks: Sequence[Ask], *, only_gaps: bool = False) -> Mapping[Key, Reading]:
        """Return a reading for each metric, breakdown and window asked for; a series gives one for each of its days.

        Windows too long for one call are cut; additive metrics are added up over the pieces, unique ones are unknown.
        Raises the failure of a call if it concerns the account, or if no call was answered; with `only_gaps` passing
        failures are never raised, for a service that has other things to tell.
        """
        return _Inquiry(self, account).readings_of(asks, only_gaps=only_gaps)


class _Inquiry:
    """What one `read` has found out so far."""

    def __init__(self, reader: InsightsReader, account: Account) -> None:
        self._reader = reader
        self._account = account
        self._readings: dict[Key, Reading] = {}
        self._failures: list[ProviderError] = []
        self._answered = False

    def readings_of(self, asks: Sequence[Ask], *, only_gaps: bool) -> Mapping[Key, Reading]:
        refused = self._wave([call for ask in asks for call in self._calls(ask)])
        while refused:
            refused = self._isolate(*refused)
        if self._failures and not self._answered and not only_gaps:
            raise self._failures[0]
        for ask in asks:
            self._join(ask)
        return self._readings

    def _calls(self, ask: Ask) -> Iterator[Ask]:
        """Cut an ask into calls; what is known to have no answer is read at once and left out."""
        for piece in ask.pieces():
            rest = []
            for metric in piece.metrics:
                known = self._known(metric, piece, is_part=piece.window != ask.window)
                if known is None:
                    rest.append(metric)
                else:
                    self._mark(piece.only(metric), known)
            if rest:
                yield self._without_lost_days(piece.only(*rest))

    def _known(self, metric: str, piece: Ask, *, is_part: bool) -> Reading | None:
        refused = self._reader.refusals.message(self._account.id, metric, piece.breakdown)
        if (piece.window.last if piece.series else piece.window.first) < self._first_kept(metric, piece.breakdown):
            return BEYOND_RETENTION
        if refused is not None:
            return Reading(None, "refused", message=refused)
        if is_part and METRICS[metric].unique and not piece.series:
            return Reading(None, "window_too_long")
        return None

    def _without_lost_days(self, call: Ask) -> Ask:
        """Let a series begin with the first day that Meta still keeps."""
        first, window = self._first_kept(call.metrics[0]), call.window
        if not call.series or window.first >= first:
            return call
        self._mark(replace(call, window=Window(window.first, first - ONE_DAY)), BEYOND_RETENTION)
        return replace(call, window=Window(first, window.last))

    def _first_kept(self, metric: str, breakdown: Breakdown = ()) -> date:
        login, usual = self._reader.login, METRICS[metric].retention_days
        days = min([usual, *(BREAKDOWN_RETENTION_DAYS.get((login, metric, each), usual) for each in breakdown)])
        return self._today() - timedelta(days=days)

    def _today(self) -> date:
        return pacific_day(self._reader.clock.now())

    def _wave(self, calls: Sequence[Ask]) -> list[Refused]:
        """Make calls side by side, read what was answered, and return those that were refused."""
        thunks = [partial(self._call, call) for call in calls]
        refused: list[Refused] = []
        for call, answer in zip(calls, self._reader.parallel.gather(thunks, fatal=_is_fatal), strict=True):
            if isinstance(answer, ProviderError) and answer.remedy in SPLIT_FOR:
                refused.append((call, answer))
            elif isinstance(answer, ProviderError):
                self._fail(call, answer)
            else:
                self._answered = True
                self._take(call, answer)
        return refused

    def _call(self, call: Ask) -> Mapping[str, Item]:
        until = self._reader.end_time.of(call.window.last) if call.series else call.window.until
        return self._reader.graph.account_insights(
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
                self._readings[metric, call.breakdown, call.window] = read_total(item, call.breakdown)
                continue
            found = read_days(item, self._reader.end_time)
            for day in call.window:
                self._readings[metric, (), Window(day, day)] = found.get(day, Reading(None, "not_answered"))

    def _isolate(self, first: Refused, *others: Refused) -> list[Refused]:
        """Find what one refused call was refused for, ask the others without it, and return those refused again.

        If none of its metrics is answered alone, the window is at fault, or all of them are: other calls for nothing
        but these are taken to fare alike, and nothing is remembered. If nothing at all is answered, Instagram is down.
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
            if why.remedy is Remedy.SPLIT and call.window.last >= self._today() - REMEMBERED_WINDOW:
                words = why.words or why.message
                self._reader.refusals.remember(self._account.id, metric, call.breakdown, words)
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

    def _fail(self, call: Ask, error: ProviderError) -> None:
        """Give what a call asked for the reason of its failure."""
        if error.remedy is Remedy.SPLIT:
            self._mark(call, Reading(None, "refused", message=error.words or error.message))
        else:
            self._failures.append(error)
            self._mark(call, Reading(None, error.code, message=error.message))

    def _without(self, guilty: Mapping[str, ProviderError], call: Ask, breakdown: Breakdown) -> Ask | None:
        if call.breakdown != breakdown:
            return call
        for metric in guilty.keys() & set(call.metrics):
            self._fail(call.only(metric), guilty[metric])
        rest = [metric for metric in call.metrics if metric not in guilty]
        return call.only(*rest) if rest else None

    def _mark(self, call: Ask, reading: Reading) -> None:
        """Give every metric of a call (and every day, of a series) the same reading."""
        windows = [Window(day, day) for day in call.window] if call.series else [call.window]
        self._readings |= {(metric, call.breakdown, window): reading for metric in call.metrics for window in windows}

    def _join(self, ask: Ask) -> None:
        """Make one reading of the pieces of a window that was too long for one call."""
        pieces = [] if ask.series else ask.window.pieces()
        for metric in ask.metrics if len(pieces) > 1 else ():
            parts = [self._readings[metric, ask.breakdown, piece] for piece in pieces]
            self._readings[metric, ask.breakdown, ask.window] = add_up(parts)


def _is_fatal(error: ProviderError) -> bool:
    return not isinstance(error, PASSING) and error.remedy not in SPLIT_FOR
