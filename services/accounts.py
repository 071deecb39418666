"""The accounts that granted access: the one of the settings, and those that were added."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from services.account_book import AccountBook
from services.clients.graph import Account, GraphClient
from services.errors import (
    AccountUnknownError,
    BusyError,
    InvalidRequestError,
    ProviderError,
    ProviderNotConfiguredError,
)
from services.memory import Memo, Memory
from services.memory.rules import OWNER, PROFILE, PROFILE_TEXT, Json, Lasting
from services.parallel import Parallel
from services.store import AccountRow

DOUBTED = Lasting(60)  # seconds; a name that does not match may be the account's new one


@dataclass(frozen=True)
class Configured:
    """What the settings tell of their account; without a token there is none."""

    token: str = field(repr=False)
    login: str
    account_id: str
    page_id: str


class Accounts:
    """Finds the account a caller means, and reads its profile."""

    def __init__(
        self, graph: GraphClient, parallel: Parallel, memory: Memory, *, configured: Configured, book: AccountBook
    ) -> None:
        self._graph = graph
        self._parallel = parallel
        self._memory = memory
        self._own = configured
        self._book = book

    def find(self, reference: str | None) -> Account:
        """Return the account with this id or username; where none is named the configured one, or the only one.

        Raises `ProviderNotConfiguredError` where there is no account at all or its token cannot be opened,
        `InvalidRequestError` where several could be meant, `AccountUnknownError` for any that is not here.
        """
        if self._own.token and reference in {None, self._own.account_id}:
            return self._configured()
        rows = self._book.rows()
        if not rows and not self._own.token:
            raise ProviderNotConfiguredError(
                "Instagram is not configured.",
                provider="instagram",
                hint="Set ACCESS_LONG_LIVED_TOKEN and INSTAGRAM_ACCOUNT_ID or PAGE_ID, then restart; "
                "or add an account with `make account`.",
            )
        if reference is None:
            return self._book.opened(_only(rows))
        # Whoever is in the table is found there, whatever may be wrong with the configured account.
        row = self._book.row(reference)
        if row is not None:
            return self._book.opened(row)
        if self._own.token:
            account = self._configured()
            if reference == account.id or self._is_username(reference.removeprefix("@").lower(), account):
                return account
        raise AccountUnknownError(
            "There is no such account here.",
            hint="Check the id or username; where there is one account only, `account` may be left out.",
        )

    @property
    def configured(self) -> bool:
        """Whether there is an account at all; none that is added counts while the store is away from the start."""
        try:
            return bool(self._own.token or self._book.rows())
        except BusyError:
            return False

    def all(self) -> list[Account]:
        """Return every account that can be read now, the configured one first; raises `BusyError`."""
        looks: list[Callable[[], Account]] = [self._configured] if self._own.token else []
        looks += [partial(self._book.opened, row) for row in self._book.rows()]
        found: dict[str, Account] = {}
        for look in looks:
            try:
                account = look()
            except ProviderError:
                continue  # One that cannot be found or opened stops none of the others.
            found.setdefault(account.id, account)
        return list(found.values())

    def added(self) -> tuple[int, int]:
        """Return how many accounts were added, and of how many the token cannot be opened; raises `BusyError`."""
        return len(self._book.rows()), self._book.closed()

    def profile(self, account: Account, *, rule: Lasting = PROFILE) -> Memo:
        """Return `username` and `followers_count` of an account; either may be missing."""

        def fetch(_kept: Memo | None) -> Json:
            profile = self._parallel.start(partial(self._graph.profile, account), lane=account.id).result()
            self._book.saw_username(account.id, str(profile.get("username") or "").lower())
            return {name: profile.get(name) for name in ("username", "followers_count")}

        return self._memory.recall(account.id, "profile", rule, fetch)

    def _configured(self) -> Account:
        own = self._own
        return Account(own.account_id or self._linked(), own.token, own.login)

    def _linked(self) -> str:
        """Return the id of the account that belongs to the page, or to the token of the Instagram login."""
        own, by_token = self._own, self._own.login == "instagram"

        def ask() -> str:
            if by_token:
                return self._graph.own_account(own.token)
            return self._graph.linked_account(own.page_id, token=own.token)

        def fetch(_kept: Memo | None) -> Json:
            return {"id": self._parallel.start(ask, lane=own.page_id).result()}

        owner = fingerprint(own.token) if by_token else own.page_id
        return str(self._memory.recall(owner, "account", OWNER, fetch).value["id"])

    def _is_username(self, name: str, account: Account) -> bool:
        if _username(self.profile(account, rule=PROFILE_TEXT)) == name:
            return True
        return _username(self.profile(account, rule=DOUBTED)) == name


def _only(rows: Sequence[AccountRow]) -> AccountRow:
    if len(rows) > 1:
        raise InvalidRequestError(
            "account is missing: there are several here.",
            hint="Give the id or the username; whoever runs the gateway lists them with `make account ARGS=list`.",
        )
    return rows[0]


def _username(profile: Memo) -> str:
    return str(profile.value.get("username") or "").lower()


def fingerprint(secret: str) -> str:
    """Return what tells one secret from another without giving it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]
