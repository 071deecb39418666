"""The tables of the past: values of days, follower counts, media, stories and posts."""

from __future__ import annotations

from sqlalchemy import Column, Double, Index, Integer, String, Table, Text

from services.store.schema_versions import gateway
from services.store.types import Message, Number, ShortMessage, mode_column

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
