"""What buys reports from Modash and answers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from config import Config
from services.cache.cache import Cache
from services.clients.guard.guard import Guard
from services.clients.http import OnCall
from services.clients.modash.client import ModashClient
from services.clock import Clock
from services.executors import Executor
from services.notifications.notifications import Notifications
from services.performance_data import PerformanceData
from services.redaction import Redaction
from services.reports.announcements import ReportAnnouncements
from services.reports.balance import CreditBalance
from services.reports.call_failures import CallFailures
from services.reports.purchase_policy import PurchasePolicy
from services.reports.purchasing import ReportPurchasing
from services.reports.renewals import ReportRenewals
from services.reports.report_answers import ReportAnswers
from services.reports.settlements import Settlements
from services.store.store import Store
from services.wiring.provider_clients import modash_client, purchase_policy


@dataclass(frozen=True, kw_only=True)
class ReportParts:
    """What other parts use of all that buys and answers reports."""

    modash: ModashClient | None
    policy: PurchasePolicy
    balance: CreditBalance
    settlements: Settlements
    purchasing: ReportPurchasing
    renewals: ReportRenewals
    performance_data: PerformanceData


def report_parts(
    config: Config,
    clock: Clock,
    *,
    store: Store,
    cache: Cache,
    guard: Guard,
    executor: Executor,
    notifications: Notifications,
    redaction: Redaction,
    on_call: OnCall,
    on_use: Callable[[], object],
) -> ReportParts:
    """Build them; no call is made."""
    report_source = report_source_of(config)
    modash = (
        modash_client(config, clock, guard=guard, redaction=redaction, on_call=on_call)
        if config.modash_configured
        else None
    )
    policy = purchase_policy(config)
    reports_changed = partial(cache.announce_change, report_source)
    balance = CreditBalance(
        modash,
        store,
        policy=policy,
        source=report_source,
        clock=store.clock,
        on_change=reports_changed,
        cache=cache,
    )
    failures = CallFailures(cache, report_source)
    settlements = Settlements(
        store,
        redaction,
        policy=policy,
        announcements=ReportAnnouncements(notifications),
        clock=store.clock,
        on_change=reports_changed,
    )
    purchasing = ReportPurchasing(
        modash,
        store,
        settlements,
        policy=policy,
        source=report_source,
        announcements=ReportAnnouncements(notifications),
        failures=failures,
        balance=balance,
        redaction=redaction,
        clock=store.clock,
        cache=cache,
    )
    renewals = ReportRenewals(purchasing, failures, clock)
    performance_data = PerformanceData(
        purchasing,
        renewals,
        answers=ReportAnswers(report_source, store.reports, balance=balance, redaction=redaction, clock=clock),
        failures=failures,
        policy=policy,
        executor=executor,
        clock=store.clock,
        on_use=on_use,
    )
    return ReportParts(
        modash=modash,
        policy=policy,
        balance=balance,
        settlements=settlements,
        purchasing=purchasing,
        renewals=renewals,
        performance_data=performance_data,
    )


def report_source_of(config: Config) -> str:
    """Return the source of reports and ledger rows: a simulated report must never be mistaken for a paid one."""
    return "sandbox" if config.sandbox else "modash"
