"""Keeps the tokens of accounts: inspects each daily, refreshes those of the Instagram login, and warns of their ends.

A refreshed token is stored before it is used, and the present one is used until the new one has been answered. Killed
in between, the next run goes on: Meta accepts the present token until its own end.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import NamedTuple

from services.accounts.current_tokens import TOKEN_REFUSED, CurrentTokens, fingerprint
from services.accounts.diagnosis import APP_NOT_ACCEPTED, UNCLEAR
from services.accounts.expiry_warning_days import WARN_DAYS
from services.accounts.needed_permissions import NEEDED_SCOPES, OF_INSTAGRAM
from services.accounts.resolver import AccountResolver
from services.accounts.token_encryption import TokenEncryption
from services.accounts.token_notices import TokenNotices
from services.accounts.token_states import INSTAGRAM, NOT_REFRESHED, TokenStates, end_of
from services.cache.policies import DAY
from services.clients.graph.error_codes import NOT_ACCEPTED, REPAIRABLE
from services.clients.graph.models import Account
from services.clients.graph.tokens import NEVER, SHORT_LIVED, NewToken, TokenClient, TokenDetails
from services.clock import Clock
from services.errors import (
    AccountUnknownError,
    PermissionDeniedError,
    ProviderNotConfiguredError,
    ProviderRefusedError,
    TokenInvalidError,
)
from services.store.account_tokens import NEVER_ENDS, AccountTokens, TokenRow

CHECK_EVERY = DAY
REFRESH_WITHIN = 30 * DAY  # before the end
YOUNGEST = DAY + 300  # seconds of age; Meta refuses to refresh a younger token
NOT_INSPECTED = "not_inspected"

log = logging.getLogger(__name__)


class TokenCheck(NamedTuple):
    """When a token is to be checked again (Unix seconds), and whether Instagram has accepted it in this check."""

    due_at: float
    is_accepted: bool


class TokenRefresh:
    """Checks the tokens of accounts one by one; a job of the worker for each."""

    def __init__(
        self,
        accounts: AccountResolver,
        tokens: CurrentTokens,
        table: AccountTokens,
        client: TokenClient,
        *,
        encryption: TokenEncryption,
        states: TokenStates,
        notices: TokenNotices,
        tries_refused: bool,
        clock: Clock,
    ) -> None:
        """Build it; `tries_refused` is for the sandbox, whose token cannot be replaced."""
        self._accounts = accounts
        self._tokens = tokens
        self._table = table
        self._client = client
        self._encryption = encryption
        self._states = states
        self._notices = notices
        self._tries_refused = tries_refused
        self._clock = clock

    def accounts(self) -> set[str]:
        """Return the accounts whose tokens are kept; raises `BusyError`."""
        return {account.id for account in self._accounts.all()}

    def unseen(self) -> Collection[str]:
        """Return the accounts whose token is new here, and those that are gone but have left one.

        Raises `BusyError` and `DatabaseUnavailableError`.
        """
        known = {(row.account, row.fingerprint) for row in self._table.all()}
        there = {(account.id, fingerprint(account.token)) for account in self._accounts.all()}
        gone = {account for account, _ in known if account} - {account for account, _ in there}
        return {account for account, _ in there - known} | gone

    def check(self, account_id: str, *, is_asked: bool = False) -> TokenCheck:
        """Check the token of an account, and refresh it if it is time to.

        A token that is refused is not tried, unless its user can make it good without a new one (once a day), or a
        person has asked for it (`is_asked`). Raises `AccountUnknownError` and the `ProviderError` of a fault that says
        nothing of the token, and `BusyError`.
        """
        try:
            account = self._accounts.find(account_id)
        except (AccountUnknownError, ProviderNotConfiguredError):
            if any(listed.id == account_id for listed in self._accounts.listed()):
                raise  # Its token cannot be opened.
            self._table.forget(account_id)
            raise AccountUnknownError("The account is no longer here.") from None
        begun_at = self._clock.timestamp()
        row = self._row(account)
        # Before any call: a warning must not depend on a provider that answers.
        self._notices.warn(row, self._states)
        row = self._settled(account, row)
        account = self._accounts.find(account_id)
        failure = self._tokens.failure_of(row)
        if failure is None or is_asked or self._tries_refused or failure.reason in REPAIRABLE:
            row = self._checked(account, row)
        self._table.keep_only(account.id, row.fingerprint)
        row = self._table.find(account.id, row.fingerprint) or row
        self._notices.warn(row, self._states)
        is_accepted = row.failure is None and row.checked_at is not None and row.checked_at >= begun_at
        return TokenCheck(self._next(row), is_accepted)

    def _row(self, account: Account) -> TokenRow:
        mine, now = fingerprint(account.token), self._clock.timestamp()
        row = self._table.find(account.id, mine)
        if row is not None:
            return row
        kind = INSTAGRAM if account.login == "instagram" else None
        row = TokenRow(account.id, mine, self._tokens.given(account.token), seen_at=now, written_at=now, kind=kind)
        # It may have been refused before the account of the settings was known.
        before = self._table.find("", mine)
        if before is not None:
            row = row._replace(failure=before.failure, failed_with=before.failed_with, reason=before.reason)
        self._table.put(row)
        return row

    def _checked(self, account: Account, row: TokenRow) -> TokenRow:
        """Try the token in the way of its login; return what is known of it, or of its successor, then."""
        was_refused = row.failure is not None
        tried = row._replace(failure=None, failed_with=None, reason=None) if was_refused else row
        try:
            if account.login == "instagram":
                found = self._of_instagram(account, tried)
            else:
                found = self._of_facebook(account, tried)
        except TOKEN_REFUSED as error:
            self._tokens.failed(account, error)
            return self._table.find(row.account, row.fingerprint) or row
        if found.fingerprint == row.fingerprint and was_refused and found.checked_at != row.checked_at:
            if not self._table.accepted(row):
                return self._table.find(row.account, row.fingerprint) or row
            self._tokens.accepted(account.token)
            log.info("Instagram accepts the token of an account again", extra={"account": account.id})
        if found.fingerprint == row.fingerprint:
            self._save(found)
        return found

    def _of_instagram(self, account: Account, row: TokenRow) -> TokenRow:
        now = self._clock.timestamp()
        if self._is_refresh_due(row):
            if not self._may_keep():
                row = _not_refreshed(account, row, was_known=row.reason == NOT_REFRESHED)
            else:
                try:
                    return self._taken(account, row, self._client.refresh(account.token))
                except PermissionDeniedError:
                    missing = OF_INSTAGRAM[0]
                    row = row._replace(missing_scopes=missing, refresh_due_at=now + CHECK_EVERY)
                except (ProviderRefusedError, *TOKEN_REFUSED) as error:
                    if isinstance(error, TOKEN_REFUSED) and error.reason not in UNCLEAR:
                        raise
                    # It is too young, or lives for an hour only: no answer shows which, but an exchange does.
                    if (new := self._exchanged(account, "instagram")) is not None:
                        return self._taken(account, row, new)
                    if isinstance(error, TOKEN_REFUSED):
                        raise
                    row = row._replace(refresh_due_at=now + YOUNGEST)
        self._client.owner("instagram", account.token)
        return row._replace(checked_at=now)

    def _exchanged(self, account: Account, login: str) -> NewToken | None:
        """Return the long-lived token for a short-lived one, or None where Meta refuses that."""
        try:
            return self._client.exchange_short(login, account.token)
        except (ProviderNotConfiguredError, ProviderRefusedError, PermissionDeniedError, *TOKEN_REFUSED):
            return None

    def _of_facebook(self, account: Account, row: TokenRow) -> TokenRow:
        now = self._clock.timestamp()
        if not self._client.can_inspect():
            self._client.owner("facebook", account.token)
            return row._replace(checked_at=now, reason=NOT_INSPECTED)
        try:
            details = self._client.details(account.token)
        except TokenInvalidError:
            # The call is made with the app's own token, so it is not the account's that is refused.
            log.warning("Instagram does not accept APP_ID with APP_SECRET")
            return row._replace(reason=APP_NOT_ACCEPTED)
        except ProviderRefusedError:  # It is a token of another app.
            self._client.owner("facebook", account.token)
            return row._replace(checked_at=now, reason=NOT_INSPECTED)
        if not details.is_valid:
            raise details.failure or TokenInvalidError(
                "The Instagram token is not valid any more.", provider="instagram", reason=NOT_ACCEPTED
            )
        was_known = row.reason == NOT_REFRESHED
        row = row._replace(
            checked_at=now,
            reason=None,
            kind=details.type,
            issued_at=details.issued_at,
            expires_at=_stored(details.expires_at),
            data_access_expires_at=_stored(details.data_access_expires_at),
        )
        row = _with_scopes(row, "facebook", details.scopes)
        return self._made_long_lived(account, row, was_known=was_known) if _is_short_lived(details) else row

    def _made_long_lived(self, account: Account, row: TokenRow, *, was_known: bool) -> TokenRow:
        """Exchange a short-lived token of the Facebook login; where that cannot be, it is used to its end."""
        if not self._may_keep():
            return _not_refreshed(account, row, was_known=was_known)
        if (new := self._exchanged(account, "facebook")) is not None:
            return self._taken(account, row, new)
        log.warning("The short-lived token of an account is not exchanged", extra={"account": account.id})
        return row

    def _is_refresh_due(self, row: TokenRow) -> bool:
        now = self._clock.timestamp()
        if row.refresh_due_at is not None and now < row.refresh_due_at:
            return False
        if row.issued_at is not None and now - row.issued_at < YOUNGEST:
            return False
        return row.expires_at is None or row.expires_at - now < REFRESH_WITHIN

    def _may_keep(self) -> bool:
        """Return whether a new token could be stored: the token of the settings may be used without a TOKEN_KEY."""
        try:
            self._encryption.keys()
        except ProviderNotConfiguredError:
            return False
        return True

    def _taken(self, account: Account, row: TokenRow, new: NewToken) -> TokenRow:
        """Store a token that Meta gave for the present one, then use it once it was answered."""
        now = self._clock.timestamp()
        row = row._replace(checked_at=now, refresh_due_at=None, reason=None)
        if new.scopes is not None:
            row = _with_scopes(row, account.login, new.scopes)
        if new.token == account.token:
            return row._replace(issued_at=now, expires_at=_stored(new.expires_at))
        row = row._replace(pending=self._encryption.seal(new.token), pending_expires_at=_stored(new.expires_at))
        self._save(row)
        return self._settled(account, row)

    def _settled(self, account: Account, row: TokenRow) -> TokenRow:
        """Use the token that waits, if one does and it is answered; one that is refused is dropped."""
        if row.pending is None:
            return row
        dropped = row._replace(
            pending=None, pending_expires_at=None, refresh_due_at=self._clock.timestamp() + CHECK_EVERY
        )
        try:
            token = self._encryption.open(row.pending)
            owner = self._client.owner(account.login, token)
        except (*TOKEN_REFUSED, ProviderNotConfiguredError) as error:
            log.warning("A refreshed token is not accepted", extra={"account": account.id, "code": error.code})
            self._save(dropped)
            return dropped
        if account.login == "instagram" and owner.id != account.id:
            log.error("A refreshed token belongs to another account", extra={"account": account.id})
            self._save(dropped)
            return dropped
        now = self._clock.timestamp()
        new = row._replace(
            fingerprint=fingerprint(token),
            sealed=row.pending,
            pending=None,
            pending_expires_at=None,
            issued_at=now,
            expires_at=row.pending_expires_at,
            failure=None,
            failed_with=None,
            reason=None,
            warned_days=None,
            checked_at=now,
            written_at=now,
        )
        self._table.replace(new._replace(state=self._states.judged(new).state))
        self._tokens.read()
        log.info("The token of an account is refreshed", extra={"account": account.id})
        return new

    def _save(self, row: TokenRow) -> None:
        row = row._replace(written_at=self._clock.timestamp())
        self._table.put(row._replace(state=self._states.judged(row).state))

    def _next(self, row: TokenRow) -> float:
        """Return when there is something to do: daily, and at each moment of a warning or refresh before that."""
        now, (end, _) = self._clock.timestamp(), end_of(row)
        moments = [] if end is None else [end - days * DAY for days in (*WARN_DAYS, 0)]
        if row.kind == INSTAGRAM and row.expires_at is not None and row.failure is None:
            moments.append(row.expires_at - REFRESH_WITHIN)
        if row.refresh_due_at is not None:
            moments.append(row.refresh_due_at)
        return min([now + CHECK_EVERY, *(moment + 1 for moment in moments if moment > now)])


def _stored(end: float | None) -> float | None:
    return NEVER_ENDS if end == NEVER else end


def _not_refreshed(account: Account, row: TokenRow, *, was_known: bool) -> TokenRow:
    """Return the row of a token whose successor could not be kept; log that once."""
    if not was_known:
        log.warning(
            "The token of an account cannot be refreshed",
            extra={"account": account.id, "next_step": "Set TOKEN_KEY (`make account ARGS=key`)."},
        )
    return row._replace(reason=NOT_REFRESHED)


def _with_scopes(row: TokenRow, login: str, scopes: Collection[str] | None) -> TokenRow:
    """Return a row with the permissions of its token and those that it lacks; unknown ones lack nothing."""
    if scopes is None:
        return row._replace(scopes=None, missing_scopes=None)
    missing = [scope for scope in NEEDED_SCOPES[login] if scope not in scopes]
    return row._replace(scopes=",".join(scopes), missing_scopes=",".join(missing) or None)


def _is_short_lived(details: TokenDetails) -> bool:
    """Return whether a token was short-lived from its beginning.

    Unlike a token that was just given, one that is kept is not exchanged again on each of its last days.
    """
    if details.type != "USER" or details.issued_at is None or details.expires_at in {None, NEVER}:
        return False
    return float(details.expires_at or 0) - details.issued_at < SHORT_LIVED
