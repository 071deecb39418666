"""Credits: what the ledger has booked, and what is left of the balance that Modash gave last."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from typing_extensions import TypedDict

from services.caller import Caller, Scope
from services.clock import Clock
from services.days import our_time
from services.reports.balance import CreditBalance
from services.reports.errors import no_ledger
from services.reports.price import PRICE, credits_of
from services.reports.purchase_policy import PurchasePolicy, next_month
from services.store.credit_limits import month_of
from services.store.database import DatabaseUnavailableError
from services.store.ledger import Ledger, UnsettledCall
from services.store.spending import Spending

RULES = (
    f"A report costs {credits_of(PRICE):g} credits, each time that Modash gives it; also one of an unknown shape.",
    "A report that is not ready (retry_later) costs nothing, nor does a refusal or an internal_server_error.",
    "A call that never came back, or whose answer cannot be read, is uncertain and counts as spent.",
    "The price and what is free are taken from public sources; Modash has not confirmed them. Others may use the same "
    "key, so the balance may differ.",
)


class Spent(TypedDict):
    """What one caller caused in one month: calls by how they ended, and credits."""

    month: str
    caller: str
    charged: int
    free: int
    uncertain: int
    open: int
    credits: float


class UnsettledCharge(TypedDict):
    """A call that may have been charged; until `held_until` no other is made for the creator."""

    creator: str
    caller: str
    state: Literal["open", "uncertain"]
    code: str | None
    credits: float
    opened_at: str
    held_until: str | None


class Balance(TypedDict):
    """The last balance that Modash gave, when, and what is left of it by now; null if not known."""

    credits: float | None
    credits_left: float | None
    as_of: str | None


class Limited(TypedDict):
    """Credits spent against a limit; null without one, or where the sum of the month is damaged."""

    limit: float | None
    spent: float | None
    left: float | None


class Budget(Limited):
    """What the caller has spent in this month, against the budget of its key."""

    caller: str


class Overview(Limited):
    """The ledger; of all callers, or of the caller alone."""

    source: str
    month: str
    resets_at: str
    budget: Budget
    months: list[Spent]
    uncertain: list[UnsettledCharge]
    balance: Balance
    rules: list[str]


class Credits:
    """Reads the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        spending: Spending,
        balance: CreditBalance,
        *,
        policy: PurchasePolicy,
        source: str,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._spending = spending
        self._balance = balance
        self._policy = policy
        self._source = source
        self._clock = clock

    def overview(self, caller: Caller) -> Overview:
        """Return what was spent and what is left; makes no call.

        A caller that does not see the whole gateway gets its own rows only, and its own budget for the limit.
        """
        sees_all = caller.may(Scope.ADMIN) and caller.accounts is None
        only = None if sees_all else caller.name
        try:
            self._ledger.expire(self._source, longest_call=self._policy.longest_call)
            now = self._clock.timestamp()
            own = self._spending.of_caller(caller.name, self._source, month_of(now), price=PRICE)
            limit: int | None = caller.credit_limit
            spent: int | None = own
            if sees_all:
                limit, spent = self._policy.limit, self._spending.of_month(self._source, month_of(now))
            left = self._balance.left()
            return {
                "source": self._source,
                "month": month_of(now),
                **_against(limit, spent),
                "resets_at": _time(next_month(now)),
                "budget": {"caller": caller.name, **_against(caller.credit_limit, own)},
                "months": self._months(only),
                "uncertain": [
                    self._unsettled_charge(row) for row in self._spending.unsettled(self._source, caller=only)
                ],
                "balance": {
                    "credits": left.balance,
                    "credits_left": left.credits,
                    "as_of": None if left.as_of is None else _time(left.as_of),
                },
                "rules": list(RULES),
            }
        except DatabaseUnavailableError:
            raise no_ledger() from None

    def _months(self, caller: str | None) -> list[Spent]:
        found: dict[tuple[str, str], Spent] = {}
        thousandths: dict[tuple[str, str], int] = {}
        for each in self._spending.sums(self._source, caller=caller):
            key = each.month, each.caller
            none: Spent = {
                "month": each.month,
                "caller": each.caller,
                "charged": 0,
                "free": 0,
                "uncertain": 0,
                "open": 0,
                "credits": 0.0,
            }
            spent = found.setdefault(key, none)
            spent[each.state] = each.calls  # type: ignore[literal-required]  # The states are among its keys.
            thousandths[key] = thousandths.get(key, 0) + each.milli_credits
            spent["credits"] = credits_of(thousandths[key])
        return list(found.values())

    def _unsettled_charge(self, row: UnsettledCall) -> UnsettledCharge:
        return {
            "creator": row.creator,
            "caller": row.caller,
            "state": "open" if row.state == "open" else "uncertain",
            "code": row.code,
            "credits": credits_of(row.milli_credits),
            "opened_at": _time(row.opened_at),
            "held_until": None if row.settled_at is None else _time(row.settled_at + self._policy.hold),
        }


def _time(moment: float) -> str:
    return our_time(datetime.fromtimestamp(moment, UTC))


def _against(limit: int | None, spent: int | None) -> Limited:
    return {
        "limit": None if limit is None else credits_of(limit),
        "spent": None if spent is None else credits_of(spent),
        "left": None if limit is None or spent is None else credits_of(max(0, limit - spent)),
    }
