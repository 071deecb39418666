"""Every table, and the version of each database that this code needs.

Two databases: `memory`, which may be thrown away at any time, and `gateway`, the truth. In PostgreSQL they are one.
Migrations (`migrations/<database>/`) lead from version to version; nothing is created without them.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

MEMORY, GATEWAY = "memory", "gateway"
VERSIONS: Mapping[str, str] = {MEMORY: "0002", GATEWAY: "0004"}

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

accounts = Table(
    "accounts",
    gateway,
    Column("id", String(64), primary_key=True),
    Column("username", String(64), nullable=False),  # in lower case; empty where it is not known
    Column("login", String(16), nullable=False),
    Column("page_id", String(64), nullable=False),
    Column("token", LargeBinary, nullable=False),  # encrypted with TOKEN_KEY
    Column("added_at", Double, nullable=False),
)

# Of reports and their cost the account is the source: what the sandbox invented must never pass for what was paid for.
reports = Table(
    "reports",
    gateway,
    Column("id", Integer, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("creator", String(64), nullable=False),
    Column("body", Text, nullable=False),  # JSON, as it came
    Column("fetched_at", Double, nullable=False),
    Column("milli_credits", Integer, nullable=False),
    Column("credits_left", Double),
    Index("reports_by_creator", "account", "creator", "fetched_at"),
)

ledger = Table(
    "ledger",
    gateway,
    Column("id", Integer, primary_key=True),
    Column("account", String(64), nullable=False),
    Column("creator", String(64), nullable=False),
    Column("caller", String(64), nullable=False),
    Column("month", String(7), nullable=False),
    Column("state", String(16), nullable=False),  # open, charged, free, uncertain
    Column("milli_credits", Integer, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("settled_at", Double),
    Column("code", String(64)),  # what came of the call
    Index(
        "ledger_open",
        "account",
        "creator",
        unique=True,
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index("ledger_by_creator", "account", "creator", "state"),
    Index("ledger_by_state", "account", "state", "opened_at"),
)

ledger_months = Table(
    "ledger_months",
    gateway,
    Column("account", String(64), primary_key=True),
    Column("month", String(7), primary_key=True),
    Column("milli_credits", Integer, nullable=False),  # of all rows of the ledger but the free ones
)

pendings = Table(
    "pendings",
    gateway,
    Column("account", String(64), primary_key=True),
    Column("creator", String(64), primary_key=True),
    Column("asked_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("message", Text, nullable=False),
)

creators = Table(
    "creators",
    gateway,
    Column("account", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("handle", String(64), nullable=False),
)

balances = Table(
    "balances",
    gateway,
    Column("account", String(64), primary_key=True),
    Column("credits", Double),
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
