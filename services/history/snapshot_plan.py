"""Which values of an account's past are asked for, and in which order.

One call answers all metrics of one day and one breakdown, and one call a whole month of a metric that comes by day. So
a day costs five calls: its totals, and one for each breakdown. They are made when no value of the day can change any
more; only its totals are also read the day after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from services.cache.policies import DAY, HOUR
from services.days import ONE_DAY, midnight, pacific_day, utc
from services.errors import TRANSIENT
from services.insights.caching import history_key
from services.insights.catalogue import METRICS, RETENTION_DAYS, Shape, first_retained
from services.insights.final_days import PROVISIONAL_HOURS_OF_FOLLOWS, first_provisional
from services.insights.request import Breakdown, InsightsRequest
from services.store.history import DayState, HistoryKey
from services.windows import Window

SETTLED_DAYS = 7  # finished days that the daily snapshot looks at; the back-fill is for those before
RETRIES = 4  # calls of a daily snapshot for days that Instagram has not answered yet
VANISHING_DAYS = 7  # before a day is forgotten it goes first
PROMISED_DAYS = 90  # Meta's pages promise them only, though it answers two years
SILENT_DAYS = 30  # a value that was known on none of them is asked for with new days only
REFUSED_FOR = 7 * DAY  # before a refused metric is asked for again
# The codes of failures that concern one call; its values are asked for again on the next day.
FAILED = frozenset({each.code for each in TRANSIENT})

RECENT_DAYS = PROMISED_DAYS + VANISHING_DAYS  # for which a daily plan has to know the state of each value

Kind = tuple[str, Breakdown]
States = Mapping[Kind, Mapping[str, DayState]]
"""What is kept of each metric and breakdown, by day (ISO date)."""


def kinds(login: str) -> list[Kind]:
    """Return the metrics and breakdowns that have a value for each day by a login."""
    found: list[Kind] = []
    for metric in METRICS.values():
        if metric.successor is None and metric.shape is not Shape.LIFETIME and login in metric.logins:
            found.append((metric.name, ()))
            found += [(metric.name, (breakdown,)) for breakdown in metric.breakdowns]
            if metric.combined:
                found.append((metric.name, metric.breakdowns))
    return found


def first_day_kept(today: date) -> date:
    """Return the first day of which Instagram may have any value."""
    return today - timedelta(days=RETENTION_DAYS)


def last_settled_day(now: float) -> date:
    """Return the last day of which no value can change any more."""
    return first_provisional(utc(now), PROVISIONAL_HOURS_OF_FOLLOWS) - ONE_DAY


def settled_at(day: date) -> float:
    """Return the moment (Unix seconds) from which no value of a day can change."""
    return midnight(day + ONE_DAY) + PROVISIONAL_HOURS_OF_FOLLOWS * HOUR


@dataclass(frozen=True)
class Plan:
    """What is to be asked of one account at a moment, from the states of its days.

    A daily plan needs the states of `RECENT_DAYS`, and of earlier days those that are not final; a back-fill all since
    `first_day_kept`.
    """

    login: str
    states: States
    now: float

    def daily(self) -> list[InsightsRequest]:
        """Return the requests of the daily snapshot, of which each is about one call."""
        yesterday = self._today - ONE_DAY
        totals = [kind for kind in self._totals if not kind[1] and str(yesterday) not in self._of(kind)]
        due = [
            (day, kind)
            for day in Window(self._first_settled, self._last)
            for kind in self._totals
            if day >= self._first_of(kind) and self._is_open(self._of(kind).get(str(day)))
        ]
        return [*self.series(), *_requests((yesterday, kind) for kind in totals), *_requests(due), *self._retries()]

    def series(self) -> list[InsightsRequest]:
        """Return the requests of the metrics that come by day: all days of each that are not final, at once."""
        requests = []
        for kind in self._by_day:
            kept, states = Window(self._first_of(kind), self._today - ONE_DAY), self._of(kind)
            if days := [day for day in kept if (state := states.get(str(day))) is None or not state.final]:
                requests.append(InsightsRequest((kind[0],), Window(days[0], days[-1]), series=True))
        return requests

    def backfill(self, *, since: date | None = None, until: date | None = None) -> list[InsightsRequest]:
        """Return the requests of days that were never read, those about to vanish first, then the newest.

        The days of a range only, both ends included.
        """
        first, last = max(since or self._first, self._first), min(until or self._last, self._last)
        if first > last:
            return []
        days = [(day, str(day)) for day in Window(first, last)]
        requests = _requests((day, kind) for kind in self._totals for day in self._missing(kind, days))
        for kind in self._by_day:
            if by_day := self._missing(kind, days):
                requests.append(InsightsRequest((kind[0],), Window(by_day[0], by_day[-1]), series=True))
        return sorted(requests, key=self._urgency)

    def _missing(self, kind: Kind, days: Sequence[tuple[date, str]]) -> list[date]:
        first, states = self._first_of(kind), self._of(kind)
        return [day for day, text in days if day >= first and self._was_never_answered(states.get(text))]

    def _retries(self) -> list[InsightsRequest]:
        """Return a few requests of days that Instagram did not answer; where there are more, they take turns."""
        today = midnight(self._today)
        due = []
        for kind in self._totals:
            if self._is_silent(kind):
                continue
            for text, state in self._of(kind).items():
                day = date.fromisoformat(text)
                is_early = day < self._first_settled and (state.known or state.reason in FAILED)
                is_unknown = not state.known and state.reason not in FAILED
                is_due = is_early or is_unknown
                if is_due and not state.final and state.read_at < today and self._first_of(kind) <= day <= self._last:
                    due.append((day, kind))
        requests = sorted(_requests(due), key=self._urgency)
        urgent = [request for request in requests if self._urgency(request)[0] == 0][:RETRIES]
        others = [request for request in requests if request not in urgent]
        turn = self._today.toordinal() * (RETRIES - len(urgent)) % len(others) if others else 0
        return (urgent + others[turn:] + others[:turn])[:RETRIES]

    def _urgency(self, request: InsightsRequest) -> tuple[int, int]:
        day = request.window.first
        vanishes = min((day - self._first_of((metric, request.breakdown))).days for metric in request.metrics)
        leaves_promise = PROMISED_DAYS - (self._today - day).days
        is_urgent = vanishes < VANISHING_DAYS or 0 <= leaves_promise < VANISHING_DAYS
        return (0, day.toordinal()) if is_urgent else (1, -day.toordinal())

    def _was_never_answered(self, state: DayState | None) -> bool:
        """Return whether a day was not asked for, or its call failed before today."""
        if state is None:
            return True
        return not state.known and state.reason in FAILED and state.read_at < midnight(self._today)

    def _is_open(self, state: DayState | None) -> bool:
        """Return whether a settled day has to be read: it was never answered, or only before it was settled."""
        is_provisional = state is not None and state.known and not state.final
        return is_provisional or self._was_never_answered(state)

    def _is_silent(self, kind: Kind) -> bool:
        """Return whether nothing was known of a kind lately; the newest days show when that ends."""
        recent = str(self._last - timedelta(days=SILENT_DAYS))
        return not any(state.known for day, state in self._of(kind).items() if day > recent)

    def _is_refused(self, kind: Kind) -> bool:
        # A refusal of older days may be about the days.
        recent = str(self._today - timedelta(days=PROMISED_DAYS))
        states = [state for day, state in self._of(kind).items() if day >= recent]
        newest = max(states, key=lambda state: state.read_at, default=None)
        return newest is not None and newest.reason == "refused" and self.now < newest.read_at + REFUSED_FOR

    def _of(self, kind: Kind) -> Mapping[str, DayState]:
        return self.states.get(kind, {})

    def _first_of(self, kind: Kind) -> date:
        return self._retained[kind]

    @cached_property
    def _totals(self) -> Sequence[Kind]:
        """The kinds that are asked for day by day; a refused one is asked for once a week."""
        return [kind for kind in self._asked if METRICS[kind[0]].shape is not Shape.DAILY]

    @cached_property
    def _by_day(self) -> Sequence[Kind]:
        """The kinds of which one call answers many days."""
        return [kind for kind in self._asked if METRICS[kind[0]].shape is Shape.DAILY]

    @cached_property
    def _asked(self) -> Sequence[Kind]:
        return [kind for kind in kinds(self.login) if not self._is_refused(kind)]

    @cached_property
    def _retained(self) -> Mapping[Kind, date]:
        return {
            (metric, breakdown): first_retained(self.login, metric, breakdown, today=self._today)
            for metric, breakdown in kinds(self.login)
        }

    @cached_property
    def _today(self) -> date:
        return pacific_day(utc(self.now))

    @cached_property
    def _first(self) -> date:
        return first_day_kept(self._today)

    @cached_property
    def _last(self) -> date:
        return last_settled_day(self.now)

    @cached_property
    def _first_settled(self) -> date:
        """The first of the settled days that the daily snapshot looks at."""
        return self._last - timedelta(days=SETTLED_DAYS - 1)


def keys_of(requests: Iterable[InsightsRequest]) -> list[HistoryKey]:
    """Return the key in the history of each value that requests are for."""
    return [history_key(*key) for request in requests for key in request.value_keys()]


def _requests(due: Iterable[tuple[date, Kind]]) -> list[InsightsRequest]:
    """Put all metrics of a day and a breakdown into one request."""
    groups: dict[tuple[date, Breakdown], dict[str, None]] = {}
    for day, (metric, breakdown) in due:
        groups.setdefault((day, breakdown), {})[metric] = None
    return [InsightsRequest(tuple(names), Window(day, day), each) for (day, each), names in groups.items()]
