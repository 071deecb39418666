"""Which accounts subscribed the app to their webhooks, by login."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from simulator.world.accounts import Account

LOGINS = ("facebook", "instagram")


@dataclass(frozen=True)
class Subscription:
    """The fields that were subscribed to: of the Page for the Facebook login, else of the account itself."""

    account: Account
    fields: tuple[str, ...]
    since: float


class Subscriptions:
    """All subscriptions, by login and account."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all."""
        with self._lock:
            self._by_login: dict[str, dict[str, Subscription]] = {login: {} for login in LOGINS}

    def subscribe(self, login: str, account: Account, fields: Sequence[str], *, now: float) -> None:
        """Note a subscription; one that there was keeps its time and gets the new fields instead of its own."""
        with self._lock:
            known = self._by_login[login].get(account.id)
            since = known.since if known else now
            self._by_login[login][account.id] = Subscription(account, tuple(fields), since)

    def unsubscribe(self, login: str, account: Account) -> None:
        """Forget the subscription of an account."""
        with self._lock:
            self._by_login[login].pop(account.id, None)

    def of(self, login: str, account: Account) -> Subscription | None:
        """Return the subscription of an account."""
        with self._lock:
            return self._by_login[login].get(account.id)

    def all_of(self, login: str) -> list[Subscription]:
        """Return the subscriptions of a login."""
        with self._lock:
            return list(self._by_login[login].values())
