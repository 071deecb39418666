"""The encryption of the tokens of added accounts in the database."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from services.errors import ProviderNotConfiguredError


class TokenEncryption:
    """Encrypts with the first of its keys, and opens with any; passes each token to `learn` (redaction) first."""

    def __init__(self, keys: Sequence[str], *, learn: Callable[[str], None]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys]) if keys else None
        self._first = Fernet(keys[0]) if keys else None
        self._number = len(keys)
        self._learn = learn

    def __repr__(self) -> str:
        return f"TokenEncryption({'with' if self._fernet else 'without'} a key)"

    def seal(self, token: str) -> bytes:
        """Return a token as it may be stored; raise `ProviderNotConfiguredError` without a key."""
        self._learn(token)
        return self.keys().encrypt(token.encode())

    def open(self, sealed: bytes) -> str:
        """Return the token; raise `ProviderNotConfiguredError` where none of the keys fits."""
        keys = self.keys()
        try:
            token = keys.decrypt(sealed).decode()
        except InvalidToken:
            raise ProviderNotConfiguredError(
                "The token of this account was encrypted with another key.",
                provider="instagram",
                hint="For the operator: add the key of that time to TOKEN_KEY, or add the account again "
                "with `make account`.",
            ) from None
        self._learn(token)
        return token

    def is_current(self, sealed: bytes) -> bool:
        """Return whether a token is encrypted with the first key."""
        if self._first is None:
            return False
        try:
            self._first.decrypt(sealed)
        except InvalidToken:
            return False
        return True

    @property
    def has_old_keys(self) -> bool:
        """Whether there is a key beside the first one."""
        return self._number > 1

    def rotated(self, sealed: bytes) -> bytes:
        """Return what was stored, encrypted with the first key; raise `ProviderNotConfiguredError` as `open` does."""
        self.open(sealed)
        return self.keys().rotate(sealed)

    def keys(self) -> MultiFernet:
        """Return the keys; raise `ProviderNotConfiguredError` where there are none."""
        if self._fernet is None:
            raise ProviderNotConfiguredError(
                "TOKEN_KEY is missing, with which the tokens of added accounts are encrypted.",
                provider="instagram",
                hint="For the operator: `make account ARGS=key` prints one; set TOKEN_KEY to it in .env.",
            )
        return self._fernet


def new_key() -> str:
    """Return a new random key."""
    return Fernet.generate_key().decode()
