"""Credits: what the ledger says was spent, beside what the provider says is left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from typing_extensions import TypedDict

from services.clock import Clock
from services.days import our_time
from services.report_refusals import no_ledger
from services.store import Ledger, Reports, Spending, StoreAway
from services.store.ledger import month_of
from services.store.spending import Unsettled
from services.terms import PRICE, Terms, credits_of

RULES = (
    f"A report costs {credits_of(PRICE):g} credits, each time that Modash gives it; also one of an unknown shape.",
    "A report that is not ready (retry_later) costs nothing, nor does a refusal or an internal_server_error.",
    "A call that never came back, or whose answer cannot be read, is uncertain and counts as spent.",
    "The price and what is free are as Modash's users tell; others may use the same key, so the balance may differ.",
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


class Doubt(TypedDict):
    """A call of which nobody knows what it cost; until `held_until` no other is made for the creator."""

    creator: str
    caller: str
    state: Literal["open", "uncertain"]
    code: str | None
    credits: float
    opened_at: str
    held_until: str | None


class Balance(TypedDict):
    """What Modash last told of the credits left; null where it did not."""

    credits: float | None
    read_at: str | None


class Overview(TypedDict):
    """The ledger."""

    source: str
    month: str
    limit: float
    spent: float
    left: float
    months: list[Spent]
    uncertain: list[Doubt]
    balance: Balance
    rules: list[str]


class Credits:
    """Reads the ledger."""

    def __init__(
        self, ledger: Ledger, spending: Spending, reports: Reports, *, terms: Terms, account: str, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._spending = spending
        self._reports = reports
        self._terms = terms
        self._account = account
        self._clock = clock

    def overview(self) -> Overview:
        """Return what was spent and what is left; nobody is asked."""
        now = self._clock.now().timestamp()
        try:
            self._ledger.expire(self._account, self._terms, now=now)
            spent = self._spending.of_month(self._account, month_of(now))
            balance = self._reports.balance(self._account)
            return {
                "source": self._account,
                "month": month_of(now),
                "limit": credits_of(self._terms.limit),
                "spent": credits_of(spent),
                "left": credits_of(max(0, self._terms.limit - spent)),
                "months": self._months(),
                "uncertain": [self._doubt(row) for row in self._spending.unsettled(self._account)],
                "balance": {
                    "credits": None if balance is None else balance.credits,
                    "read_at": None if balance is None else _time(balance.read_at),
                },
                "rules": list(RULES),
            }
        except StoreAway:
            raise no_ledger() from None

    def _months(self) -> list[Spent]:
        found: dict[tuple[str, str], Spent] = {}
        thousandths: dict[tuple[str, str], int] = {}
        for each in self._spending.sums(self._account):
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

    def _doubt(self, row: Unsettled) -> Doubt:
        return {
            "creator": row.creator,
            "caller": row.caller,
            "state": "open" if row.state == "open" else "uncertain",
            "code": row.code,
            "credits": credits_of(row.milli_credits),
            "opened_at": _time(row.opened_at),
            "held_until": None if row.settled_at is None else _time(row.settled_at + self._terms.hold),
        }


def _time(moment: float) -> str:
    return our_time(datetime.fromtimestamp(moment, UTC))
