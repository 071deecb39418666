"""Views of the history for BI tools, on PostgreSQL: live rows only, one value a row, as an export has them."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"

# Each column has the same type in every part: else PostgreSQL filters by metric only after it has read an account.
HISTORY = r"""
CREATE VIEW insights_history AS
SELECT account::text, 'account'::text AS kind, metric::text, nullif(breakdown, '')::text AS breakdown,
  NULL::text AS bucket,
  last_day::date AS date, first_day::date AS first_day, NULL::text AS media, value, reason::text, final = 1 AS final,
  source::text, to_timestamp(read_at) AS read_at, api_version::text, NULL::integer AS age_hours
FROM metric_values WHERE mode = 'live'
UNION ALL
SELECT account::text, 'account'::text, metric::text, nullif(breakdown, '')::text,
  CASE
    WHEN json_array_length(bucket -> 0) <> 1 OR bucket -> 0 ->> 0 = '' OR left(bucket -> 0 ->> 0, 1) = '['
      THEN (bucket -> 0)::text
    ELSE bucket -> 0 ->> 0
  END,
  last_day::date, first_day::date, NULL::text, (bucket ->> 1)::double precision,
  CASE WHEN bucket ->> 1 IS NULL THEN 'bucket_unknown'::text END, final = 1, source::text, to_timestamp(read_at),
  api_version::text, NULL::integer
FROM metric_values CROSS JOIN LATERAL json_array_elements(
  (
    CASE WHEN strpos(buckets, '\u') > 0 THEN regexp_replace(buckets, '{unstorable}', '\\ufffd', 'g') ELSE buckets END
  )::json
) AS bucket
WHERE mode = 'live' AND buckets IS NOT NULL
UNION ALL
SELECT account::text, 'followers'::text, number.metric::text, NULL::text, NULL::text, day::date, NULL::date,
  NULL::text, number.value, NULL::text, NULL::boolean, source::text, to_timestamp(read_at), api_version::text,
  NULL::integer
FROM follower_counts CROSS JOIN LATERAL
  (VALUES ('followers', followers), ('follows', follows), ('media_count', media_count)) AS number (metric, value)
WHERE mode = 'live' AND number.value IS NOT NULL
UNION ALL
SELECT account::text, 'post_number'::text, number.metric::text, NULL::text, NULL::text,
  (to_timestamp(number.read_at) AT TIME ZONE 'America/Los_Angeles')::date, NULL::date, post::text, number.value,
  CASE WHEN number.value IS NULL THEN number.reasons::json ->> number.metric END, NULL::boolean, source::text,
  to_timestamp(number.read_at), api_version::text, age_label
FROM post_readings CROSS JOIN LATERAL (VALUES
  ('likes', likes, counts_read_at, counts_reasons), ('comments', comments, counts_read_at, counts_reasons),
  ('reach', reach, insights_read_at, insights_reasons), ('views', views, insights_read_at, insights_reasons),
  ('saved', saved, insights_read_at, insights_reasons), ('shares', shares, insights_read_at, insights_reasons),
  ('total_interactions', total_interactions, insights_read_at, insights_reasons)
) AS number (metric, value, read_at, reasons)
WHERE mode = 'live' AND (number.value IS NOT NULL OR number.reasons::json ->> number.metric IS NOT NULL)
UNION ALL
SELECT account::text, 'story_number'::text, metric::text, NULL::text, nullif(bucket, '')::text,
  (to_timestamp(read_at) AT TIME ZONE 'America/Los_Angeles')::date, NULL::date, story::text, value, reason::text,
  NULL::boolean, source::text, to_timestamp(read_at), NULL::text, NULL::integer
FROM story_numbers WHERE mode = 'live'
"""
MEDIA = """
CREATE VIEW insights_media AS
SELECT account::text, 'post'::text AS kind, id::text AS media, to_timestamp(posted_at) AS posted_at, media_type::text,
  media_product_type::text, permalink, caption
FROM posts WHERE mode = 'live'
UNION ALL
SELECT account::text, 'story'::text, id::text, to_timestamp(ordered_at), media_type::text, 'STORY'::text, permalink,
  NULL::text
FROM stories WHERE mode = 'live'
"""
# A NUL character, or a surrogate without its other half: buckets have them as escapes, and no text can.
UNSTORABLE = (
    r"\\u0000|\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
COMMENTS = {
    "insights_history": {
        "": "The kept history of all live accounts, one value a row. Never add up unique counts such as reach.",
        "account": "id of the account",
        "kind": "account (days and windows), followers (counts of the profile), post_number, story_number",
        "metric": "what is counted",
        "breakdown": "dimensions, comma-separated; null for the metric itself",
        "bucket": "one bucket of the breakdown, or of a story's number; null for the number of the metric",
        "date": "the Pacific day that the value describes, the last one of a window; of media the day of the reading",
        "first_day": "the first day of the window",
        "media": "id of the post or story",
        "value": "the number; null where it is unknown",
        "reason": "why it is unknown",
        "final": "whether it can change no more; null where that is not said",
        "source": "instagram; of a story polling or webhook",
        "read_at": "when it was read",
        "api_version": "version of the Graph API that answered",
        "age_hours": "the fixed age at which the number of a post was read: 1, 6, 24, 72, 168 or 672",
    },
    "insights_media": {
        "": "The kept posts and stories of all live accounts.",
        "media": "id, as in insights_history",
        "posted_at": "when it was published; of a story that only a webhook named the best guess",
    },
}


def upgrade() -> None:
    """Create the views; SQLite, which knows no time zones, has none."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    connection.exec_driver_sql(HISTORY.replace("{unstorable}", UNSTORABLE))
    connection.exec_driver_sql(MEDIA)
    for view, columns in COMMENTS.items():
        for column, comment in columns.items():
            what = f"COLUMN {view}.{column}" if column else f"VIEW {view}"
            connection.exec_driver_sql(f"COMMENT ON {what} IS '{comment.replace(chr(39), chr(39) * 2)}'")


def downgrade() -> None:
    """Drop the views."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP VIEW insights_history")
        op.execute("DROP VIEW insights_media")
