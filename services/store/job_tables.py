"""The tables of background work: jobs, workers, what webhooks bring, and events to announce."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, String, Table, Text, text

from services.store.schema_versions import gateway
from services.store.types import Message, ShortMessage, mode_column

jobs = Table(
    "jobs",
    gateway,
    mode_column(),
    Column("kind", String(32), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("payload", Text, nullable=False),  # JSON
    Column("due_at", Double),  # null while a worker holds it, and after the last attempt
    Column("attempts", Integer, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("failure", Message),  # of the last attempt, if it failed
    Index("jobs_by_due", "mode", "due_at"),
)

workers = Table(
    "workers",
    gateway,
    mode_column(),
    Column("holder", String(64), primary_key=True),
    Column("host", ShortMessage(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    gateway,
    mode_column(),
    Column("digest", String(64), primary_key=True),  # SHA-256 of the body
    Column("body", LargeBinary, nullable=False),  # as it was received
    Column("signed_by", String(16), nullable=False),  # the login whose app secret made the signature
    Column("received_at", Double, nullable=False),
    Column("read_at", Double),  # when its changes were entered below
    Column("failure", Message),  # what of it could not be read
    Index("webhook_deliveries_by_read_at", "mode", "read_at", "received_at"),
)

# A query finds the index of those that failed by these words only.
CHANGE_FAILED = text("state = 'failed'")

webhook_changes = Table(
    "webhook_changes",
    gateway,
    mode_column(),
    Column("digest", String(64), primary_key=True),  # SHA-256 of account, field and value
    Column("account", String(64), nullable=False),
    Column("field", ShortMessage(64), nullable=False),
    Column("value", Text, nullable=False),  # JSON in ASCII
    Column("time", Double, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("state", String(16), nullable=False),  # pending, applied, kept, failed
    Column("due_at", Double),  # null unless it is pending
    Column("attempts", Integer, nullable=False),
    Column("applied_at", Double),
    Column("failure", Message),  # of the last attempt, if it failed
    Index("webhook_changes_by_due_at", "mode", "due_at"),
    Index("webhook_changes_by_received_at", "mode", "received_at"),
    Index(
        "webhook_changes_failed",
        "mode",
        sqlite_where=CHANGE_FAILED,
        postgresql_where=CHANGE_FAILED,
    ),
)

# The outbox of the outgoing webhook.
notifications = Table(
    "notifications",
    gateway,
    mode_column(),
    Column("id", String(64), primary_key=True),
    Column("event", String(32), nullable=False),
    Column("account", String(64)),
    Column("creator", String(64)),
    Column("body", Text, nullable=False),  # JSON in ASCII, as it is sent and signed
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Double),  # null once it was delivered or given up
    Column("delivered_at", Double),
    Column("given_up_at", Double),
    Column("failure", ShortMessage(64)),  # of the last attempt, if it failed
    Index("notifications_by_due_at", "mode", "due_at"),
)
