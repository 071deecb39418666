"""The accounts that granted access; for now the one of the settings."""

from __future__ import annotations

import hashlib
from functools import partial

from services.clients.graph import Account, GraphClient
from services.errors import AccountUnknownError, ProviderNotConfiguredError
from services.memory import Memo, Memory
from services.memory.rules import PROFILE, PROFILE_TEXT, Json, Lasting
from services.parallel import Parallel

DOUBTED = Lasting(60)  # seconds; a name that does not match may be the account's new one


class Accounts:
    """Finds the account a caller means, and reads its profile."""

    def __init__(
        self,
        graph: GraphClient,
        parallel: Parallel,
        memory: Memory,
        *,
        account_id: str,
        page_id: str,
        token: str,
        login: str,
    ) -> None:
        self._graph = graph
        self._parallel = parallel
        self._memory = memory
        self._account_id = account_id
        self._page_id = page_id
        self._token = token
        self._login = login

    def find(self, reference: str | None) -> Account:
        """Return the account with this id or username, or the configured one where none is named.

        Raises `ProviderNotConfiguredError` without a token, `AccountUnknownError` for any other account.
        """
        if not self._token:
            raise ProviderNotConfiguredError(
                "Instagram is not configured.",
                provider="instagram",
                hint="Set ACCESS_LONG_LIVED_TOKEN and INSTAGRAM_ACCOUNT_ID or PAGE_ID, then restart.",
            )
        account = Account(self._account_id or self._linked(), self._token, self._login)
        if reference is None or reference == account.id:
            return account
        if not self._is_username(reference.removeprefix("@").lower(), account):
            raise AccountUnknownError(
                "There is no such account here.", hint="Leave `account` out to ask for the configured one."
            )
        return account

    def profile(self, account: Account, *, rule: Lasting = PROFILE) -> Memo:
        """Return `username` and `followers_count` of an account; either may be missing."""

        def fetch(_kept: Memo | None) -> Json:
            profile = self._parallel.start(partial(self._graph.profile, account), lane=account.id).result()
            return {name: profile.get(name) for name in ("username", "followers_count")}

        return self._memory.recall(account.id, "profile", rule, fetch)

    def _linked(self) -> str:
        """Return the id of the account that belongs to the page, or to the token of the Instagram login."""
        by_token = self._login == "instagram"

        def ask() -> str:
            if by_token:
                return self._graph.own_account(self._token)
            return self._graph.linked_account(self._page_id, token=self._token)

        def fetch(_kept: Memo | None) -> Json:
            return {"id": self._parallel.start(ask, lane=self._page_id).result()}

        owner = fingerprint(self._token) if by_token else self._page_id
        return str(self._memory.recall(owner, "account", PROFILE_TEXT, fetch).value["id"])

    def _is_username(self, name: str, account: Account) -> bool:
        if _username(self.profile(account, rule=PROFILE_TEXT)) == name:
            return True
        return _username(self.profile(account, rule=DOUBTED)) == name


def _username(profile: Memo) -> str:
    return str(profile.value.get("username") or "").lower()


def fingerprint(secret: str) -> str:
    """Return what tells one secret from another without giving it away."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]
