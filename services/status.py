"""What works and what does not, each with what to do next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import cast

from services.accounts import Accounts, fingerprint
from services.clients.graph import Account, GraphClient
from services.clients.modash import ModashClient
from services.clients.outcomes import LOG_IN_AGAIN
from services.clock import Clock
from services.days import last_days, our_time
from services.errors import ProviderError, TokenInvalidError
from services.memory import Json, Memo, Memory
from services.memory.rules import Lasting

LATEST = 4_102_444_800  # The year 2100, in Unix seconds: what ends later does not end.
NEEDED_SCOPES = ("instagram_basic", "instagram_manage_insights", "pages_read_engagement", "pages_show_list")

STATUS = Lasting(300, at_once=300)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `ok` is None where there was nothing to look at."""

    name: str
    ok: bool | None
    message: str
    next_step: str | None = None


class Status:
    """Looks at everything the gateway needs, one call for each."""

    def __init__(
        self,
        graph: GraphClient,
        accounts: Accounts,
        modash: ModashClient | None,
        memory: Memory,
        *,
        app_id: str,
        page_id: str,
        token: str,
        login: str,
        clock: Clock,
    ) -> None:
        self._graph = graph
        self._accounts = accounts
        self._modash = modash
        self._memory = memory
        self._app_id = app_id
        self._page_id = page_id
        self._token = token
        self._login = login
        self._clock = clock

    def remembered(self) -> dict[str, object]:
        """Return all checks as of a few minutes ago at most, whether one failed, and when that was looked at."""

        def look(_kept: Memo | None) -> Json:
            return {"checks": [asdict(check) for check in self.checks()]}

        memo = self._memory.recall("status", f"checks/{fingerprint(self._token)}", STATUS, look)
        checks = cast("list[dict[str, object]]", memo.value["checks"])
        return {
            "status": "failing" if any(check["ok"] is False for check in checks) else "ok",
            "checked_at": our_time(datetime.fromtimestamp(memo.fetched_at, UTC)),
            "checks": checks,
        }

    def checks(self) -> Iterator[Check]:
        """Go through token, account, insights, version and Modash key; a failed check does not stop the others."""
        if self._token:
            looks: Sequence[tuple[str, Callable[[], Check]]] = (
                ("token", self._token_check),
                ("account link", self._account_check),
                ("insights", self._insights_check),
            )
            for name, look in looks:
                yield _attempt(name, look)
            yield self._version_check()
        else:
            yield Check("token", None, "Instagram is not configured.", "Set ACCESS_LONG_LIVED_TOKEN in .env.")
        if self._modash is not None:
            yield _attempt("Modash key", self._modash_check)
        else:
            yield Check("Modash key", None, "Modash is not configured.", "Set MODASH_API_KEY in .env.")

    def _token_check(self) -> Check:
        if self._login == "instagram":
            self._graph.own_account(self._token)
            return Check("token", True, "accepted; when it ends is not told by the Instagram login")
        if not self._graph.can_inspect(self._app_id):
            message = "It is not inspected, for which APP_ID and APP_SECRET are needed."
            return Check("token", None, message, "Set both in .env.")
        try:
            details = self._graph.token_details(self._token, app_id=self._app_id)
        except TokenInvalidError:
            # The app's own token is what asks here, so it is not the user's that is refused.
            message = "Instagram does not accept APP_ID with APP_SECRET."
            return Check("token", False, message, "Copy both anew: developers.facebook.com, App settings, Basic.")
        return self._judged(details)

    def _judged(self, details: Mapping[str, object]) -> Check:
        """Judge a token by what Meta knows of it."""
        if details.get("is_valid") is not True:
            return Check("token", False, "The Instagram token is not valid any more.", LOG_IN_AGAIN)
        scopes = details.get("scopes")
        missing = [scope for scope in NEEDED_SCOPES if isinstance(scopes, list) and scope not in scopes]
        if missing:
            return Check("token", False, f"The token lacks {', '.join(missing)}.", "Log in again and grant them.")
        life = f"expires {end}" if (end := self._end(details.get("expires_at"))) else "does not expire"
        access = details.get("data_access_expires_at")
        if end := self._end(access):
            life += f"; access to data ends {end}"
        if isinstance(access, int) and 0 < access <= self._clock.now().timestamp():
            return Check("token", False, f"valid, {life}", LOG_IN_AGAIN)
        return Check("token", True, f"valid, {life}")

    def _end(self, moment: object) -> str | None:
        if not isinstance(moment, int) or not 0 < moment < LATEST:
            return None
        end = datetime.fromtimestamp(moment, UTC)
        days = (end - self._clock.now()).days
        return f"in {days} days, at {our_time(end)}" if days >= 0 else f"since {our_time(end)}"

    def _account_check(self) -> Check:
        account = self._accounts.find(None)
        linked = self._linked()
        if linked not in {None, account.id}:
            message = f"INSTAGRAM_ACCOUNT_ID is {account.id}, but the token or page is of account {linked}."
            return Check("account link", False, message, f"Set INSTAGRAM_ACCOUNT_ID={linked}, or leave it empty.")
        username = self._graph.profile(account).get("username")
        return Check("account link", True, f"{username} ({account.id})")

    def _linked(self) -> str | None:
        if self._login == "instagram":
            return self._graph.own_account(self._token)
        return self._graph.linked_account(self._page_id, token=self._token) if self._page_id else None

    def _insights_check(self) -> Check:
        account: Account = self._accounts.find(None)
        window = last_days(1, now=self._clock.now())
        answered = self._graph.account_insights(account, ("reach",), since=window.since, until=window.until)
        if "reach" not in answered:
            return Check(
                "insights",
                False,
                "Instagram gave no value for yesterday's reach.",
                "Grant instagram_manage_insights; a new account may need a day.",
            )
        return Check("insights", True, "yesterday's reach is answered")

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


def _attempt(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except ProviderError as error:
        return Check(name, False, error.message, error.hint)
