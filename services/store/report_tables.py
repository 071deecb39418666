"""The tables of reports and of what they cost."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, String, Table, Text, text

from services.store.schema_versions import gateway
from services.store.types import Message, Number, ShortMessage, mode_column

# `source` is `modash` or `sandbox`: a simulated report must never be mistaken for a paid one.
reports = Table(
    "reports",
    gateway,
    mode_column(primary_key=False),
    Column("id", Integer, primary_key=True),
    Column("source", String(64), nullable=False),
    Column("creator", String(64), nullable=False),
    Column("body", Text, nullable=False),  # JSON, as Modash sent it
    Column("fetched_at", Double, nullable=False),
    Column("milli_credits", Integer, nullable=False),
    Column("credits_left", Number),
    Index("reports_by_creator", "mode", "source", "creator", "fetched_at"),
)

ledger = Table(
    "ledger",
    gateway,
    mode_column(primary_key=False),
    Column("id", Integer, primary_key=True),
    Column("source", String(64), nullable=False),
    Column("creator", String(64), nullable=False),
    Column("caller", String(64), nullable=False),
    Column("month", String(7), nullable=False),
    Column("state", String(16), nullable=False),  # open, charged, free, uncertain
    Column("milli_credits", Integer, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("settled_at", Double),
    Column("code", ShortMessage(64)),  # how the call ended
    Index(
        "ledger_open",
        "mode",
        "source",
        "creator",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index("ledger_by_creator", "mode", "source", "creator", "state"),
    Index("ledger_by_state", "mode", "source", "state", "opened_at"),
    Index("ledger_by_caller", "mode", "source", "caller", "month"),
)

ledger_months = Table(
    "ledger_months",
    gateway,
    mode_column(),
    Column("source", String(64), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("milli_credits", Integer, nullable=False),  # of all rows of the ledger except the free ones
)

settlements_set_apart = Table(
    "settlements_set_apart",
    gateway,
    mode_column(),
    # Negative where another call has the number: the content has the true one.
    Column("ledger_id", Integer, primary_key=True, autoincrement=False),
    Column("content", Text, nullable=False),  # JSON in ASCII: what a call brought, and how it was to be booked
    Column("failure", Message, nullable=False),
    Column("set_apart_at", Double, nullable=False),
)

pending_reports = Table(
    "pending_reports",
    gateway,
    mode_column(),
    Column("source", String(64), primary_key=True),
    Column("creator", String(64), primary_key=True),
    Column("asked_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("message", Message, nullable=False),
)

creators = Table(
    "creators",
    gateway,
    mode_column(),
    Column("source", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("handle", String(64), nullable=False),
)

balances = Table(
    "balances",
    gateway,
    mode_column(),
    Column("source", String(64), primary_key=True),
    Column("credits", Number),
    Column("read_at", Double, nullable=False),
)
