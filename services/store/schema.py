"""Every table, and the version of each database that this code needs.

Two databases: `memory`, which may be thrown away at any time, and `gateway`, the truth. In PostgreSQL they are one.
Migrations (`migrations/<database>/`) lead from version to version; nothing is created without them.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

MEMORY, GATEWAY = "memory", "gateway"
VERSIONS: Mapping[str, str] = {MEMORY: "0002_paces", GATEWAY: "0002_jobs"}

memory = MetaData()
gateway = MetaData()

memories = Table(
    "memories",
    memory,
    Column("account", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("part", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),  # JSON, for no other process may be made to run what it reads
    Column("fetched_at", Double, nullable=False),  # Unix seconds, as all moments here
    Column("kept_until", Double, nullable=False),
    Index("memories_by_kept_until", "kept_until"),
)

flights = Table(
    "flights",
    memory,
    Column("account", String(64), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("failure", Text),  # how the last flight ended, if it failed
    Index("flights_by_lease", "lease_until"),
    Index("flights_by_holder", "holder"),
)

changes = Table(
    "changes",
    memory,
    Column("account", String(64), primary_key=True),
    Column("counter", Integer, nullable=False),
)

usages = Table(
    "usages",
    memory,
    Column("provider", String(16), primary_key=True),
    Column("account", String(64), primary_key=True),
    Column("percent", Double, nullable=False),
    Column("kinds", Text, nullable=False),
    Column("blocked_until", Double),
    Column("read_at", Double, nullable=False),
)

paces = Table(
    "paces",
    memory,
    Column("provider", String(16), primary_key=True),
    Column("next_at", Double, nullable=False),
)

readings = Table(
    "readings",
    gateway,
    Column("account", String(64), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("breakdown", String(64), primary_key=True),  # dimensions, comma-separated; empty without one
    Column("first_day", String(10), primary_key=True),
    Column("last_day", String(10), primary_key=True),
    Column("value", Double),
    Column("buckets", Text),
    Column("read_at", Double, nullable=False),
)

jobs = Table(
    "jobs",
    gateway,
    Column("kind", String(32), primary_key=True),
    Column("key", String(200), primary_key=True),
    Column("payload", Text, nullable=False),  # JSON
    Column("due_at", Double),  # null while somebody holds it, and once it was given up
    Column("attempts", Integer, nullable=False),
    Column("holder", String(64), nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("failure", Text),  # of the last attempt, if it failed
    Index("jobs_by_due", "due_at"),
)

workers = Table(
    "workers",
    gateway,
    Column("holder", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)
