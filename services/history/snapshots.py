"""Reads and keeps each account's past: a snapshot each day, and a back-fill of what Instagram still has.

What was read is in the history, so both can be stopped at any moment: the next run plans from there, and asks for
nothing again. Two processes that run at once for one account share their calls through the cache.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

from typing_extensions import TypedDict

from services import request_context
from services.accounts.resolver import AccountResolver
from services.answers import Origin
from services.clients.graph.models import Account
from services.clients.guard.usage import QUOTA_PAUSE
from services.clock import Clock
from services.days import ONE_DAY, midnight, our_time, pacific_day, utc
from services.errors import ProviderError, log_fields
from services.history.snapshot_plan import (
    FAILED,
    RECENT_DAYS,
    SETTLED_DAYS,
    Plan,
    States,
    first_day_kept,
    keys_of,
    last_settled_day,
    settled_at,
)
from services.history.snapshot_schedule import WEEK, due_at, is_weekly_day
from services.insights.audience import (
    AUDIENCE_BREAKDOWNS,
    DEMOGRAPHICS,
    HOUR_OF_DAY,
    KEPT_TIMEFRAME,
    MOST_DAYS_ONLINE,
    ONLINE_FOLLOWERS,
    DemographicKey,
)
from services.insights.audience_reader import AudienceReader
from services.insights.caching import as_history_value, as_json, history_key, is_known
from services.insights.fetcher import concerns_all
from services.insights.reader import Insights, InsightsReader
from services.insights.request import InsightsRequest
from services.store.account_snapshots import AccountSnapshot, AccountSnapshots
from services.store.database import DatabaseUnavailableError
from services.store.history import History, HistoryKey, HistoryValue
from services.windows import Window

ATTEMPTS = 3  # before a snapshot goes on without the values of calls that fail
SLICE = 10  # calls of a back-fill between two looks at the quota
RUN = 5.0  # seconds of a back-fill between two plans; a worker that has to stop waits no longer for this job

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HistoryTables:
    """The tables that snapshots read and write."""

    history: History
    snapshots: AccountSnapshots


class BackfillProgress(TypedDict):
    """How many accounts are being filled in, and how many calls of those are left."""

    accounts: int
    calls: int
    calls_left: int


class HistoryProgress(TypedDict):
    """How many accounts have a history, and of how many the snapshot of the present Pacific day is taken."""

    accounts: int
    snapshots_today: int
    last_snapshot_at: str | None
    backfill: BackfillProgress


class SnapshotRun(NamedTuple):
    """When the next snapshot is due (Unix seconds), and whether this one has found days for a back-fill to read.

    `is_taken` is False where none was due, or where it has to wait for the account's quota.
    """

    due_at: float
    has_gaps: bool = False
    is_taken: bool = True


class BackfillStep(NamedTuple):
    """How many calls of a back-fill are left and were made, and whether it has to wait for the account's quota."""

    left: int
    calls: int = 0
    is_paused: bool = False


class AccountSnapshotter:
    """Takes the daily snapshot of an account, and fills in the days before."""

    def __init__(
        self,
        accounts: AccountResolver,
        reader: InsightsReader,
        audience: AudienceReader,
        tables: HistoryTables,
        *,
        may_work: Callable[[str], bool],
        origin: Origin,
        backfill_days: int,
        clock: Clock,
    ) -> None:
        """Build it; `may_work` says whether the quota of an account has room for background work."""
        self._backfill_days = backfill_days
        self._accounts = accounts
        self._reader = reader
        self._audience = audience
        self._tables = tables
        self._may_work = may_work
        self._origin = origin
        self._clock = clock

    def accounts(self) -> list[str]:
        """Return the accounts whose past is kept; raises `BusyError` where they are not known."""
        return [account.id for account in self._accounts.all()]

    def answered_days(self) -> Window:
        """Return the days that a back-fill may ask for: those that Instagram keeps and whose values are final."""
        now = self._clock.timestamp()
        return Window(first_day_kept(pacific_day(utc(now))), last_settled_day(now))

    def take_snapshot(self, account_id: str, *, attempts: int = ATTEMPTS) -> SnapshotRun:
        """Take the snapshot of the present Pacific day if that is due.

        Of the first attempts each failure is raised; then values of calls that fail alone are left for the next day.
        Raises `AccountUnknownError` for an account that was removed, the failure of the provider, and
        `DatabaseUnavailableError`.
        """
        account = self._accounts.still_here(account_id)
        now = self._clock.timestamp()
        today = pacific_day(utc(now))
        before = self._tables.snapshots.find(account_id)
        if (before.day or "") >= today.isoformat():
            return SnapshotRun(due_at(account_id, today + ONE_DAY), is_taken=False)
        if (due := due_at(account_id, today)) > now:
            return SnapshotRun(due, is_taken=False)
        if not self._may_work(account_id):
            return SnapshotRun(now + QUOTA_PAUSE, is_taken=False)
        # What was read today will do, for instance for a caller.
        request_context.accept_since(midnight(today))
        self._read_profile(account, attempts)
        plan = self._daily_plan(account, now)
        self._read(account, plan.daily(), now, may_fail=attempts >= ATTEMPTS)
        self._read_demographics(account, plan.states, today)
        if before.day is None or is_weekly_day(account_id, today):
            self._read_online_followers(account, today)
        self._tables.snapshots.complete(account_id, day=today.isoformat(), taken_at=now)
        return SnapshotRun(due_at(account_id, today + ONE_DAY), self._has_gaps(account, before, now))

    def backfill(
        self, account_id: str, *, since: date | None = None, until: date | None = None, limit: int | None = None
    ) -> BackfillStep:
        """Read days that were never read for some seconds, or `limit` calls at most; return how many are left then.

        Without a range as far back as the settings say; only that counts for the progress that is kept of an account.
        Raises as `take_snapshot`.
        """
        account = self._accounts.still_here(account_id)
        now = self._clock.timestamp()
        is_whole = since is None and until is None
        first = self._first_day(now) if is_whole else since
        requests = self._whole_plan(account, now).backfill(since=first, until=until)
        if is_whole:
            self._tables.snapshots.begin_backfill(account_id, now=now, calls=len(requests))
        end = self._clock.monotonic() + RUN
        made, most = 0, len(requests) if limit is None else min(limit, len(requests))
        while made < most and self._clock.monotonic() < end:
            if not self._may_work(account_id):
                return BackfillStep(len(requests) - made, calls=made, is_paused=True)
            part = requests[made : min(made + SLICE, most)]
            self._read(account, part, now, may_fail=True)
            made += len(part)
            if is_whole:
                self._note_progress(account_id, len(requests) - made)
        if is_whole and not requests:
            self._note_progress(account_id, 0)
        return BackfillStep(len(requests) - made, calls=made)

    def progress(self) -> HistoryProgress | None:
        """Return how far snapshots and back-fills are, or None where the database is unavailable."""
        now = self._clock.timestamp()
        try:
            counts = self._tables.snapshots.counts(day=pacific_day(utc(now)).isoformat())
        except DatabaseUnavailableError:
            return None
        return {
            "accounts": counts.accounts,
            "snapshots_today": counts.taken,
            "last_snapshot_at": None if counts.taken_at is None else our_time(counts.taken_at),
            "backfill": {"accounts": counts.filling, "calls": counts.calls, "calls_left": counts.calls_left},
        }

    def _note_progress(self, account_id: str, left: int) -> None:
        """Note the calls that are left of a back-fill under way; log its beginning, each tenth, and its end."""
        known = self._tables.snapshots.find(account_id)
        if known.backfill_begun_at is None or known.backfill_ended_at is not None:
            return
        ended_at = None if left else self._clock.timestamp()
        self._tables.snapshots.note_backfill(account_id, left=left, ended_at=ended_at)
        total = known.backfill_total or 1
        if known.backfill_total and left * 10 // total != (known.backfill_left or 0) * 10 // total:
            log.info("Back-fill", extra={"account": account_id, "calls": total, "calls_left": left})

    def _first_day(self, now: float) -> date:
        return pacific_day(utc(now)) - timedelta(days=self._backfill_days)

    def _has_gaps(self, account: Account, before: AccountSnapshot, now: float) -> bool:
        """Return whether there may be days for a back-fill to read: at first, after long gaps, and once a week.

        `before` is the progress before the present snapshot.
        """
        if not self._backfill_days:
            return False
        if before.day is None or before.backfill_begun_at is None or before.backfill_ended_at is None:
            return True
        today = pacific_day(utc(now))
        if today - date.fromisoformat(before.day) > timedelta(days=SETTLED_DAYS):
            return True
        if not is_weekly_day(account.id, today):
            return False
        return bool(self._whole_plan(account, now).backfill(since=self._first_day(now)))

    def _read_profile(self, account: Account, attempts: int) -> None:
        """Read the profile, which keeps the follower count of the day; in the end the insights go on without it."""
        try:
            self._accounts.profile(account)
        except ProviderError as error:
            if attempts < ATTEMPTS or concerns_all(error):
                raise
            log.warning("A follower count could not be read", extra=log_fields(error, account=account.id))

    def _read_online_followers(self, account: Account, today: date) -> None:
        """Read the followers online of a month, which keeps them; a failure is left for the next week.

        From the first to the last day that is missing it is one call, or two while 30 days are an hour too long, after
        the clock change of autumn; and another one where Instagram refuses the last days.
        """
        days = Window(today - timedelta(days=MOST_DAYS_ONLINE), today - ONE_DAY)
        keys = {history_key(ONLINE_FOLLOWERS, HOUR_OF_DAY, Window(day, day)): day for day in days}
        kept = self._tables.history.states_of(account.id, list(keys))
        missing = [day for key, day in keys.items() if key not in kept or not kept[key].final]
        try:
            self._audience.read(account, [], missing)
        except ProviderError as error:
            log.warning("Followers online could not be read", extra=log_fields(error, account=account.id))

    def _read_demographics(self, account: Account, states: States, today: date) -> None:
        """Read the demographics that nothing has asked for within a week, which keeps them.

        A call for each breakdown. A failure is left for the next day.
        """
        week = {str(today - timedelta(days=days)) for days in range(WEEK)}
        due = [
            DemographicKey(metric, breakdown, KEPT_TIMEFRAME)
            for metric in DEMOGRAPHICS
            for breakdown in AUDIENCE_BREAKDOWNS
            if week.isdisjoint(states.get((metric, (breakdown,)), ()))
        ]
        try:
            self._audience.read(account, due, [])
        except ProviderError as error:
            log.warning("Demographics could not be read", extra=log_fields(error, account=account.id))

    def _daily_plan(self, account: Account, now: float) -> Plan:
        today = pacific_day(utc(now))
        recent, first = today - timedelta(days=RECENT_DAYS), first_day_kept(today)
        states = self._tables.history.states(
            account.id, since=recent.isoformat(), until=today.isoformat(), open_since=first.isoformat()
        )
        return Plan(account.login, states, now)

    def _whole_plan(self, account: Account, now: float) -> Plan:
        today = pacific_day(utc(now))
        first = first_day_kept(today)
        return Plan(
            account.login,
            self._tables.history.states(account.id, since=first.isoformat(), until=today.isoformat()),
            now,
        )

    def _read(self, account: Account, requests: Sequence[InsightsRequest], now: float, *, may_fail: bool) -> None:
        """Read values, which keeps them, and keep the reason of each that is unknown for another cause."""
        if not requests:
            return
        # A value of a settled day that was read before it was settled would be read again and again.
        since = max(float(midnight(pacific_day(utc(now)))), settled_at(last_settled_day(now)))
        request_context.accept_since(since)
        insights = self._reader.read(account, requests)
        for failure in insights.failures.values():
            if not may_fail or failure.code not in FAILED:
                raise failure
        left = Counter(failure.code for failure in insights.failures.values())
        for failure in {each.code: each for each in insights.failures.values()}.values():
            extra = {**log_fields(failure, account=account.id), "values": left[failure.code]}
            log.warning("Values of the history could not be read", extra=extra)
        self._keep_rest(account, requests, insights, since)

    def _keep_rest(
        self, account: Account, requests: Sequence[InsightsRequest], insights: Insights, since: float
    ) -> None:
        """Keep what is not in the history after a reading: why Instagram was not asked, or why its call failed.

        A value that only the cache has, because the database was unavailable, was read at some time after `since`.
        """
        kept = self._tables.history.states_of(account.id, keys_of(requests))
        now = self._clock.timestamp()
        rest: dict[HistoryKey, HistoryValue] = {}
        for request in requests:
            for key in request.value_keys():
                value, stored = insights.metric_values[key], kept.get(history_key(*key))
                if stored is None or (not stored.known and key in insights.failures):
                    known = as_history_value(value, key, since, self._origin) if is_known(as_json(value)) else None
                    rest[history_key(*key)] = known or HistoryValue(
                        None,
                        None,
                        now,
                        value.reason or "unexpected_end_time",
                        False,
                        self._origin.source,
                        self._origin.api_version,
                    )
        if rest:
            self._tables.history.keep(account.id, rest)
