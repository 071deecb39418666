"""The tables of `memory`, which may be lost: the cache, its leases, and what the processes share of limits."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, String, Table, Text

from services.store.schema_versions import memory
from services.store.types import mode_column

cache_entries = Table(
    "cache_entries",
    memory,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("part", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),  # JSON: unlike a pickle, it runs no code when it is read
    Column("fetched_at", Double, nullable=False),  # Unix seconds, like all times here
    Column("kept_until", Double, nullable=False),
    Index("cache_entries_by_kept_until", "mode", "kept_until"),
)

leases = Table(
    "leases",
    memory,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("failure", Text),  # of the last fetch, if it failed
    Index("leases_by_lease_until", "mode", "lease_until"),
    Index("leases_by_holder", "holder"),
)

cache_versions = Table(
    "cache_versions",
    memory,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("counter", Integer, nullable=False),
)

quota_usage = Table(
    "quota_usage",
    memory,
    mode_column(),
    Column("provider", String(16), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("percent", Double, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("blocked_until", Double),
    Column("read_at", Double, nullable=False),
)

throttles = Table(
    "throttles",
    memory,
    mode_column(),
    Column("provider", String(16), primary_key=True),
    Column("account", String(64), primary_key=True),  # "" for all calls, "-" for those without an account
    Column("began_at", Double, nullable=False),
    Column("ends_at", Double, nullable=False),
    Column("next_call_at", Double, nullable=False),
    Column("failure", Text, nullable=False),
)

rate_limits = Table(
    "rate_limits",
    memory,
    mode_column(),
    Column("provider", String(16), primary_key=True),
    Column("next_at", Double, nullable=False),
)

# By the key of the `limits` library, which names what is limited: `LIMITER/key/<id>/600/1/minute`.
request_counts = Table(
    "request_counts",
    memory,
    mode_column(),
    Column("caller", String(100), primary_key=True),
    Column("minute", Integer, primary_key=True, autoincrement=False),  # since 1970
    Column("requests", Integer, nullable=False),
    Column("changed_at", Double, nullable=False),
    Index("request_counts_by_changed_at", "mode", "changed_at"),
)

# What GET /metrics shows of all processes: a count for each family and labels, of a histogram for each bucket.
counters = Table(
    "counters",
    memory,
    mode_column(),
    Column("name", String(64), primary_key=True),
    Column("labels", String(200), primary_key=True),  # JSON in ASCII
    Column("value", Double, nullable=False),
)

process_gauges = Table(
    "process_gauges",
    memory,
    mode_column(),
    Column("process", String(64), primary_key=True),
    Column("content", Text, nullable=False),  # JSON
    Column("seen_at", Double, nullable=False),
)
