"""The failures with which the gateway itself refuses a report, without a call."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from services.errors import ProviderError, ProviderNotConfiguredError
from services.rendering.plurals import counted, in_digits
from services.reports.price import credits_of
from services.reports.purchase_policy import next_month


class CreditLimitReachedError(ProviderError):
    """The gateway's own limit of credits for this month is reached, so nothing was asked."""

    status = 402
    code = "credit_limit_reached"


class CreditBudgetReachedError(ProviderError):
    """The budget of the caller's key for this month is reached, so nothing was asked."""

    status = 402
    code = "credit_budget_reached"


class LedgerUnavailableError(ProviderError):
    """The ledger database is unavailable, so the gateway buys no report."""

    status = 503
    usual_wait = 5
    code = "ledger_unavailable"


class ReportUncertainError(ProviderError):
    """A call for the report never came back, so it is unknown whether it was charged."""

    status = 503
    code = "report_uncertain"


class ReportNotReadyError(ProviderError):
    """Modash did not have the report ready however often it was asked."""

    status = 503
    code = "report_not_ready"


def not_configured() -> ProviderNotConfiguredError:
    """Return the failure of a report for which there is no key."""
    return ProviderNotConfiguredError(
        "Modash is not configured.", provider="modash", hint="Set MODASH_API_KEY, then restart.", reached=False
    )


def limit_reached(limit: int, *, now: float) -> CreditLimitReachedError:
    """Return the failure of a report for which this month's limit (in thousandths) leaves no room."""
    reset = next_month(now)
    return CreditLimitReachedError(
        f"This month's limit of {in_digits(credits_of(limit))} Modash credits is reached.",
        provider="modash",
        hint=f"It starts again on {_date(reset)} (UTC), or the operator raises MODASH_CREDIT_LIMIT; "
        "GET /credits shows what was spent.",
        retry_after=math.ceil(reset - now),
        reached=False,
    )


def budget_reached(key: str, budget: int, *, now: float) -> CreditBudgetReachedError:
    """Return the failure of a report for which the budget of a key (its id, thousandths) leaves no room."""
    reset = next_month(now)
    return CreditBudgetReachedError(
        f"This month's budget of the key {key}, {in_digits(credits_of(budget))} Modash credits, is reached.",
        provider="modash",
        hint=f"It starts again on {_date(reset)} (UTC), or the operator raises it (`make key`). Reports that are "
        "kept are answered; GET /credits shows what was spent.",
        retry_after=math.ceil(reset - now),
        reached=False,
    )


def damaged_month(month: str) -> LedgerUnavailableError:
    """Return the failure of a report of a month of which it is unknown what was spent in it."""
    return LedgerUnavailableError(
        "It is unknown what was spent this month, so the gateway buys no report.",
        provider="modash",
        hint=f"For the operator: the row of {month} in the table ledger_months holds no number of credits. "
        "Restore a backup, or write the sum of milli_credits of this month's rows of the table ledger into it.",
        reached=False,
    )


def uncertain(seconds: float) -> ReportUncertainError:
    """Return the failure of a report whose call never came back, and for which none is made for some seconds."""
    return ReportUncertainError(
        "A call for this report has not come back, so it is unknown whether it was charged.",
        provider="modash",
        hint="Ask again when the wait is over; until then no second call is made, for it might be paid twice.",
        retry_after=max(1, int(seconds) + 1),
        reached=False,
    )


def not_ready(attempts: int, seconds: int) -> ReportNotReadyError:
    """Return the failure of a report that was not ready however often it was asked for."""
    return ReportNotReadyError(
        f"Modash did not have the report ready, though it was asked {counted(attempts, 'time')}.",
        provider="modash",
        hint="Ask again when the wait is over; the attempts then start over. Nothing was charged.",
        retry_after=seconds,
        reached=False,
    )


def no_ledger() -> LedgerUnavailableError:
    """Return the failure of a report that could not be booked."""
    return LedgerUnavailableError(
        "The ledger database is unavailable, so the gateway buys no report.",
        provider="modash",
        hint="For the operator: GET /readyz shows the fault.",
        reached=False,
    )


def _date(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d")
