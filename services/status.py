"""What works and what does not, each with what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import cast

from services.account_checks import AccountChecks, Check, attempt
from services.accounts import Accounts, Configured, fingerprint
from services.clients.graph import GraphClient
from services.clients.modash import ModashClient
from services.days import our_time
from services.memory import Json, Memo, Memory
from services.memory.rules import Lasting

__all__ = ["Check", "Status"]

STATUS = Lasting(300, at_once=300, needs=("checks",))


class Status:
    """Looks at everything the gateway needs, one call for each."""

    def __init__(
        self,
        graph: GraphClient,
        accounts: Accounts,
        modash: ModashClient | None,
        memory: Memory,
        *,
        configured: Configured,
        checks: AccountChecks,
    ) -> None:
        self._graph = graph
        self._accounts = accounts
        self._modash = modash
        self._memory = memory
        self._own = configured
        self._checks = checks

    def remembered(self) -> dict[str, object]:
        """Return all checks as of a few minutes ago at most, whether one failed, and when that was looked at."""

        def look(_kept: Memo | None) -> Json:
            return {"checks": [asdict(check) for check in self.checks()]}

        memo = self._memory.recall("status", f"checks/{fingerprint(self._own.token)}", STATUS, look)
        checks = cast("list[dict[str, object]]", memo.value["checks"])
        return {
            "status": "failing" if any(check["ok"] is False for check in checks) else "ok",
            "checked_at": our_time(datetime.fromtimestamp(memo.fetched_at, UTC)),
            "checks": checks,
        }

    def checks(self) -> Iterator[Check]:
        """Go through token, account, insights, version and Modash key; a failed check does not stop the others."""
        if self._own.token:
            looks: Sequence[tuple[str, Callable[[], Check]]] = (
                ("token", lambda: self._checks.token(self._own.token, self._own.login)),
                ("account link", self._account_check),
                ("insights", lambda: self._checks.insights(self._accounts.find(None))),
            )
            for name, look in looks:
                yield attempt(name, look)
            yield self._version_check()
        added = attempt("added accounts", self._added_check)
        if added.ok is not None:
            yield added
        elif not self._own.token:
            yield Check("token", None, "Instagram is not configured.", "Set ACCESS_LONG_LIVED_TOKEN in .env.")
        if self._modash is not None:
            yield attempt("Modash key", self._modash_check)
        else:
            yield Check("Modash key", None, "Modash is not configured.", "Set MODASH_API_KEY in .env.")

    def _account_check(self) -> Check:
        account = self._accounts.find(None)
        linked = self._checks.linked(self._own.token, self._own.login, self._own.page_id)
        if linked not in {None, account.id}:
            message = f"INSTAGRAM_ACCOUNT_ID is {account.id}, but the token or page is of account {linked}."
            return Check("account link", False, message, f"Set INSTAGRAM_ACCOUNT_ID={linked}, or leave it empty.")
        return self._checks.link(account)

    def _added_check(self) -> Check:
        """Look whether the tokens of added accounts can be opened; no provider is asked for them."""
        number, closed = self._accounts.added()
        if closed:
            message = f"{closed} of {number} tokens were encrypted with another key."
            return Check("added accounts", False, message, "Set TOKEN_KEY to the key of that time, then restart.")
        return Check("added accounts", bool(number) or None, f"{number}; `make account ARGS=check` asks for each")

    def _version_check(self) -> Check:
        served, asked = self._graph.served_version, self._graph.version
        if served is None:
            return Check("version", None, f"{asked} is asked for; Instagram did not say which it serves.")
        if served != asked:
            return Check(
                "version", False, f"{asked} is asked for, {served} is served.", f"Set GRAPH_API_VERSION={served}"
            )
        return Check("version", True, served)

    def _modash_check(self) -> Check:
        assert self._modash is not None  # noqa: S101  # Only called when there is a client.
        left = self._modash.credits()
        return Check("Modash key", True, "credits left: " + ("unknown" if left is None else f"{left:g}"))
