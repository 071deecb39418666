"""The tables of `gateway`, and the version of each database that this code needs.

Two databases: `memory` (`services.store.memory_tables`) may be deleted while the gateway and the worker are stopped,
`gateway` must be kept. With
PostgreSQL both are in one database.
Tables are created and changed by migrations only (`migrations/<database>/`).

Every table has a `mode` (`live` or `sandbox`), so that both can share a database and never a row. It is part of every
primary key and unique index except the numbers of reports and ledger rows. No query names it: `services.store.modes`
adds it to each statement.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text, text

from services.store.types import Message, Number, ShortMessage, mode_column

MEMORY, GATEWAY = "memory", "gateway"
VERSIONS: Mapping[str, str] = {MEMORY: "0007", GATEWAY: "0018"}

gateway = MetaData()


metric_values = Table(
    "metric_values",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("breakdown", String(64), primary_key=True),  # dimensions, comma-separated; empty without one
    Column("first_day", String(10), primary_key=True),
    Column("last_day", String(10), primary_key=True),
    Column("value", Number),
    Column("buckets", Text),
    Column("read_at", Double, nullable=False),
    Column("reason", String(64)),  # why neither the value nor any bucket is known
    Column("final", Integer, nullable=False),  # 1 if it is known and was read when it could change no more
    Column("source", String(16), nullable=False),  # instagram, sandbox, or where it was imported from
    Column("api_version", String(16)),
)

# The first count of each Pacific day.
follower_counts = Table(
    "follower_counts",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("followers", Number, nullable=False),
    Column("follows", Number),
    Column("media_count", Number),
    Column("read_at", Double, nullable=False),
    Column("source", String(16), nullable=False),
    Column("api_version", String(16)),
)

account_snapshots = Table(
    "account_snapshots",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("day", String(10)),  # the last Pacific day on which the daily snapshot was completed
    Column("taken_at", Double),
    Column("backfill_begun_at", Double),
    Column("backfill_ended_at", Double),
    Column("backfill_total", Integer),  # calls
    Column("backfill_left", Integer),
)

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
)

# How often another table was changed, by which each process notices it.
change_counters = Table(
    "change_counters",
    gateway,
    mode_column(),
    Column("name", String(32), primary_key=True),  # of that table
    Column("counter", Integer, nullable=False),
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

media = Table(
    "media",
    gateway,
    mode_column(),
    Column("id", String(64), primary_key=True),
    Column("account", String(64), nullable=False),
    Column("product_type", ShortMessage(32)),
    Column("media_type", ShortMessage(32)),
    Column("created_at", Double),
    Column("has_link", Integer, nullable=False),
)

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

stories = Table(
    "stories",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("ordered_at", Double, nullable=False),  # when it was posted, as well as that is known
    Column("created_at", Double),
    Column("media_type", ShortMessage(32)),
    Column("permalink", Message),
    Column("read_at", Double),
    Column("delivered_at", Double),
    Index("stories_by_account", "mode", "account", "ordered_at"),
    Index("stories_by_id", "mode", "id"),
)

story_numbers = Table(
    "story_numbers",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("story", String(64), primary_key=True),
    Column("metric", String(64), primary_key=True),
    Column("bucket", String(64), primary_key=True),  # empty for the number of the metric itself
    Column("source", String(16), primary_key=True),  # polling, webhook
    Column("value", Number),
    Column("reason", String(64)),
    Column("read_at", Double, nullable=False),
)

story_reads = Table(
    "story_reads",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("begun_at", Double, nullable=False),
    Column("read_at", Double),  # of the last list that was answered
)

posts = Table(
    "posts",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("posted_at", Double, nullable=False),
    Column("media_type", ShortMessage(32)),
    Column("media_product_type", ShortMessage(32)),
    Column("permalink", Message),
    Column("caption", Message),
    Column("first_seen_at", Double, nullable=False),
    Column("last_seen_at", Double, nullable=False),  # to a few hours: a newer one alone is not written
    Index("posts_by_posted_at", "mode", "account", "posted_at"),  # the posts of a period
)

# The primary key carries every query: the readings of one post, and those of some posts from an age on.
post_readings = Table(
    "post_readings",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("post", String(64), primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),  # the age in minutes from which on it is the first
    Column("age_label", Integer),  # hours; null unless it was read at one of the fixed ages
    Column("likes", Number),
    Column("comments", Number),
    Column("counts_read_at", Double),  # when likes and comments were read
    Column("counts_reasons", Text),  # JSON in ASCII: why a number is unknown, by its name
    Column("reach", Number),
    Column("views", Number),
    Column("saved", Number),
    Column("shares", Number),
    Column("total_interactions", Number),
    Column("insights_read_at", Double),  # when the five numbers above were read
    Column("insights_reasons", Text),
    Column("source", String(16), nullable=False),
    Column("api_version", String(16)),
)

post_looks = Table(
    "post_looks",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("begun_at", Double, nullable=False),
    Column("looked_at", Double),  # when the list of posts was read that the last finished look went by
)

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

account_troubles = Table(
    "account_troubles",
    gateway,
    mode_column(),
    Column("account", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),  # of the job whose reads fail
    Column("code", ShortMessage(64), nullable=False),
    Column("began_at", Double, nullable=False),
)
