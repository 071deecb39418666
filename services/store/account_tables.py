"""The tables of accounts and of API keys."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, String, Table, Text

from services.store.schema_versions import gateway
from services.store.types import Message, ShortMessage, mode_column

accounts = Table(
    "accounts",
    gateway,
    mode_column(),
    Column("id", String(64), primary_key=True),
    Column("username", ShortMessage(64), nullable=False),  # in lower case; empty if unknown
    Column("login", String(16), nullable=False),
    Column("page_id", String(64), nullable=False),
    Column("token", LargeBinary, nullable=False),  # encrypted with TOKEN_KEY
    Column("added_at", Double, nullable=False),
)

# What is known of whether an account can be read; not the state of its token.
account_health = Table(
    "account_health",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("answered_at", Double),  # when a call with its token was last answered, to a minute
    Column("rejected_at", Double),  # when its token was last rejected
    Column("rejected_as", ShortMessage(64)),  # the code of that failure
    Column("checked_at", Double),  # when it was last checked, by the worker or by a command
    Column("failed_as", ShortMessage(64)),  # the code of the check that failed; null if none did
    Column("failure", Message),
    Column("next_step", Message),
)

# A row for each token, so that a late refusal of a replaced token cannot be taken for one of its successor.
account_tokens = Table(
    "account_tokens",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),  # empty while the account of the settings is not known
    Column("fingerprint", String(32), primary_key=True),
    Column("given_fingerprint", String(32), nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("written_at", Double, nullable=False),
    Column("sealed", LargeBinary),  # encrypted with TOKEN_KEY, as `pending`
    Column("pending", LargeBinary),
    Column("pending_expires_at", Double),
    Column("issued_at", Double),
    Column("expires_at", Double),
    Column("data_access_expires_at", Double),
    Column("refresh_due_at", Double),
    Column("kind", ShortMessage(16)),
    Column("scopes", Message),
    Column("missing_scopes", Message),
    Column("state", String(24), nullable=False),  # ok, expiring, expired, invalid, missing_permission, unknown
    Column("reason", String(64)),
    Column("failure", Text),  # JSON in ASCII
    Column("failed_with", String(32)),
    Column("checked_at", Double),
    Column("warned_days", Integer),
    Index("account_tokens_by_written_at", "mode", "written_at"),
)

account_troubles = Table(
    "account_troubles",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),  # of the job whose reads fail
    Column("code", ShortMessage(64), nullable=False),
    Column("began_at", Double, nullable=False),
)

# One row for each key. `digest` is the SHA-256 of the whole key as its caller sends it; `former_digest` is that of the
# key before a rotation, which is valid until `former_until`.
api_keys = Table(
    "api_keys",
    gateway,
    mode_column(),
    Column("id", String(16), primary_key=True),
    Column("label", ShortMessage(100), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("former_digest", String(64)),
    Column("former_until", Double),
    Column("scope", String(16), nullable=False),
    Column("accounts", Text),  # ids, comma-separated; null for every account
    Column("requests_per_minute", Integer),
    Column("milli_credits", Integer),  # that it may spend in a calendar month
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("rotated_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

# How often another table was changed, by which each process notices it.
change_counters = Table(
    "change_counters",
    gateway,
    mode_column(),
    Column("name", String(32), primary_key=True),  # of that table
    Column("counter", Integer, nullable=False),
)
