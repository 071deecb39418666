"""The accounts that granted access; for now the one of the settings."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future
from functools import partial

from services.clients.graph import Account, GraphClient
from services.clock import Clock
from services.errors import AccountUnknownError, ProviderNotConfiguredError
from services.parallel import Parallel

USERNAME_KEPT_FOR = 86_400  # seconds; a profile's text changes seldom
USERNAME_DOUBTED_AFTER = 60  # seconds; a name that does not match may be the account's new one


class Accounts:
    """Finds the account a caller means; what has to be asked of Instagram for it is asked once."""

    def __init__(
        self, graph: GraphClient, parallel: Parallel, *, account_id: str, page_id: str, token: str, clock: Clock
    ) -> None:
        self._graph = graph
        self._parallel = parallel
        self._account_id = account_id
        self._page_id = page_id
        self._token = token
        self._clock = clock
        self._lock = threading.Lock()
        self._finding: Future[str] | None = None
        self._username = ("", -math.inf)  # and when it was read

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
        account = Account(self._id(), self._token)
        if reference is None or reference == account.id:
            return account
        name = reference.removeprefix("@").lower()
        if not self._is_username(name, account):
            raise AccountUnknownError(
                "There is no such account here.", hint="Leave `account` out to ask for the configured one."
            )
        return account

    def _id(self) -> str:
        """Return the account's id; who asks while it is being found waits for the same call."""
        with self._lock:
            if self._account_id:
                return self._account_id
            if self._finding is None or self._finding.done():
                self._finding = self._parallel.start(self._ask_id)
            finding = self._finding
        self._account_id = finding.result()
        return self._account_id

    def _ask_id(self) -> str:
        if self._graph.login.name == "instagram":
            return self._graph.own_account(self._token)
        return self._graph.linked_account(self._page_id, token=self._token)

    def _is_username(self, name: str, account: Account) -> bool:
        username, read_at = self._username
        age = self._clock.monotonic() - read_at
        if age >= (USERNAME_KEPT_FOR if name == username else USERNAME_DOUBTED_AFTER):
            profile = self._parallel.start(partial(self._graph.profile, account)).result()
            username = str(profile.get("username") or "").lower()
            if username:
                self._username = (username, self._clock.monotonic())
        return bool(username) and name == username
