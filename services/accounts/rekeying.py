"""A new encryption key: every stored token is encrypted again with the first key of TOKEN_KEY.

Gateways and workers go on meanwhile. A token that one of them replaces in between is left as it is: each row is only
changed if it still holds what was read. Stopped at any moment, the next run does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.accounts.token_encryption import TokenEncryption
from services.errors import ProviderNotConfiguredError
from services.store.account_tokens import AccountTokens, SealedToken
from services.store.accounts import AccountTable

PASSES = 5  # over all rows, where others replace tokens meanwhile


@dataclass(frozen=True)
class KeyCount:
    """How many stored tokens there are, how many of them under an old key, and how many that no key opens."""

    total: int
    old: int
    closed: int

    @property
    def all_(self) -> str:
        """The number of tokens in words; an account may have a refreshed one beside the given one."""
        return f"{self.total} {'token' if self.total == 1 else 'tokens'} (refreshed ones included)"


class Rekeying:
    """Encrypts the tokens of added accounts again: those that were given, refreshed ones, and those on trial."""

    def __init__(self, accounts: AccountTable, tokens: AccountTokens, encryption: TokenEncryption) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._encryption = encryption

    @property
    def has_old_keys(self) -> bool:
        """Whether TOKEN_KEY has a key beside the first one."""
        return self._encryption.has_old_keys

    def count(self) -> KeyCount:
        """Return how many tokens are under which keys; raises `ProviderNotConfiguredError` without a key."""
        self._encryption.keys()
        sealed = self._sealed()
        old = [each for each in sealed if not self._encryption.is_current(each.sealed)]
        closed = sum(self._rotated(each) is None for each in old)
        return KeyCount(len(sealed), len(old) - closed, closed)

    def run(self, on_progress: Callable[[int, int], None]) -> KeyCount:
        """Encrypt every token that is under an old key; return what there is afterwards.

        `on_progress` gets how many were done of how many.
        """
        for _ in range(PASSES):
            rotated = [
                (each, again)
                for each in self._sealed()
                if not self._encryption.is_current(each.sealed) and (again := self._rotated(each)) is not None
            ]
            if not rotated:
                break
            for done, (each, again) in enumerate(rotated, 1):
                if each.column is None:
                    self._accounts.reseal(each.account, each.sealed, again)
                else:
                    self._tokens.reseal(each, again)
                on_progress(done, len(rotated))
        return self.count()

    def _sealed(self) -> list[SealedToken]:
        given = [SealedToken(row.id, "", None, row.token) for row in self._accounts.rows()]
        return [*given, *self._tokens.sealed()]

    def _rotated(self, token: SealedToken) -> bytes | None:
        try:
            return self._encryption.rotated(token.sealed)
        except ProviderNotConfiguredError:
            return None
