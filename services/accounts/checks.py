"""The checks of one account: its token, whether the token belongs to it, and its insights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal

from services.accounts import diagnosis
from services.accounts.current_tokens import CurrentTokens
from services.accounts.diagnosis import Cause, Diagnosis
from services.accounts.expiry_warning_days import WARNED_BEFORE
from services.accounts.needed_permissions import NEEDED_SCOPES
from services.accounts.page_diagnosis import of_pages
from services.clients.graph.client import GraphClient
from services.clients.graph.models import Account
from services.clients.graph.tokens import NEVER, Page, TokenClient, TokenDetails
from services.clock import Clock
from services.days import our_time, utc
from services.errors import (
    InsightsError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ProviderError,
    ProviderRefusedError,
    TokenExpiredError,
    TokenInvalidError,
)
from services.rendering.plurals import counted
from services.windows import last_days

DATA_ACCESS_EXPIRED = "data_access_expired"
EXPIRING = "token_expiring"
INSIGHTS_NOT_ANSWERED, OTHER_ACCOUNT = "insights_not_answered", "other_account"
REPORTED_WITHIN = 7  # days of which Instagram has reported one
OTHER_LOGIN = {"facebook": "instagram", "instagram": "facebook"}
UNREADABLE = (ObjectNotFoundError, PermissionDeniedError)


@dataclass(frozen=True)
class Check:
    """The result of one check; `ok` is None where there was nothing to check.

    `code` says why it failed: the first of its `causes`, where these are known. `warns` is for what works and will not
    do so for long.
    """

    name: str
    ok: bool | None
    message: str
    next_step: str | None = None
    code: str | None = None
    warns: bool = False
    causes: tuple[Cause, ...] = ()

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
            "causes": [asdict(cause) for cause in self.causes],
        }


def overall(checks: Iterable[Mapping[str, object]]) -> Literal["ok", "failing"]:
    """Return whether one of some checks failed, as `Check.as_json` gives them."""
    return "failing" if any(check["state"] == "failing" for check in checks) else "ok"


class AccountChecks:
    """Checks an account, with one call for each check, and more only to find the cause of a failure."""

    def __init__(
        self, graph: GraphClient, tokens: TokenClient, *, current: CurrentTokens, app_id: str, clock: Clock
    ) -> None:
        self._graph = graph
        self._tokens = tokens
        self._current = current
        self._app_id = app_id
        self._clock = clock

    def of(self, account: Account, page_id: str) -> Iterator[Check]:
        """Run all checks of an account; insights are read only where the account can be."""
        yield attempt("token", partial(self.token, account.token, account.login))
        link = attempt("account link", partial(self.account_link, account, page_id))
        yield link
        yield self.insights_after(link, lambda: account)

    def token(self, token: str, login: str) -> Check:
        """Check whether a token is valid, and for how long."""
        if login == "instagram":
            return self._own_token(token)
        if not self._tokens.can_inspect():
            message = "It cannot be inspected without APP_ID and APP_SECRET."
            return Check("token", None, message, "Set both in .env.")
        details, failure = None, None
        try:
            details = self._tokens.details(token)
        except ProviderError as error:
            failure = error
        found = diagnosis.of_token(login, details, failure, app_id=self._app_id)
        if found is not None:
            return self._failed("token", self._settled(login, token, found), login, token)
        if details is None:
            raise failure or AssertionError("neither details nor a failure")
        return self._judged(details, token)

    def account_link(
        self, account: Account, page_id: str, *, wrong: str = "Add it again with `make account`, with the right token."
    ) -> Check:
        """Check whether an account can be read, and is the one of its page or token; `wrong` is the next step if not.

        An account that can be read is well although its page does not show it, as in a business portfolio.
        """
        failure, username = None, None
        try:
            username = self._graph.profile(account).get("username")
        except UNREADABLE as error:
            failure = error
        except ProviderError as error:
            return self.unreadable(account.token, account.login, error)
        try:
            linked = self._linked(account.token, account.login, page_id)
        except UNREADABLE:
            linked = None
        if linked not in {None, account.id}:
            message = f"The token or page is of account {linked}, not of {account.id}."
            return Check("account link", False, message, wrong.format(linked=linked), OTHER_ACCOUNT)
        if failure is None:
            return Check("account link", True, f"{username} ({account.id})")
        if linked is None and page_id and isinstance(failure, ObjectNotFoundError):
            return self.without_account(account.token, page_id)
        return self.unreadable(account.token, account.login, failure, is_shown=linked is not None)

    def link_of_settings(self, token: str, login: str, page_id: str, *, find: Callable[[], Account]) -> Check:
        """Check the same of the account of the settings, whose id may have to be found by its page or its token."""
        try:
            account = find()
        except (*UNREADABLE, ProviderRefusedError) as error:
            if login == "facebook" and page_id:
                return attempt("account link", partial(self.without_account, token, page_id))
            return attempt("account link", partial(self.unreadable, token, login, error))
        except InsightsError as error:
            return failed("account link", error)
        wrong = "Set INSTAGRAM_ACCOUNT_ID={linked}, or leave it empty."
        return attempt("account link", partial(self.account_link, account, page_id, wrong=wrong))

    def without_account(self, token: str, page_id: str) -> Check:
        """Return the check of a page of the login with Facebook that shows no account."""
        details, pages = self._details(token), [Page(page_id, None, None, None, None)]
        if details is None or details.type != "PAGE":
            try:
                pages = list(self._tokens.pages(token).pages)
            except ProviderError:
                pages = []
        return self._failed("account link", of_pages(details, pages, (), page_id=page_id), "facebook", token)

    def unreadable(self, token: str, login: str, error: ProviderError, *, is_shown: bool = True) -> Check:
        """Return the check of an account that cannot be read; raises the failure where it passes by itself."""
        found = diagnosis.of_read(login, error, self._scopes(token, login), is_shown=is_shown)
        if found is None:
            raise error
        return self._failed("account link", found, login, token)

    def insights_after(self, link: Check, find: Callable[[], Account]) -> Check:
        """Check whether insights are answered, unless the account itself cannot be read."""
        if link.ok is False:
            return Check("insights", None, "not checked, because the account cannot be read")
        return attempt("insights", partial(self._insights, find))

    def _insights(self, find: Callable[[], Account]) -> Check:
        account = find()
        # Instagram reports some days hours late, and until then has no value of them at all.
        window = last_days(REPORTED_WITHIN, now=self._clock.now())
        try:
            answered = self._graph.account_insights(account, ("reach",), since=window.since, until=window.until)
        except ProviderError as error:
            found = diagnosis.of_insights(account.login, error, self._scopes(account.token, account.login))
            if found is None:
                raise
            return self._failed("insights", found, account.login, account.token)
        if "reach" in answered:
            return Check("insights", True, "the reach of the last days is answered")
        found = diagnosis.of_insights(account.login, None, self._scopes(account.token, account.login))
        if found is not None:
            return self._failed("insights", found, account.login, account.token)
        message, step = "Instagram gave no value for the reach of the last days.", "A new account may need a day."
        return Check("insights", False, message, step, INSIGHTS_NOT_ANSWERED)

    def _own_token(self, token: str) -> Check:
        try:
            self._graph.own_account(token)
        except (TokenInvalidError, TokenExpiredError) as error:
            found = diagnosis.of_refused_token("instagram", error)
            return self._failed("token", self._settled("instagram", token, found), "instagram", token)
        except (*UNREADABLE, ProviderRefusedError) as error:
            if not isinstance(error, UNREADABLE) and not diagnosis.is_not_served("instagram", error):
                raise
            return Check("token", True, "accepted, but it does not read the account")
        end = self._end(self._current.known_end(token))
        # Instagram says it only where a token is exchanged or refreshed.
        if end:
            return Check("token", True, f"accepted, expires {end}")
        return Check(
            "token", True, "accepted; when it expires is not known yet", self._current.steps.until_end_is_known()
        )

    def _settled(self, login: str, token: str, found: Diagnosis) -> Diagnosis:
        """Return the diagnosis of a token, or that it belongs to the other login, if that one accepts it."""
        if not set(found.codes) <= diagnosis.UNKNOWN_TOKEN:
            return found
        other = OTHER_LOGIN[login]
        try:
            self._tokens.owner(other, token)
        except UNREADABLE:
            return diagnosis.of_other_login(login, other)
        except ProviderError:
            return found
        return diagnosis.of_other_login(login, other)

    def _linked(self, token: str, login: str, page_id: str) -> str | None:
        """Return the id of the account that a token or page belongs to, or None where neither names one."""
        if login == "instagram":
            return self._graph.own_account(token)
        return self._graph.linked_account(page_id, token=token) if page_id else None

    def _details(self, token: str) -> TokenDetails | None:
        """Return what Meta reports of a token; None where that cannot be had now."""
        if not self._tokens.can_inspect():
            return None
        try:
            return self._tokens.details(token)
        except ProviderError:
            return None

    def _scopes(self, token: str, login: str) -> Sequence[str] | None:
        details = self._details(token) if login == "facebook" else None
        return None if details is None else details.scopes

    def _judged(self, details: TokenDetails, token: str) -> Check:
        """Judge a valid token by its permissions and its ends."""
        if (found := diagnosis.of_scopes("facebook", details.scopes, NEEDED_SCOPES["facebook"])) is not None:
            return self._failed("token", found, "facebook", token)
        life = f"expires {end}" if (end := self._end(details.expires_at)) else "does not expire"
        access = details.data_access_expires_at
        renewal = self._current.steps.renewal("facebook", is_configured=self._current.is_configured(token))
        if end := self._end(access):
            life += f"; access to data ends {end}"
        if access is not None and access <= self._clock.timestamp():
            return Check("token", False, f"valid, {life}", renewal, DATA_ACCESS_EXPIRED)
        if any(
            end is not None and end <= self._clock.timestamp() + WARNED_BEFORE for end in (details.expires_at, access)
        ):
            return Check("token", True, f"valid, {life}", renewal, EXPIRING, warns=True)
        return Check("token", True, f"valid, {life}")

    def _failed(self, name: str, found: Diagnosis, login: str, token: str) -> Check:
        """Return the check of a diagnosis, whose next step is that of the token of the settings or of an added one."""
        generate = self._current.steps.generate(login, is_configured=self._current.is_configured(token))
        found = found.for_token(login, generate)
        return Check(name, False, found.fact, found.next_step, found.codes[0], causes=found.causes)

    def _end(self, moment: float | None) -> str | None:
        if moment is None or moment == NEVER:
            return None
        end = utc(moment)
        days = (end - self._clock.now()).days
        return f"in {counted(days, 'day')}, at {our_time(end)}" if days >= 0 else f"since {our_time(end)}"


def attempt(name: str, look: Callable[[], Check]) -> Check:
    """Run one check; a failure is its result."""
    try:
        return look()
    except InsightsError as error:
        return failed(name, error)


def failed(name: str, error: InsightsError) -> Check:
    """Return the result of a check that a failure has ended."""
    return Check(name, False, error.message, error.hint, error.code)
