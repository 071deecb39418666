"""Account insights as readings: from the history, from memory, and from Instagram only where neither has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby

from services.asks import Ask, Breakdown, Key
from services.catalogue import BREAKDOWN_RETENTION_DAYS, METRICS
from services.clients.graph import Account, GraphClient
from services.clock import Clock
from services.days import EndTime, Window, pacific_day
from services.errors import ProviderError
from services.inquiry import PASSING, Inquiry
from services.kept_readings import as_json, as_kept, from_json, from_kept, rule_of, slot_of, told_of
from services.memory import Memo, Memory, Outcome
from services.memory.rules import FOR_EVER
from services.parallel import Parallel
from services.readings import Reading, add_up
from services.refusals import Refusals
from services.store import History, StoreAway
from services.store.memories import Slot

REMEMBERED_WINDOW = timedelta(days=90)  # Meta promises so many days; a refusal of older ones may be about the days.

BEYOND_RETENTION = Reading(None, "beyond_retention")


@dataclass(frozen=True)
class Insights:
    """A reading for each key that was asked for, what they were made of, and whether something is missing."""

    readings: Mapping[Key, Reading]
    memos: Sequence[Memo]
    gaps: bool


@dataclass
class _Findings:
    """What one `read` knows so far."""

    readings: dict[Key, Reading] = field(default_factory=dict)
    memos: list[Memo] = field(default_factory=list)
    failures: list[ProviderError] = field(default_factory=list)


class InsightsReader:
    """Turns what services ask for into what is kept, what is remembered, and calls for the rest."""

    def __init__(
        self,
        graph: GraphClient,
        parallel: Parallel,
        *,
        memory: Memory,
        history: History,
        end_time: EndTime,
        clock: Clock,
    ) -> None:
        self._graph = graph
        self._parallel = parallel
        self._memory = memory
        self._history = history
        self._refusals = Refusals(memory)
        self._end_time = end_time
        self._clock = clock

    def read(self, account: Account, asks: Sequence[Ask], *, only_gaps: bool = False) -> Insights:
        """Return a reading for each metric, breakdown and window asked for; a series gives one for each of its days.

        Windows too long for one call are cut; additive metrics are added up over the pieces, unique ones are unknown.
        What could not be fetched is a gap with the failure's code as its reason. Where nothing was found at all, the
        failure is raised; with `only_gaps` no passing failure is, for a service that has other things to tell.
        """
        wanted = [piece for ask in asks for piece in ask.pieces()]
        cut = {key for ask in asks if not ask.series and len(ask.pieces()) > 1 for key in _keys(ask.pieces())}
        findings = _Findings()
        self._recollect(account, _keys(wanted), findings)
        self._rule_out(account, [key for key in _keys(wanted) if key not in findings.readings], cut, findings)
        self._recall(account, wanted, findings)
        if findings.failures and not findings.memos:
            worst = next((error for error in findings.failures if not isinstance(error, PASSING)), None)
            if worst is not None or not only_gaps:
                raise worst or findings.failures[0]
        for ask in asks:
            _join(ask, findings.readings)
        return Insights(findings.readings, findings.memos, gaps=bool(findings.failures))

    def _recollect(self, account: Account, keys: Sequence[Key], findings: _Findings) -> None:
        """Take what the history has."""
        wanted = {told_of(*key): key for key in keys}
        try:
            kept = self._history.read(account.id, list(wanted))
        except StoreAway:
            return
        for told, found in kept.items():
            findings.readings[wanted[told]] = from_kept(found)
            findings.memos.append(Memo({}, found.read_at, FOR_EVER))

    def _rule_out(self, account: Account, keys: Sequence[Key], cut: Collection[Key], findings: _Findings) -> None:
        """Read at once what is known to have no answer."""
        refused = self._refusals.of(account.id, {(metric, breakdown) for metric, breakdown, _ in keys})
        for key in keys:
            metric, breakdown, window = key
            if window.first < self._first_kept(account.login, metric, breakdown):
                findings.readings[key] = BEYOND_RETENTION
            elif (metric, breakdown) in refused:
                findings.readings[key] = Reading(None, "refused", message=refused[metric, breakdown])
            elif key in cut and METRICS[metric].unique:
                findings.readings[key] = Reading(None, "window_too_long")

    def _recall(self, account: Account, wanted: Sequence[Ask], findings: _Findings) -> None:
        """Take the rest from memory, which asks Instagram for what it does not have."""
        rest = {slot_of(*key): key for key in _keys(wanted) if key not in findings.readings}
        if not rest:
            return
        in_series = {key for ask in wanted if ask.series for key in ask.reading_keys()}

        def fetch(slots: Collection[Slot], _kept: Mapping[Slot, Memo]) -> Mapping[Slot, Outcome]:
            found = self._ask(account, [rest[slot] for slot in slots], in_series)
            outcomes = ((slot, found[rest[slot]]) for slot in slots)
            return {slot: each if isinstance(each, ProviderError) else as_json(each) for slot, each in outcomes}

        rules = {slot: rule_of(key[0], key[2]) for slot, key in rest.items()}
        for slot, memo in self._memory.recall_all(account.id, rules, fetch).items():
            if isinstance(memo, ProviderError):
                findings.failures.append(memo)
                findings.readings[rest[slot]] = Reading(None, memo.code, message=memo.message)
            else:
                findings.memos.append(memo)
                findings.readings[rest[slot]] = from_json(memo.value)

    def _ask(
        self, account: Account, keys: Sequence[Key], in_series: Collection[Key]
    ) -> Mapping[Key, Reading | ProviderError]:
        """Ask Instagram, and keep for ever what is final."""

        def remember(metric: str, call: Ask, words: str) -> None:
            if call.window.last >= self._today() - REMEMBERED_WINDOW:
                self._refusals.remember(account.id, metric, call.breakdown, words)

        asked_at = self._clock.now().timestamp()
        inquiry = Inquiry(self._graph, self._parallel, account, end_time=self._end_time, on_guilty=remember)
        found = inquiry.of([*_series([key for key in keys if key in in_series]), *_totals(keys, in_series)])
        final = {
            told_of(*key): kept
            for key in keys
            if isinstance(reading := found[key], Reading)
            and rule_of(key[0], key[2]).is_final(asked_at)
            and (kept := as_kept(as_json(reading), asked_at)) is not None
        }
        try:
            self._history.keep(account.id, final)
        except StoreAway:
            return found  # The memory has it, and what is final is asked again when that has forgotten it.
        return found

    def _first_kept(self, login: str, metric: str, breakdown: Breakdown) -> date:
        usual = METRICS[metric].retention_days
        days = min([usual, *(BREAKDOWN_RETENTION_DAYS.get((login, metric, each), usual) for each in breakdown)])
        return self._today() - timedelta(days=days)

    def _today(self) -> date:
        return pacific_day(self._clock.now())


def _keys(asks: Iterable[Ask]) -> list[Key]:
    return [key for ask in asks for key in ask.reading_keys()]


def _totals(keys: Sequence[Key], in_series: Collection[Key]) -> list[Ask]:
    """Put all metrics of a window and a breakdown into one call."""
    calls: dict[tuple[Window, Breakdown], dict[str, None]] = {}
    for metric, breakdown, window in keys:
        if (metric, breakdown, window) not in in_series:
            calls.setdefault((window, breakdown), {})[metric] = None
    return [Ask(tuple(metrics), window, breakdown) for (window, breakdown), metrics in calls.items()]


def _series(keys: Sequence[Key]) -> list[Ask]:
    """Put the days of each metric into as few calls as Instagram's limits allow; days between come along."""
    calls = []
    for metric, of_metric in groupby(sorted(keys, key=lambda key: (key[0], key[2])), key=lambda key: key[0]):
        days = [window.first for _, _, window in of_metric]
        calls += Ask((metric,), Window(min(days), max(days)), series=True).pieces()
    return calls


def _join(ask: Ask, readings: dict[Key, Reading]) -> None:
    """Make one reading of the pieces of a window that was too long for one call."""
    pieces = [] if ask.series else ask.window.pieces()
    for metric in ask.metrics if len(pieces) > 1 else ():
        key = (metric, ask.breakdown, ask.window)
        if key not in readings:
            readings[key] = add_up([readings[metric, ask.breakdown, piece] for piece in pieces])
