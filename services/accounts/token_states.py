"""The state of each account's token: when it ends, why it is refused, what it lacks, and the next step."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from services.accounts.account_states import NOT_CHECKED, NOT_DECRYPTED, HealthState, TokenNews
from services.accounts.checks import DATA_ACCESS_EXPIRED
from services.accounts.current_tokens import EXPIRED, INVALID, CurrentTokens, refused_state
from services.accounts.diagnosis import SCOPES_MISSING
from services.accounts.expiry_warning_days import WARNED_BEFORE
from services.cache.policies import DAY
from services.clock import Clock
from services.days import our_time
from services.store.account_tokens import NEVER_ENDS, AccountTokens, TokenRow

LONG_LIVED = 60 * DAY  # the longest life of a token of the Instagram login
OVER, NOT_REFRESHED = "expired", "not_refreshed"
NOT_DECRYPTED_STATE = "not_decrypted"  # of a token that no key of TOKEN_KEY opens; its account has NOT_DECRYPTED
SET_THE_KEY = "Set TOKEN_KEY to the key that encrypted the token, or add the account again with `make account`."
SOON = {OVER: "expires_soon", DATA_ACCESS_EXPIRED: "data_access_expires_soon"}  # while the end has not come
INSTAGRAM = "INSTAGRAM"  # the kind of every token of that login; Meta's own kinds are USER, PAGE and SYSTEM_USER
HEALTH: Mapping[str, HealthState] = {
    EXPIRED: HealthState.NEEDS_LOGIN,
    INVALID: HealthState.NEEDS_LOGIN,
    "expiring": HealthState.EXPIRING,
    "missing_permission": HealthState.PERMISSIONS_MISSING,
}


@dataclass(frozen=True)
class TokenState:
    """The state of one token: ok, expiring, expired, invalid, missing_permission, unknown or not_decrypted.

    `expires_at` (Unix seconds) is the end of the token or, if that is earlier, of its access to data; None where that
    is unknown or never. `is_end_certain` is False where it can also be earlier.
    """

    account: str
    state: str
    reason: str | None = None
    message: str | None = None
    next_step: str | None = None
    expires_at: float | None = None
    is_end_certain: bool = True
    days_left: int | None = None
    missing_scopes: tuple[str, ...] = ()
    checked_at: float | None = None

    def as_(self, state: str, reason: str | None, message: str | None, next_step: str | None) -> TokenState:
        """Return the same token in a state, with its reason and the next step."""
        return replace(self, state=state, reason=reason, message=message, next_step=next_step)

    def news(self) -> TokenNews | None:
        """Return what callers of /accounts and /status should know of it, or None where all is well or unknown."""
        health = HEALTH.get(self.state)
        if health is None:
            return None
        return TokenNews(health, self.reason or self.state, self.message or "", self.next_step or "")


class TokenOfAccount(Protocol):
    """An account by its id, if that is known, its login, and the fingerprint of its token, if that can be opened."""

    @property
    def id(self) -> str | None: ...  # noqa: D102
    @property
    def fingerprint(self) -> str | None: ...  # noqa: D102
    @property
    def login(self) -> str: ...  # noqa: D102


class TokenStates:
    """Reads the states from what is kept; no provider is called."""

    def __init__(self, table: AccountTokens, tokens: CurrentTokens, clock: Clock) -> None:
        self._table = table
        self._tokens = tokens
        self._clock = clock

    def of(self, accounts: Iterable[TokenOfAccount]) -> Mapping[str, TokenState]:
        """Return the state of the token in use of each account (id); raises `DatabaseUnavailableError`.

        A token that is new here is `unknown`.
        """
        rows = {(row.account, row.fingerprint): row for row in self._table.all()}
        states = {}
        for account in accounts:
            # A token of the settings may have been refused before its account was known.
            found = (rows.get((owner, account.fingerprint or "")) for owner in (account.id or "", ""))
            row = next((each for each in found if each is not None), None)
            if row is not None:
                states[account.id or ""] = self.judged(row, account.login)
            elif account.fingerprint is None:
                states[account.id or ""] = TokenState(
                    account.id or "", NOT_DECRYPTED_STATE, NOT_DECRYPTED, next_step=SET_THE_KEY
                )
            else:
                states[account.id or ""] = TokenState(account.id or "", "unknown", NOT_CHECKED)
        return states

    def renewal(self, login: str, *, is_configured: bool) -> str:
        """Return the next step for a token that has to be replaced."""
        return self._tokens.steps.renewal(login, is_configured=is_configured)

    def judged(self, row: TokenRow, login: str | None = None) -> TokenState:
        """Return the state that a row shows at this moment; `login` may be left out where the row shows it."""
        login = login or ("instagram" if row.kind == INSTAGRAM else "facebook")
        renewal = self.renewal(login, is_configured=self._tokens.is_given_in_settings(row.given_fingerprint))
        now = self._clock.timestamp()
        end, is_certain = end_of(row)
        left = None if end is None else math.ceil((end - now) / DAY)
        missing = tuple(filter(None, (row.missing_scopes or "").split(",")))
        found = TokenState(
            row.account,
            "unknown",
            expires_at=end,
            is_end_certain=is_certain,
            days_left=left,
            missing_scopes=missing,
            checked_at=row.checked_at,
        )
        if (error := self._tokens.failure_of(row)) is not None:
            return found.as_(refused_state(error), row.reason or error.code, error.message, error.hint or renewal)
        if end is not None and end <= now and is_certain:
            ends, what = _what_ends(row)
            return found.as_(EXPIRED, ends, f"{what} ended at {our_time(end)}.", renewal)
        if missing:
            message = f"The token lacks {', '.join(missing)}."
            next_step = f"Grant every permission that docs/set-up.md names. {renewal}"
            return found.as_("missing_permission", SCOPES_MISSING, message, next_step)
        if end is not None and end - now <= WARNED_BEFORE:
            ends, what = _what_ends(row)
            ends = SOON[ends]
            when = f"ends at {our_time(end)}" if is_certain else f"ends at {our_time(end)} at the latest"
            return found.as_("expiring", ends, f"{what} {when}.", _next_step(row, renewal))
        if row.checked_at is None or row.reason is not None:
            step = _next_step(row, renewal) if row.reason == NOT_REFRESHED else None
            return found.as_("unknown", row.reason or NOT_CHECKED, None, step)
        return found.as_("ok", None, None, None)


def end_of(row: TokenRow) -> tuple[float | None, bool]:
    """Return when a token is of no use any more (Unix seconds), None for never or unknown; and whether that is certain.

    The Instagram login does not say when a given token ends, but none of its tokens lives longer than 60 days.
    """
    known = [end for end in (row.expires_at, row.data_access_expires_at) if end is not None and end != NEVER_ENDS]
    if known:
        return min(known), True
    if row.expires_at is None and row.kind == INSTAGRAM:
        return row.seen_at + LONG_LIVED, False
    return None, True


def _what_ends(row: TokenRow) -> tuple[str, str]:
    is_access = row.data_access_expires_at is not None and row.data_access_expires_at == end_of(row)[0]
    return (DATA_ACCESS_EXPIRED, "The access to data of the token") if is_access else (OVER, "The token")


def _next_step(row: TokenRow, renewal: str) -> str:
    if row.reason == NOT_REFRESHED:
        return f"Set TOKEN_KEY, so that the gateway can keep what it refreshes. Or: {renewal}"
    return renewal
