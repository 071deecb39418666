"""The checks of one account: its token, whether the token belongs to it, and its insights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from services.clients.graph.client import GraphClient
from services.clients.graph.error_codes import LOG_IN_AGAIN
from services.clients.graph.models import Account
from services.clock import Clock
from services.days import last_days, our_time, utc
from services.errors import InsightsError, TokenInvalidError

LATEST = 4_102_444_800  # The year 2100, in Unix seconds: a later end is no end.
TOKEN_NOT_VALID, DATA_ACCESS_EXPIRED, SCOPES_MISSING = "token_not_valid", "data_access_expired", "scopes_missing"
APP_NOT_ACCEPTED, INSIGHTS_NOT_ANSWERED, OTHER_ACCOUNT = "app_not_accepted", "insights_not_answered", "other_account"
NEEDED_SCOPES = ("instagram_basic", "instagram_manage_insights", "pages_read_engagement", "pages_show_list")


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` is None where there was nothing to check, `code` says why it failed.

    `warns` is for what works and will not do so for long.
    """

    name: str
    ok: bool | None
    message: str
    next_step: str | None = None
    code: str | None = None
    warns: bool = False

    @property
    def state(self) -> Literal["ok", "warning", "failing", "not_checked"]:
        """The result in one word."""
        if self.ok is None:
            return "not_checked"
        if not self.ok:
            return "failing"
        return "warning" if self.warns else "ok"

    def as_json(self) -> dict[str, object]:
        """Return the check as replies and reports have it; `message` is the same as `fact`, and older."""
        return {
            "name": self.name,
            "state": self.state,
            "ok": self.ok,
            "fact": self.message,
            "message": self.message,
            "next_step": self.next_step,
            "code": self.code,
        }


class AccountChecks:
    """Checks an account, with one call for each check."""

    def __init__(self, graph: GraphClient, *, app_id: str, clock: Clock) -> None:
        self._graph = graph
        self._app_id = app_id
        self._clock = clock

    def of(self, account: Account, page_id: str) -> Iterator[Check]:
        """Run all checks of an added account; one that fails does not stop the others."""
        looks: Sequence[tuple[str, Callable[[], Check]]] = (
            ("token", lambda: self.token(account.token, account.login)),
            ("account link", lambda: self._added(account, page_id)),
            ("insights", lambda: self.insights(account)),
        )
        return (attempt(name, look) for name, look in looks)

    def token(self, token: str, login: str) -> Check:
        """Check whether a token is valid, and for how long."""
        if login == "instagram":
            self._graph.own_account(token)
            return Check("token", True, "accepted; the Instagram login does not say when it expires")
        if not self._graph.can_inspect(self._app_id):
            message = "It cannot be inspected without APP_ID and APP_SECRET."
            return Check("token", None, message, "Set both in .env.")
        try:
            details = self._graph.token_details(token, app_id=self._app_id)
        except TokenInvalidError:
            # The call is made with the app's own token, so it is not the user's that is refused.
            message = "Instagram does not accept APP_ID with APP_SECRET."
            next_step = "Copy both again: developers.facebook.com, App settings, Basic."
            return Check("token", False, message, next_step, APP_NOT_ACCEPTED)
        return self._judged(details)

    def linked(self, token: str, login: str, page_id: str) -> str | None:
        """Return the id of the account that a token or page belongs to, or None where neither names one."""
        if login == "instagram":
            return self._graph.own_account(token)
        return self._graph.linked_account(page_id, token=token) if page_id else None

    def link(self, account: Account) -> Check:
        """Check whether an account can be read."""
        username = self._graph.profile(account).get("username")
        return Check("account link", True, f"{username} ({account.id})")

    def insights(self, account: Account) -> Check:
        """Check whether insights are answered."""
        window = last_days(1, now=self._clock.now())
        answered = self._graph.account_insights(account, ("reach",), since=window.since, until=window.until)
        if "reach" not in answered:
            return Check(
                "insights",
                False,
                "Instagram gave no value for yesterday's reach.",
                "Grant instagram_manage_insights; a new account may need a day.",
                INSIGHTS_NOT_ANSWERED,
            )
        return Check("insights", True, "yesterday's reach is answered")

    def _added(self, account: Account, page_id: str) -> Check:
        linked = self.linked(account.token, account.login, page_id)
        if linked not in {None, account.id}:
            message = f"The token or page is of account {linked}, not of {account.id}."
            next_step = "Add it again with `make account`, with the right token."
            return Check("account link", False, message, next_step, OTHER_ACCOUNT)
        return self.link(account)

    def _judged(self, details: Mapping[str, object]) -> Check:
        """Judge a token by what Meta knows of it."""
        if details.get("is_valid") is not True:
            return Check("token", False, "The Instagram token is not valid any more.", LOG_IN_AGAIN, TOKEN_NOT_VALID)
        scopes = details.get("scopes")
        missing = [scope for scope in NEEDED_SCOPES if isinstance(scopes, list) and scope not in scopes]
        if missing:
            message = f"The token lacks {', '.join(missing)}."
            return Check("token", False, message, "Log in again and grant them.", SCOPES_MISSING)
        life = f"expires {end}" if (end := self._end(details.get("expires_at"))) else "does not expire"
        access = details.get("data_access_expires_at")
        if end := self._end(access):
            life += f"; access to data ends {end}"
        if isinstance(access, int) and 0 < access <= self._clock.timestamp():
            return Check("token", False, f"valid, {life}", LOG_IN_AGAIN, DATA_ACCESS_EXPIRED)
        return Check("token", True, f"valid, {life}")

    def _end(self, moment: object) -> str | None:
        if not isinstance(moment, int) or not 0 < moment < LATEST:
            return None
        end = utc(moment)
        days = (end - self._clock.now()).days
        return f"in {days} days, at {our_time(end)}" if days >= 0 else f"since {our_time(end)}"


def attempt(name: str, look: Callable[[], Check]) -> Check:
    """Run one check; a failure is its result."""
    try:
        return look()
    except InsightsError as error:
        return Check(name, False, error.message, error.hint, error.code)
