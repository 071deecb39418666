"""The text of an API key: `igw_`, its id, and 256 random bits; only a digest of it is stored."""

from __future__ import annotations

import hashlib
import secrets

from services.redaction import KEY_PREFIX

ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1, which are easily confused
ID_LENGTH = 10
SECRET_BYTES = 32


def new_id() -> str:
    """Return a new id, which is no secret: logs, the ledger and commands name the key by it."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


def new_text(key: str) -> str:
    """Return a new text for the key with an id."""
    return f"{KEY_PREFIX}{key}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(text: str) -> bytes:
    """Return the SHA-256 of a text; of 256 random bits it needs no salt and no slow hash."""
    return hashlib.sha256(text.encode("latin-1", "replace")).digest()
