"""Why the gateway itself gives no report, in words."""

from __future__ import annotations

from services.errors import CreditLimitReachedError, LedgerUnavailableError, ReportNotReadyError, ReportUncertainError
from services.terms import credits_of


def limit_reached(limit: int) -> CreditLimitReachedError:
    """Return the failure of a report for which this month's limit (in thousandths) leaves no room."""
    return CreditLimitReachedError(
        f"This month's limit of {credits_of(limit):g} Modash credits is reached.",
        provider="modash",
        hint="It begins anew with the next month (UTC), or whoever runs the gateway raises MODASH_CREDIT_LIMIT; "
        "GET /credits tells what was spent.",
        reached=False,
    )


def uncertain(seconds: float) -> ReportUncertainError:
    """Return the failure of a report whose call never came back, and for which none is made for some seconds."""
    return ReportUncertainError(
        "A call for this report has not come back, so nobody knows whether it was paid.",
        provider="modash",
        hint="Ask again when the wait is over; until then no second call is made, for it might be paid twice.",
        retry_after=max(1, int(seconds) + 1),
        reached=False,
    )


def not_ready(attempts: int, seconds: int) -> ReportNotReadyError:
    """Return the failure of a report that was not ready however often it was asked for."""
    return ReportNotReadyError(
        f"Modash did not have the report ready, though it was asked {attempts} times.",
        provider="modash",
        hint="Ask again when the wait is over; it then begins anew. Nothing was charged.",
        retry_after=seconds,
        reached=False,
    )


def no_ledger() -> LedgerUnavailableError:
    """Return the failure of a report that could not be booked."""
    return LedgerUnavailableError(
        "The ledger is away, and nothing is paid that cannot be booked.",
        provider="modash",
        hint="Whoever runs the gateway: GET /readyz tells what is wrong with the store.",
        reached=False,
    )
