"""The list of accounts that a caller may see, each with its health and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from typing_extensions import TypedDict

from services import request_context
from services.accounts.account_states import NOT_DECRYPTED, Health, HealthState, TokenNews, health_of
from services.accounts.checks import Check, overall
from services.accounts.resolver import AccountResolver, ListedAccount
from services.accounts.token_states import TokenStates
from services.answers import Answer, Freshness, Origin, Table
from services.clock import Clock
from services.days import our_time
from services.errors import BusyError
from services.quota import Quota
from services.store.account_health import AccountHealthTable, HealthRow
from services.store.database import DatabaseUnavailableError


class AccountEntry(TypedDict):
    """One account. `id` is null for that of the settings until it was read once, `added_at` is null for it always."""

    id: str | None
    username: str | None
    login: str
    source: str
    added_at: str | None
    health: Health


READABLE = (HealthState.OK, HealthState.EXPIRING)
NEITHER = (HealthState.THROTTLED, HealthState.UNKNOWN)
BEGINNING = "0"  # the cursor before the first id
NAMED_AT_MOST = 10  # accounts of one overview
# What needs a person; the other states pass by themselves, or wait for the first reading.
IN_TROUBLE = (HealthState.NEEDS_LOGIN, HealthState.NOT_READABLE, HealthState.PERMISSIONS_MISSING)
NAMED = (*IN_TROUBLE, HealthState.EXPIRING)
COLUMNS = (*(name for name in AccountEntry.__annotations__ if name != "health"), *Health.__annotations__)


class AccountsSummary(TypedDict):
    """How many accounts there are of each state, and those that need a person first; `more` is where the others are."""

    total: int
    states: dict[str, int]
    worst: list[AccountEntry]
    more: str | None


@dataclass(frozen=True)
class AccountsInBrief:
    """The accounts that a caller may see, in brief; `summary` is None while they cannot be listed."""

    check: Check
    summary: AccountsSummary | None


class AccountList:
    """Lists accounts from what is known of them; no provider is called."""

    def __init__(
        self,
        accounts: AccountResolver,
        health: AccountHealthTable,
        quota: Quota,
        tokens: TokenStates,
        *,
        origin: Origin,
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._health = health
        self._quota = quota
        self._tokens = tokens
        self._origin = origin
        self._clock = clock

    def page(self, states: Collection[str], *, limit: int, cursor: str | None) -> Answer:
        """Return the accounts in some states, or all, ordered by id, from a cursor on; raises `BusyError`."""
        entries = self.entries()
        counts = Counter(entry["health"]["state"] for entry in entries)
        matching = [entry for entry in entries if not states or entry["health"]["state"] in states]
        rest = [entry for entry in matching if cursor is None or _order(entry["id"]) > _order(cursor)]
        found, is_more = rest[:limit], len(rest) > limit
        now = self._clock.timestamp()
        return Answer(
            body={"accounts": found},
            account="",
            origin=self._origin,
            freshness=Freshness(now, now),
            meta={
                "total": len(matching),
                "states": _by_state(counts),
                "next_cursor": (found[-1]["id"] or BEGINNING) if is_more else None,
            },
            table=Table(COLUMNS, ({**entry, **entry["health"]} for entry in found)),
        )

    def overview(self) -> AccountsInBrief:
        """Return the accounts that the caller may see in brief; it never raises, and no provider is called."""
        try:
            entries = self.entries()
        except BusyError as error:
            check = Check("added accounts", False, error.message, error.hint, error.code)
            return AccountsInBrief(check, None)
        counts = Counter(entry["health"]["state"] for entry in entries)
        named = [entry for state in NAMED for entry in entries if entry["health"]["state"] == state]
        more = f"/accounts?state={','.join(NAMED)}" if len(named) > NAMED_AT_MOST else None
        summary: AccountsSummary = {
            "total": len(entries),
            "states": _by_state(counts),
            "worst": named[:NAMED_AT_MOST],
            "more": more,
        }
        return AccountsInBrief(_check([entry for entry in entries if entry["added_at"] is not None]), summary)

    def entries(self) -> list[AccountEntry]:
        """Return every account that the caller may see, ordered by id; raises `BusyError`."""
        caller = request_context.caller()
        # The id of an account that was not read yet is unknown, so only a caller that sees every account may see it.
        visible = [
            account
            for account in self._accounts.listed()
            if caller.accounts is None or (account.id is not None and caller.sees(account.id))
        ]
        if not visible:
            return []
        known = self._known(visible)
        news = self._token_news(visible)
        blocked = self._quota.blocked_until("instagram")
        entries = [self._entry(account, known, blocked, news.get(account.id or "")) for account in visible]
        return sorted(entries, key=lambda entry: _order(entry["id"]))

    def status(self) -> dict[str, object]:
        """Return the health of the accounts that the caller may see, as checks; raises `BusyError`."""
        entries = self.entries()
        checks = (
            Check(
                "account",
                None if entry["health"]["state"] in NEITHER else entry["health"]["state"] in READABLE,
                f"{entry['username'] or entry['id']}: {entry['health']['message'] or 'it can be read'}",
                entry["health"]["next_step"],
                entry["health"]["reason"],
                warns=entry["health"]["state"] == "expiring",
            )
            for entry in entries
        )
        shown = [check.as_json() for check in checks]
        return {
            "status": overall(shown),
            "checked_at": our_time(self._clock.timestamp()),
            "checks": shown,
        }

    def _known(self, accounts: Collection[ListedAccount]) -> Mapping[str, HealthRow] | None:
        ids = [account.id for account in accounts if account.id is not None]
        try:
            return self._health.of(ids) if request_context.caller().accounts is not None else self._health.rows()
        except DatabaseUnavailableError:
            return None

    def _token_news(self, accounts: Collection[ListedAccount]) -> Mapping[str, TokenNews]:
        """Return what callers should know of the tokens, by account; nothing while the database is unavailable."""
        try:
            states = self._tokens.of(accounts)
        except DatabaseUnavailableError:
            return {}
        return {account: news for account, state in states.items() if (news := state.news()) is not None}

    def _entry(
        self,
        account: ListedAccount,
        known: Mapping[str, HealthRow] | None,
        blocked: Mapping[str | None, float],
        token: TokenNews | None,
    ) -> AccountEntry:
        id_ = account.id or ""
        until = [moment for name, moment in blocked.items() if name in {None, account.id}]
        health = health_of(
            id_,
            None if known is None else known.get(id_),
            renewal=self._tokens.renewal(account.login, is_configured=account.added_at is None),
            token=token,
            throttled_until=max(until, default=None),
            failure=account.failure,
            is_known=known is not None,
        )
        return {
            "id": account.id,
            "username": account.username,
            "login": account.login,
            "source": self._origin.source,
            "added_at": None if account.added_at is None else our_time(account.added_at),
            "health": health,
        }


def _by_state(counts: Counter[Any]) -> dict[str, int]:
    return {state.value: counts[state.value] for state in HealthState if counts.get(state.value)}


def _check(added: Sequence[AccountEntry]) -> Check:
    """Return the health of the added accounts as one check."""
    name, number = "added accounts", len(added)
    if not number:
        return Check(name, None, "There are none.", "Add one with `make connect` or `make account`.")
    closed = sum(entry["health"]["reason"] == NOT_DECRYPTED for entry in added)
    if closed:
        why = next(entry["health"] for entry in added if entry["health"]["reason"] == NOT_DECRYPTED)
        message = f"{closed} of {number} cannot be read: {why['message']}"
        return Check(name, False, message, why["next_step"], NOT_DECRYPTED)
    counts = _by_state(Counter(entry["health"]["state"] for entry in added))
    message = f"{number}; {', '.join(f'{count} {state}' for state, count in counts.items())}{_when_checked(added)}"
    worst = next(iter(counts))
    if worst not in NAMED:
        return Check(name, True, message)
    first = next(entry for entry in added if entry["health"]["state"] == worst)
    others = f" GET /accounts?state={worst} lists all." if counts[worst] > 1 else ""
    next_step = f"{first['username'] or first['id']}: {first['health']['next_step'] or ''}{others}"
    is_failing = worst in IN_TROUBLE
    return Check(name, not is_failing, message, next_step, worst, warns=not is_failing)


def _when_checked(added: Sequence[AccountEntry]) -> str:
    """Return when the accounts were checked; those that never were are `unknown` or known from calls for them."""
    moments = sorted(moment for entry in added if (moment := entry["health"]["checked_at"]) is not None)
    if not moments:
        return ""
    if len(added) == 1:
        return f"; checked at {moments[0]}"
    return f"; {len(moments)} checked, between {moments[0]} and {moments[-1]}"


def _order(account: str | None) -> tuple[int, str]:
    """Return the place of an account in the list: ids are numbers of various lengths."""
    return (0, "") if account is None else (len(account), account)
