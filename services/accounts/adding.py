"""Adds accounts: reads id and username with the new token, which proves that it works, and stores it encrypted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from services.accounts.token_encryption import TokenEncryption
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account, token_of_page
from services.clients.graph.tokens import TokenClient
from services.clock import Clock
from services.errors import InsightsError, InvalidRequestError, ProviderError, ProviderRateLimitedError
from services.executors import Executor
from services.store.account_health import AccountHealthTable, CallRow
from services.store.accounts import AccountRow, AccountTable
from services.store.database import DatabaseUnavailableError


class AdditionState(StrEnum):
    """What has become of an account that was to be added."""

    ADDED = "added"
    REPLACED = "replaced"
    SKIPPED = "skipped"  # It was added before with the same token.
    FAILED = "failed"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True)
class NewAccount:
    """An account to add; of the Facebook login `page_id` or `id` is needed. `line` is that of a file."""

    token: str = field(repr=False)
    login: str
    page_id: str = ""
    id: str = ""
    username: str = ""
    line: int | None = None


@dataclass(frozen=True)
class Added:
    """What has become of one account: its row, or the failure."""

    new: NewAccount
    outcome: AdditionState
    row: AccountRow | None = None
    failure: InsightsError | None = None


OnAdded = Callable[[Added], None]


class AccountAdding:
    """Adds accounts one at a time, or many side by side."""

    def __init__(
        self,
        graph: GraphClient,
        tokens: TokenClient,
        table: AccountTable,
        health: AccountHealthTable,
        *,
        token_encryption: TokenEncryption,
        clock: Clock,
        on_added: Callable[[str], None],
    ) -> None:
        """Build it; `on_added` gets the id of each account that was added, also again."""
        self._graph = graph
        self._tokens = tokens
        self._table = table
        self._health = health
        self._encryption = token_encryption
        self._clock = clock
        self._on_added = on_added

    def add(self, new: NewAccount, *, trusted: bool = False) -> AccountRow:
        """Add an account, or replace its token; what is not given is read from Instagram, `trusted` or not at all.

        Raises the `ProviderError` of the refusal, or `InvalidRequestError` where the token is of another account.
        """
        sealed = self._encryption.seal(new.token)  # First, so that the redaction knows it before a provider does.
        found = new.id or self._id(new)
        account = Account(found, new.token, new.login, new.page_id)
        username = new.username if trusted and new.username else self._username(account, is_known=bool(new.id))
        name = (username or new.username).removeprefix("@").lower()
        row = AccountRow(found, name, new.login, new.page_id, sealed, self._clock.timestamp())
        self._table.put(row)
        self._on_added(row.id)
        if not (trusted and new.username):
            self._health.called([CallRow(row.id, answered_at=self._clock.timestamp())])
        return row

    def add_many(self, listed: Sequence[NewAccount], executor: Executor, on_added: OnAdded) -> list[Added]:
        """Add accounts side by side; each is stored as soon as it was read, and reported on the thread that did it.

        Accounts that were added before with the same token are skipped without a call. A throttle of the whole app
        ends it: what has not begun by then is not tried. Raises `DatabaseUnavailableError`.
        """
        rows = self._table.rows()
        there = {row.id for row in rows}
        by_token: dict[str, list[AccountRow]] = {}
        for row in rows:
            with suppress(ProviderError):  # A token that no key opens is replaced.
                by_token.setdefault(self._encryption.open(row.token), []).append(row)
        results: dict[int, Added] = {}
        for index, new in enumerate(listed):
            if (skipped := _skipped(new, by_token.get(new.token, ()))) is not None:
                results[index] = skipped
                on_added(skipped)
        left = [index for index in range(len(listed)) if index not in results]
        calls = [partial(self._attempt, listed[index], there) for index in left]
        added = executor.gather(calls, fatal=_is_for_all, on_result=lambda _, result: on_added(result))
        for index, result in zip(left, added, strict=True):
            if isinstance(result, ProviderError):
                results[index] = Added(listed[index], AdditionState.NOT_TRIED, failure=result)
            else:
                results[index] = result
        return [results[index] for index in range(len(listed))]

    def pages_of(self, token: str) -> tuple[list[NewAccount], list[str], bool]:
        """Return the accounts behind the pages of a user, each with the page's own token.

        Also the names of the pages that show no account, and whether the list is complete. A token of a page does not
        expire if that of the user is long-lived; so a short-lived one is exchanged first, where the app is configured.
        """
        if self._tokens.can_inspect():
            details = self._tokens.details(token)
            if details.may_be_short_lived(self._clock.timestamp()):
                token = self._tokens.exchange_short("facebook", token).token
        listed = self._tokens.pages(token)
        found = [
            NewAccount(token_of_page(page.token, token), "facebook", page.id, page.account_id, page.username or "")
            for page in listed.pages
            if page.account_id is not None
        ]
        without = [page.name or page.id for page in listed.pages if page.account_id is None]
        return found, without, listed.is_complete

    def _attempt(self, new: NewAccount, there: Collection[str]) -> Added:
        try:
            row = self.add(new)
        except ProviderRateLimitedError as error:
            if _is_for_all(error):
                raise
            return Added(new, AdditionState.FAILED, failure=error)
        except InsightsError as error:
            return Added(new, AdditionState.FAILED, failure=error)
        except DatabaseUnavailableError as error:
            hint = "Give the command again: it goes on here."
            return Added(
                new, AdditionState.FAILED, failure=InsightsError(f"The database is unavailable: {error}", hint=hint)
            )
        return Added(new, AdditionState.REPLACED if row.id in there else AdditionState.ADDED, row=row)

    def _id(self, new: NewAccount) -> str:
        if new.login == "instagram":
            return self._graph.own_account(new.token)
        if not new.page_id:
            raise InvalidRequestError("A token of the login with Facebook needs --page-id or --id.")
        return self._graph.linked_account(new.page_id, token=new.token)

    def _username(self, account: Account, *, is_known: bool) -> str:
        """Read the account's name, which also proves that the token can read the account."""
        if account.login == "instagram" and is_known and (own := self._graph.own_account(account.token)) != account.id:
            raise InvalidRequestError(f"The token is of account {own}, not of {account.id}.", hint="Leave the id out.")
        return str(self._graph.profile(account).get("username") or "")


def _skipped(new: NewAccount, rows: Sequence[AccountRow]) -> Added | None:
    """Return that an account is among those with its token, or None where that is not known without a call."""
    for row in rows:
        is_named = row.id == new.id if new.id else bool(new.page_id) and row.page_id == new.page_id
        if row.login == new.login and (is_named or (new.login == "instagram" and not new.id)):
            return Added(new, AdditionState.SKIPPED, row=row)
    return None


def _is_for_all(error: ProviderError) -> bool:
    return isinstance(error, ProviderRateLimitedError) and error.whole_app
