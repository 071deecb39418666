"""The list of accounts that a caller may see, each with its health and the next step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from typing_extensions import TypedDict

from services import request_context
from services.accounts.checks import Check
from services.accounts.health import Health, HealthState, TokenNews, health_of
from services.accounts.resolver import AccountResolver, ListedAccount
from services.accounts.token_states import TokenStates
from services.answers import Answer, Freshness, Origin, Table
from services.clock import Clock
from services.days import our_time
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
COLUMNS = (*(name for name in AccountEntry.__annotations__ if name != "health"), *Health.__annotations__)


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
                "states": {state.value: counts[state.value] for state in HealthState if counts[state.value]},
                "next_cursor": (found[-1]["id"] or BEGINNING) if is_more else None,
            },
            table=Table(COLUMNS, [{**entry, **entry["health"]} for entry in found]),
        )

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
        checks = [
            Check(
                "account",
                None if entry["health"]["state"] in NEITHER else entry["health"]["state"] in READABLE,
                f"{entry['username'] or entry['id']}: {entry['health']['message'] or 'it can be read'}",
                entry["health"]["next_step"],
                entry["health"]["reason"],
                warns=entry["health"]["state"] == "expiring",
            )
            for entry in entries
        ]
        return {
            "status": "failing" if any(check.ok is False for check in checks) else "ok",
            "checked_at": our_time(self._clock.timestamp()),
            "checks": [check.as_json() for check in checks],
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


def _order(account: str | None) -> tuple[int, str]:
    """Return the place of an account in the list: ids are numbers of various lengths."""
    return (0, "") if account is None else (len(account), account)
