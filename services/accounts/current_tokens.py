"""Which token each account is read with: the one that was given or its refreshed successor, and none that is refused.

Every process reads the table of tokens every second: what was written since, and all of it once a minute.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from typing import NamedTuple

from services.accounts.next_steps import TokenSteps
from services.accounts.token_encryption import TokenEncryption
from services.cache.failure_text import deserialize, serialize
from services.clients.graph.error_codes import WITH_OWN_STEP
from services.clients.graph.models import Account
from services.clients.guard.guard import NO_ACCOUNT
from services.clock import Clock
from services.errors import ProviderError, ProviderNotConfiguredError, TokenExpiredError, TokenInvalidError
from services.store.account_tokens import AccountTokens, TokenRow
from services.store.database import DatabaseUnavailableError, Transaction

READ_ALL_EVERY = 60.0  # seconds
TRY_EVERY = 2.0  # seconds between tries while nothing could be read
OVERLAP = 60.0  # seconds; the clocks of the processes that write may differ by so much
TOKEN_REFUSED = (TokenExpiredError, TokenInvalidError)
EXPIRED, INVALID = "expired", "invalid"  # the states of a token that is of no use any more

log = logging.getLogger(__name__)


class TokenRefusal(NamedTuple):
    """A token that became one that Instagram does not accept."""

    account: str
    error: ProviderError


def ignore(_refusal: TokenRefusal, _within: Transaction | None) -> None:
    """Do nothing with a token that is refused."""


@lru_cache(20_000)
def fingerprint(secret: str) -> str:
    """Return a hash that distinguishes one secret from another without revealing it."""
    return hashlib.sha256(secret.encode()).hexdigest()[:32]


def refused_state(error: ProviderError) -> str:
    """Return the state of a token that is refused with a failure."""
    return EXPIRED if isinstance(error, TokenExpiredError) else INVALID


class CurrentTokens:
    """The tokens in use; the gate of the Graph API's client. Safe for threads."""

    def __init__(
        self,
        table: AccountTokens,
        encryption: TokenEncryption,
        clock: Clock,
        *,
        configured: str,
        calls_with: str,
        steps: TokenSteps,
        on_refused: Callable[[TokenRefusal, Transaction | None], None] = ignore,
    ) -> None:
        """Build it; `configured` is the token of the settings.

        `calls_with` are the settings on which it may depend whether a token is accepted, as a text: a refusal under
        other settings says nothing. `on_refused` gets each token that becomes a refused one, once over all processes,
        and the transaction that notes it, or None where the database is unavailable.
        """
        self._table = table
        self._encryption = encryption
        self._clock = clock
        self._configured = fingerprint(configured) if configured else None
        self._calls_with = fingerprint(calls_with)
        self.steps = steps
        self._on_refused = on_refused
        self._lock = threading.Lock()
        self._successors: dict[str, tuple[bytes, str]] = {}  # by the fingerprint of the given token
        self._given: dict[str, str] = {}  # fingerprints of the given tokens by those of their successors
        self._refused: dict[str, ProviderError] = {}  # by the fingerprint of the token
        self._marks = 0  # refusals that were noted here
        self._newest = 0.0  # the latest `written_at`
        self._read_all_at: float | None = None
        self._tried_at: float | None = None

    def of(self, account: Account) -> Account:
        """Return an account with the token to use: the given one, or what it was refreshed to."""
        token = self.token(account.token)
        return account if token == account.token else replace(account, token=token)

    def token(self, given: str) -> str:
        """Return the token to use for a token that was given."""
        self._look()
        known = self._successors.get(fingerprint(given))
        return given if known is None else known[1]

    def given(self, token: str) -> str:
        """Return the fingerprint of the given token that a token descends from; often it is its own."""
        mine = fingerprint(token)
        return self._given.get(mine, mine)

    def is_configured(self, token: str) -> bool:
        """Return whether a token is that of the settings, or descends from it."""
        return self.given(token) == self._configured

    def known_end(self, token: str) -> float | None:
        """Return when a token ends, as far as the worker or a command has found that out."""
        with suppress(DatabaseUnavailableError):
            return self._table.end_of(fingerprint(token))
        return None

    def is_given_in_settings(self, given: str) -> bool:
        """Return whether a given token, by its fingerprint, is that of the settings."""
        return given == self._configured

    def refusal(self, account: Account) -> ProviderError | None:
        """Return the failure that a call is refused with, or None where its token is not known to be refused."""
        self._look()
        found = self._refused.get(fingerprint(account.token))
        return None if found is None else found.unsent(retry_after=None)

    def check(self, account: Account) -> None:
        """Raise the failure that a call is refused with, if its token is known to be refused."""
        if (refused := self.refusal(account)) is not None:
            raise refused

    def failed(self, account: Account, error: ProviderError) -> None:
        """Note that Instagram does not accept a token; its calls are refused from now on, in every process.

        Nothing else than that counts: a fault that passes, a throttle and a missing permission are none of the token.
        Of calls without an account only those with the token of the settings count. Any other one is a caller's own.
        """
        if not isinstance(error, TOKEN_REFUSED) or not error.reached:
            return
        mine, now = fingerprint(account.token), self._clock.timestamp()
        given = self.given(account.token)
        if account.id == NO_ACCOUNT and given != self._configured:
            return
        if error.reason not in WITH_OWN_STEP:
            error.hint = self.steps.renewal(account.login, is_configured=given == self._configured)
        row = TokenRow(
            account.id,
            mine,
            given,
            seen_at=now,
            written_at=now,
            state=refused_state(error),
            reason=error.reason,
            failure=serialize(error),
            failed_with=self._calls_with,
            checked_at=now,
        )
        refusal = TokenRefusal(account.id, error)
        try:
            is_new = self._table.note_failure(row, partial(self._on_refused, refusal))
        except DatabaseUnavailableError:
            is_new = mine not in self._refused
            if is_new:
                self._on_refused(refusal, None)
        with self._lock:
            self._marks += 1
            self._refused[mine] = error
        if is_new:
            extra = {"account": account.id, "reason": error.reason, "code": error.code, "next_step": error.hint}
            log.warning("Instagram does not accept the token of an account any more", extra=extra)

    def accepted(self, token: str) -> None:
        """Note that a token that was refused is accepted again."""
        with self._lock:
            self._refused = {key: error for key, error in self._refused.items() if key != fingerprint(token)}

    def read(self) -> None:
        """Read what was written since the last time; a periodic task. Raises `DatabaseUnavailableError`."""
        now = self._clock.monotonic()
        is_whole = self._read_all_at is None or now - self._read_all_at >= READ_ALL_EVERY
        with self._lock:
            before = None if self._read_all_at is None else self._refused.keys()
            marks, since = self._marks, None if is_whole else self._newest - OVERLAP
        rows = self._table.written_since(since)
        with self._lock:
            # A refusal that was noted since may be missing from what was read.
            kept = not is_whole or self._marks != marks
            refused, successors = (dict(self._refused), dict(self._successors)) if kept else ({}, {})
            for row in rows:
                if (error := self.failure_of(row)) is not None:
                    refused[row.fingerprint] = error
                elif self._marks == marks:
                    refused.pop(row.fingerprint, None)
                known = self._successors.get(row.given_fingerprint)
                if row.sealed is not None and (known is None or known[0] != row.sealed):
                    with suppress(ProviderNotConfiguredError):
                        successors[row.given_fingerprint] = row.sealed, self._encryption.open(row.sealed)
                elif row.sealed is not None and known is not None:
                    successors[row.given_fingerprint] = known
            self._refused, self._successors = refused, successors
            self._given = {fingerprint(token): given for given, (_, token) in successors.items()}
            written = (self._clock.past(at) for at in (self._newest, *(row.written_at for row in rows)))
            self._newest = max((at for at in written if at is not None), default=0.0)
            self._read_all_at = now if is_whole else self._read_all_at
        for row in rows:
            if before is not None and row.fingerprint in refused.keys() - before:
                # For one found by a command, which logs nothing.
                extra = {"account": row.account, "reason": row.reason, "next_step": refused[row.fingerprint].hint}
                log.info("Another process found that Instagram does not accept the token of an account", extra=extra)

    def failure_of(self, row: TokenRow) -> ProviderError | None:
        """Return why calls with a token are refused, or None where they are not, or no longer."""
        if row.failure is None or row.failed_with != self._calls_with:
            return None
        try:
            error = deserialize(row.failure)
        except ValueError:
            return None
        error.reason = row.reason
        return error

    def _look(self) -> None:
        """Read the table before the first use, because the periodic task may not have begun."""
        if self._read_all_at is not None:
            return
        now = self._clock.monotonic()
        if self._tried_at is None or now - self._tried_at >= TRY_EVERY:
            self._tried_at = now
            with suppress(DatabaseUnavailableError):
                self.read()
