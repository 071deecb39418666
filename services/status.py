"""The status: checks of token, account, insights, API version and Modash key, each with the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import cast

from services.accounts.checks import OTHER_ACCOUNT, AccountChecks, Check, attempt
from services.accounts.current_tokens import fingerprint
from services.accounts.health import NOT_DECRYPTED
from services.accounts.resolver import AccountResolver, ConfiguredAccount
from services.cache.cache import Cache
from services.cache.entries import CacheEntry
from services.cache.policies import STATUS_CHECKS, Json
from services.clients.graph.client import GraphClient
from services.clients.modash.client import ModashClient
from services.days import our_time

__all__ = ["Check", "Status"]


class Status:
    """Checks everything that the gateway needs, with one provider call for each."""

    def __init__(
        self,
        *,
        graph: GraphClient,
        accounts: AccountResolver,
        modash: ModashClient | None,
        cache: Cache,
        configured: ConfiguredAccount,
        checks: AccountChecks,
    ) -> None:
        self._graph = graph
        self._accounts = accounts
        self._modash = modash
        self._cache = cache
        self._configured = configured
        self._checks = checks

    def latest(self) -> dict[str, object]:
        """Return all checks, at most some minutes old: whether one failed, and when they were made."""

        def fetch(_known: CacheEntry | None) -> Json:
            return {"checks": [asdict(check) for check in self.checks()]}

        entry = self._cache.get_or_fetch(
            "status", f"checks/{fingerprint(self._configured.token)}", STATUS_CHECKS, fetch
        )
        checks = cast("list[dict[str, object]]", entry.value["checks"])
        return {
            "status": "failing" if any(check["ok"] is False for check in checks) else "ok",
            "checked_at": our_time(entry.fetched_at),
            "checks": checks,
        }

    def checks(self) -> Iterator[Check]:
        """Check token, account, insights, version and Modash key; a failed check does not stop the others."""
        if self._configured.token:
            checks: Sequence[tuple[str, Callable[[], Check]]] = (
                ("token", lambda: self._checks.token(self._accounts.configured_token, self._configured.login)),
                ("account link", self._account_check),
                ("insights", lambda: self._checks.insights(self._accounts.find(None))),
            )
            for name, check in checks:
                yield attempt(name, check)
            yield self._version_check()
        added = attempt("added accounts", self._added_check)
        if added.ok is not None:
            yield added
        elif not self._configured.token:
            yield Check("token", None, "Instagram is not configured.", "Set ACCESS_LONG_LIVED_TOKEN in .env.")
        if self._modash is not None:
            yield attempt("Modash key", self._modash_check)
        else:
            yield Check("Modash key", None, "Modash is not configured.", "Set MODASH_API_KEY in .env.")

    def _account_check(self) -> Check:
        account = self._accounts.find(None)
        linked = self._checks.linked(self._accounts.configured_token, self._configured.login, self._configured.page_id)
        if linked not in {None, account.id}:
            message = f"INSTAGRAM_ACCOUNT_ID is {account.id}, but the token or page is of account {linked}."
            next_step = f"Set INSTAGRAM_ACCOUNT_ID={linked}, or leave it empty."
            return Check("account link", False, message, next_step, OTHER_ACCOUNT)
        return self._checks.link(account)

    def _added_check(self) -> Check:
        """Check whether the tokens of added accounts can be decrypted; no provider is called."""
        number, closed = self._accounts.added()
        if closed:
            message = f"{closed} of {number} tokens were encrypted with another key."
            next_step = "Set TOKEN_KEY to the earlier key, then restart."
            return Check("added accounts", False, message, next_step, NOT_DECRYPTED)
        return Check("added accounts", bool(number) or None, f"{number}; `make account ARGS=check` checks each")

    def _version_check(self) -> Check:
        served, requested = self._graph.served_version, self._graph.version
        if served is None:
            return Check("version", None, f"{requested} is requested; Instagram did not report which it serves.")
        if served != requested:
            return Check(
                "version", False, f"{requested} is requested, {served} is served.", f"Set GRAPH_API_VERSION={served}"
            )
        return Check("version", True, served)

    def _modash_check(self) -> Check:
        assert self._modash is not None  # noqa: S101  # Only called when there is a client.
        left = self._modash.credits()
        return Check("Modash key", True, "credits left: " + ("unknown" if left is None else f"{left:g}"))
