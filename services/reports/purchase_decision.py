"""Whether a report is bought now, and if not, why not: one decision for the service and the ledger.

Credits that are spent, of the month or of a caller, are found out by the ledger (`Ledger.open`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from services.clock import is_ahead
from services.reports.purchase_policy import PurchasePolicy
from services.store.ledger import CreatorRecord, UnsettledCall
from services.store.reports import KeptReport, PendingReport


class ReportState(StrEnum):
    """The values are those of `outcome` in a dry run."""

    KEPT = "kept"  # A report serves as it is.
    IN_FLIGHT = "in_flight"  # A thread or process is buying it.
    UNCERTAIN = "uncertain"  # A call never came back, and its hold is not over.
    PENDING = "pending"  # Modash is making it; the next attempt is not due yet.
    GIVEN_UP = "given_up"  # Modash did not have it ready at any attempt; the next caller may begin again later.
    BUY = "ask"  # Nothing prevents a purchase.
    # Known only to the ledger, the cache and the database:
    LIMIT = "limit"  # The credits of this month are spent.
    BUDGET = "budget"  # Those of the caller's own budget are.
    UNKNOWN_CREATOR = "unknown"  # Modash said within the hour that there is no such creator.
    DATABASE_UNAVAILABLE = "away"


def decide(
    report: KeptReport | None,
    pending: PendingReport | None,
    unsettled: Sequence[UnsettledCall],
    policy: PurchasePolicy,
    *,
    now: float,
    not_before: float = 0.0,
) -> ReportState:
    """Return the state of a creator's report, from what the store holds of it.

    `unsettled` are the rows of the ledger that are open or uncertain, `not_before` is the earliest moment (Unix
    seconds) at which a report that serves may have been fetched. Pure, because the ledger runs it inside its
    transaction: what the service sees and what the ledger allows cannot differ.
    """
    if report is not None and policy.serves(report.fetched_at, now=now, not_before=not_before):
        return ReportState.KEPT
    if any(is_under_way(call, policy, now=now) for call in unsettled):
        return ReportState.IN_FLIGHT
    if any(now < over_at(call, policy) + policy.hold for call in unsettled):
        return ReportState.UNCERTAIN
    if pending is None or is_ahead(pending.asked_at, now):
        return ReportState.BUY
    if policy.asked_again_at(pending.asked_at, pending.attempts) <= now:
        return ReportState.BUY
    return ReportState.GIVEN_UP if policy.has_given_up(pending.attempts) else ReportState.PENDING


def obstacle(
    record: CreatorRecord, policy: PurchasePolicy, *, now: float, not_before: float = 0.0
) -> ReportState | None:
    """Return what prevents a purchase, or None: the check that the ledger makes in its transaction."""
    state = decide(*record, policy, now=now, not_before=not_before)
    return None if state is ReportState.BUY else state


def held_until(unsettled: Sequence[UnsettledCall], policy: PurchasePolicy, *, now: float) -> float:
    """Return until when unsettled calls may keep a creator from being bought (Unix seconds).

    A call that is under way cannot be distinguished from one whose process died, so the hold counts for both: a caller
    who comes back sooner would be refused again.
    """
    return max((over_at(call, policy) + policy.hold for call in unsettled), default=now)


def is_under_way(call: UnsettledCall, policy: PurchasePolicy, *, now: float) -> bool:
    """Return whether a call may still come back."""
    return call.settled_at is None and now < over_at(call, policy)


def over_at(call: UnsettledCall, policy: PurchasePolicy) -> float:
    """Return when a call was over (Unix seconds).

    An open row that is older than the longest call belongs to a process that died. It is unknown whether Modash
    has charged that call, so it holds its creator like one without a readable answer.
    """
    return call.opened_at + policy.longest_call if call.settled_at is None else call.settled_at
