"""Connects an account: from a token or code of a login to an account that is stored, and its first numbers.

Nothing is stored before the account and its insights were read with the very token that is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.accounts import diagnosis
from services.accounts.diagnosis import Diagnosis
from services.accounts.page_diagnosis import of_pages
from services.accounts.token_encryption import TokenEncryption
from services.clients.graph.client import GraphClient
from services.clients.graph.error_codes import NOT_ACCEPTED
from services.clients.graph.models import Account, as_count, token_of_page
from services.clients.graph.tokens import NEVER, NewToken, Page, TokenClient, TokenDetails
from services.clock import Clock
from services.errors import (
    ObjectNotFoundError,
    PermissionDeniedError,
    ProviderError,
    ProviderRefusedError,
    TokenExpiredError,
    TokenInvalidError,
)
from services.store.account_health import AccountHealthTable, CallRow, CheckRow
from services.store.accounts import AccountRow, AccountTable
from services.windows import last_days

FACEBOOK, INSTAGRAM = "facebook", "instagram"
REACH_DAYS = (1, 7)  # The reach of yesterday may not be there yet.


class NotConnectedError(Exception):
    """An account cannot be connected, for a cause that is known."""

    def __init__(self, found: Diagnosis) -> None:
        super().__init__(found.fact)
        self.diagnosis = found


@dataclass(frozen=True)
class Grant:
    """A token with which accounts may be read, and what is known of it; `expires_at` is as in `NewToken`."""

    login: str
    token: str = field(repr=False)
    expires_at: float | None
    details: TokenDetails | None = None
    permissions: Sequence[str] | None = None
    was_exchanged: bool = False

    @property
    def scopes(self) -> Sequence[str] | None:
        """The permissions, as far as they are known."""
        return self.permissions if self.details is None else self.details.scopes


@dataclass(frozen=True)
class Candidate:
    """An account that can be connected, the token to read it with, and how it was found."""

    account: Account
    username: str | None
    page_name: str | None = None
    expires_at: float | None = None
    is_shown: bool = True  # Meta named the account; False for an id that the operator gave


@dataclass(frozen=True)
class Connected:
    """An account that is stored, with its first numbers; `reach` is that of the last `reach_days` days."""

    id: str
    username: str | None
    login: str
    page_id: str
    followers: int | None
    reach: int | None
    reach_days: int
    expires_at: float | None
    was_there: bool
    warning: Diagnosis | None


class Connector:
    """Walks from a token to an account; raises `NotConnectedError` for a cause, `ProviderError` for a passing fault."""

    def __init__(
        self,
        tokens: TokenClient,
        graph: GraphClient,
        *,
        apps: Mapping[str, str],
        encryption: TokenEncryption,
        table: AccountTable,
        health: AccountHealthTable,
        clock: Clock,
        before_store: Callable[[], None] = lambda: None,
    ) -> None:
        """Build it; `apps` are the ids of the apps whose secret is known, by login.

        `before_store` is called before each account is stored; what it raises prevents that.
        """
        self._tokens = tokens
        self._graph = graph
        self._apps = apps
        self._encryption = encryption
        self._table = table
        self._health = health
        self._clock = clock
        self._before_store = before_store

    def with_token(self, token: str, *, login: str | None, implied: str | None, is_long_lived: bool = False) -> Grant:
        """Return the long-lived token of a login.

        `login` is the one that was named, `implied` the one that the token's prefix shows; where both are None, both
        logins are tried.
        """
        if login and implied and login != implied:
            raise NotConnectedError(diagnosis.of_other_login(login, implied))
        chosen = login or implied
        if chosen is None:
            chosen = FACEBOOK if self._refusal(INSTAGRAM, token) is not None else INSTAGRAM
        if chosen == FACEBOOK:
            return self._by_facebook(token, is_certain=implied is not None)
        return self._by_instagram(token, is_certain=implied is not None, is_long_lived=is_long_lived)

    def with_code(self, code: str, *, login: str, redirect_uri: str) -> Grant:
        """Return the long-lived token for the authorization code of a login."""
        self._check_app(login)
        try:
            given = self._tokens.exchange_code(code, redirect_uri=redirect_uri, login=login)
        except ProviderError as error:
            raise _failure(diagnosis.of_code(login, error), error) from None
        if login == FACEBOOK:
            return self._by_facebook(given.token, is_certain=True)
        token = self._exchanged(login, given.token)
        return Grant(login, token.token, token.expires_at, permissions=given.scopes, was_exchanged=True)

    def candidates(self, grant: Grant, *, ids: Sequence[str] = (), page_id: str = "") -> list[Candidate]:
        """Return the accounts that a token shows, by its pages or by their ids; there is at least one."""
        if grant.login == INSTAGRAM:
            return [self._own(grant)]
        pages = self._pages(grant, page_id)
        linked = {
            page.account_id: _of_page(grant, page, page.account_id)
            for page in pages
            if page.account_id and page_id in {"", page.id}
        }
        found = [linked[each] for each in ids or linked if each in linked]
        wanted = [each for each in ids or ([] if page_id else _granted_for(grant)) if each not in linked]
        refused: dict[str, ProviderError] = {}
        for each in wanted:
            try:
                found.append(self._by_id(grant, each, page_id, is_shown=not ids))
            except (ObjectNotFoundError, PermissionDeniedError) as error:
                refused[each] = error
        if found and not (ids and refused):
            return found
        raise NotConnectedError(_nothing_found(grant, pages, refused, page_id=page_id, by_id=bool(ids)))

    def connect(self, grant: Grant, candidate: Candidate) -> Connected:
        """Read an account and its insights, and store it with its token."""
        account = candidate.account
        try:
            profile = self._graph.profile(account)
        except ProviderError as error:
            found = diagnosis.of_read(grant.login, error, grant.scopes, is_shown=candidate.is_shown)
            raise _failure(found, error) from None
        reach, days, warning = self._first_reach(grant, account)
        name = profile.get("username")
        username = name if isinstance(name, str) and name else candidate.username
        was_there = self._store(account, (username or "").lower())
        # Token, account and insights were read, as a check does, so that /accounts need not wait for the worker's.
        now = self._clock.timestamp()
        if warning is None:
            self._health.checked(CheckRow(account.id, now))
        else:
            self._health.called([CallRow(account.id, answered_at=now)])
        return Connected(
            id=account.id,
            username=username,
            login=account.login,
            page_id=account.page_id,
            followers=as_count(profile.get("followers_count")),
            reach=reach,
            reach_days=days,
            expires_at=candidate.expires_at,
            was_there=was_there,
            warning=warning,
        )

    def _store(self, account: Account, username: str) -> bool:
        was_there = any(row.id == account.id for row in self._table.rows())
        self._before_store()
        sealed, now = self._encryption.seal(account.token), self._clock.timestamp()
        self._table.put(AccountRow(account.id, username, account.login, account.page_id, sealed, now))
        return was_there

    def _first_reach(self, grant: Grant, account: Account) -> tuple[int | None, int, Diagnosis | None]:
        """Return the newest reach, for how many days, and why there is none if that is not certain."""
        for days in REACH_DAYS:
            window = last_days(days, now=self._clock.now())
            try:
                answer = self._graph.account_insights(account, ("reach",), since=window.since, until=window.until)
            except ProviderError as error:
                raise _failure(diagnosis.of_insights(grant.login, error, grant.scopes), error) from None
            total = answer.get("reach", {}).get("total_value")
            if isinstance(total, dict) and (value := as_count(total.get("value"))) is not None:
                return value, days, None
        warning = diagnosis.of_insights(grant.login, None, grant.scopes)
        if warning is not None and len(warning.causes) == 1:
            raise NotConnectedError(warning)
        return None, REACH_DAYS[-1], warning

    def _by_facebook(self, token: str, *, is_certain: bool) -> Grant:
        self._check_app(FACEBOOK)
        details, failure = None, None
        try:
            details = self._tokens.details(token)
        except ProviderError as error:
            failure = error
        found = diagnosis.of_token(FACEBOOK, details, failure, app_id=self._apps[FACEBOOK])
        if found is not None:
            may_be_other = not is_certain and set(found.codes) <= diagnosis.UNKNOWN_TOKEN
            if may_be_other and self._refusal(INSTAGRAM, token) is None:
                found = diagnosis.of_other_login(FACEBOOK, INSTAGRAM)
            raise NotConnectedError(found)
        if failure is not None or details is None:
            raise failure or AssertionError("neither details nor a failure")
        if not details.may_be_short_lived(self._clock.timestamp()):
            return Grant(FACEBOOK, token, details.expires_at, details)
        given = self._exchanged(FACEBOOK, token)
        return Grant(FACEBOOK, given.token, given.expires_at, details, was_exchanged=True)

    def _by_instagram(self, token: str, *, is_certain: bool, is_long_lived: bool) -> Grant:
        if not is_long_lived:
            self._check_app(INSTAGRAM)
        given = self._exchange_of(token, is_long_lived=is_long_lived)
        if isinstance(given, NewToken):
            return Grant(INSTAGRAM, given.token, given.expires_at, was_exchanged=True)
        failure = given
        if failure is not None:
            if (found := diagnosis.of_exchange(INSTAGRAM, failure)) is not None:
                raise NotConnectedError(found)
            if not isinstance(failure, ProviderRefusedError | TokenInvalidError):
                raise failure
        # A long-lived token cannot be exchanged, so only the token itself shows whether it is accepted.
        refusal = self._refusal(INSTAGRAM, token)
        if refusal is None and failure is not None and failure.reason == NOT_ACCEPTED:
            raise NotConnectedError(diagnosis.of_other_app(INSTAGRAM))
        if refusal is None:
            return Grant(INSTAGRAM, token, None)
        if not is_certain and FACEBOOK in self._apps and self._refusal(FACEBOOK, token) is None:
            raise NotConnectedError(diagnosis.of_other_login(INSTAGRAM, FACEBOOK))
        raise NotConnectedError(diagnosis.of_refused_token(INSTAGRAM, refusal))

    def _exchange_of(self, token: str, *, is_long_lived: bool) -> NewToken | ProviderError | None:
        """Return what a token of the Instagram login is exchanged for, or why it is not.

        One that is said to be long-lived is tried too, because only an exchange shows whether it is; None if it is.
        """
        if INSTAGRAM not in self._apps:
            return None
        try:
            return self._tokens.exchange_short(INSTAGRAM, token)
        except ProviderError as error:
            return None if is_long_lived else error

    def _exchanged(self, login: str, token: str) -> NewToken:
        try:
            return self._tokens.exchange_short(login, token)
        except ProviderError as error:
            raise _failure(diagnosis.of_exchange(login, error), error) from None

    def _check_app(self, login: str) -> None:
        if login not in self._apps:
            raise NotConnectedError(diagnosis.of_settings(login))

    def _refusal(self, login: str, token: str) -> ProviderError | None:
        """Return the refusal of a token by the host of a login; None if it is accepted, whatever it may read."""
        try:
            self._tokens.owner(login, token)
        except (TokenInvalidError, TokenExpiredError) as error:
            return error
        except (ObjectNotFoundError, PermissionDeniedError):
            return None
        return None

    def _own(self, grant: Grant) -> Candidate:
        """Return the account of a token of the Instagram login."""
        try:
            owner = self._tokens.owner(INSTAGRAM, grant.token)
        except ProviderError as error:
            raise _failure(diagnosis.of_read(INSTAGRAM, error, grant.scopes), error) from None
        return Candidate(Account(owner.id, grant.token, INSTAGRAM), owner.name, expires_at=grant.expires_at)

    def _pages(self, grant: Grant, page_id: str) -> Sequence[Page]:
        """Return the pages that a token of the login with Facebook shows; the token of a page shows its own."""
        details = grant.details
        if details is not None and details.type == "PAGE" and details.profile_id:
            return [self._page(grant, details.profile_id)]
        try:
            pages = list(self._tokens.pages(grant.token).pages)
        except PermissionDeniedError:
            pages = []  # The missing permission shows in the scopes.
        if page_id and page_id not in {page.id for page in pages}:
            pages.append(self._page(grant, page_id))
        return pages

    def _page(self, grant: Grant, page_id: str) -> Page:
        """Return a page by its id, which may work where no page is listed."""
        try:
            linked = self._graph.linked_account(page_id, token=grant.token)
        except (ObjectNotFoundError, PermissionDeniedError):
            return Page(page_id, None, None, None, None)
        return Page(page_id, None, None, linked, None)

    def _by_id(self, grant: Grant, account_id: str, page_id: str, *, is_shown: bool) -> Candidate:
        account = Account(account_id, grant.token, FACEBOOK, page_id)
        name = self._graph.profile(account).get("username")
        username = name if isinstance(name, str) else None
        return Candidate(account, username, None, grant.expires_at, is_shown=is_shown)


def _of_page(grant: Grant, page: Page, account_id: str) -> Candidate:
    """Return the account of a page, to be read with the page's own token, which does not expire."""
    is_pages = grant.details is not None and grant.details.type == "PAGE"
    expires_at = NEVER if page.token else grant.expires_at
    account = Account(account_id, token_of_page(page.token, grant.token), FACEBOOK, page.id)
    return Candidate(account, page.username, page.name, NEVER if is_pages else expires_at)


def _granted_for(grant: Grant) -> list[str]:
    """Return the accounts that were ticked in the login dialog; they can be read where no page is listed."""
    return [] if grant.details is None else grant.details.granted_accounts()


def _nothing_found(
    grant: Grant, pages: Sequence[Page], refused: Mapping[str, ProviderError], *, page_id: str, by_id: bool
) -> Diagnosis:
    is_any_linked = any(page.account_id for page in pages)
    for error in refused.values():
        if by_id and (is_any_linked or isinstance(error, PermissionDeniedError)):
            found = diagnosis.of_read(FACEBOOK, error, grant.scopes, is_shown=False)
            if found is not None:
                return found
    return of_pages(grant.details, pages, refused, page_id=page_id)


def _failure(found: Diagnosis | None, error: ProviderError) -> Exception:
    return error if found is None else NotConnectedError(found)
