"""The bare SQL of replies over history: statements written by hand, with exactly the numbers of the reply.

Bare SQL is what an engineer would write who needs the numbers of one reply, knows the tables, and has no gateway: as
few statements as possible, only the columns that the reply shows, summed and grouped by the database where the reply
shows sums. The variant was chosen that was fastest on PostgreSQL 15 and SQLite. What makes a number true is in them,
because the reply has it too: whether values are final, how many days a sum has, when values were read, and that only
a count of exactly its window stands for unique metrics. They have no guard against damaged rows, and no second
statement for what this history does not lack (days of a sum).

`ByHand.check` compares every number with the reply, so that neither side is measured over less than the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, timedelta
from math import isclose
from typing import Any, NamedTuple

from benchmarks.history_fill import FIRST_ACCOUNT
from services.days import midnight
from services.history.periods import whole_periods
from services.windows import Window

Results = Sequence[Sequence[Sequence[Any]]]
"""The rows of each statement."""
Trends = Mapping[str, Mapping[str, Any]]
MODE, TOTALS = "sandbox", {"views": "views", "interactions": "total_interactions"}

VALUES = """SELECT metric, first_day, value, reason, final, read_at FROM metric_values
WHERE mode = ? AND account = ? AND metric IN ({metrics}) AND breakdown = ''
  AND first_day BETWEEN ? AND ? AND last_day = first_day
ORDER BY metric, first_day"""
VALUES_OF_ONE = """SELECT first_day, value, reason, final, read_at FROM metric_values
WHERE mode = ? AND account = ? AND metric = ? AND breakdown = ''
  AND first_day BETWEEN ? AND ? AND last_day = first_day
ORDER BY first_day"""
BY_MONTH = """SELECT substr(first_day, 1, 7), sum(value), count(value), min(final), min(read_at), max(read_at)
FROM metric_values
WHERE mode = ? AND account = ? AND metric = ? AND breakdown = ''
  AND first_day BETWEEN ? AND ? AND last_day = first_day
GROUP BY 1 ORDER BY 1"""
FOLLOWERS = """SELECT day, followers, read_at FROM follower_counts
WHERE mode = ? AND account = ? AND day BETWEEN ? AND ? ORDER BY day"""
FOLLOWERS_BY_MONTH = """SELECT day, followers, read_at FROM follower_counts
WHERE mode = ? AND account = ? AND day IN (
  SELECT max(day) FROM follower_counts
  WHERE mode = ? AND account = ? AND day BETWEEN ? AND ? AND followers IS NOT NULL GROUP BY substr(day, 1, 7)
) ORDER BY day"""
ENGAGEMENT = """SELECT posts.posted_at >= ?, count(*), count(likes + comments), sum(likes + comments),
  min(counts_read_at)
FROM posts {latest_reading}
WHERE posts.mode = ? AND posts.account = ? AND posts.posted_at >= ? AND posts.posted_at < ?
GROUP BY 1 ORDER BY 1"""
LATEST_READING = {
    "postgresql": """LEFT JOIN LATERAL (
  SELECT likes, comments, counts_read_at FROM post_readings AS reading
  WHERE reading.mode = posts.mode AND reading.account = posts.account AND reading.post = posts.id
    AND counts_read_at IS NOT NULL
  ORDER BY slot DESC LIMIT 1
) AS reading ON true""",
    "sqlite": """LEFT JOIN post_readings AS reading
ON reading.mode = posts.mode AND reading.account = posts.account AND reading.post = posts.id AND reading.slot = (
  SELECT max(slot) FROM post_readings AS each
  WHERE each.mode = posts.mode AND each.account = posts.account AND each.post = posts.id AND counts_read_at IS NOT NULL
)""",
}
SUMS = """SELECT metric, first_day >= ?, sum(value), count(value), min(read_at) FROM metric_values
WHERE mode = ? AND account = ? AND metric IN ({metrics}) AND breakdown = ''
  AND first_day BETWEEN ? AND ? AND last_day = first_day AND final = 1
GROUP BY 1, 2"""
UNIQUE = """SELECT first_day, value, read_at FROM metric_values
WHERE mode = ? AND account = ? AND metric = ? AND breakdown = '' AND (first_day, last_day) IN ((?, ?), (?, ?))
  AND final = 1"""
# Every reading of likes and comments, by post and age: not of a reply, but for the list that the gateway has cached.
POSTS = """SELECT posts.id, posted_at, likes, comments FROM posts JOIN post_readings AS reading
ON reading.mode = posts.mode AND reading.account = posts.account AND reading.post = posts.id
WHERE posts.mode = ? AND posts.account = ? AND counts_read_at IS NOT NULL ORDER BY posted_at, posts.id, slot"""


class ByHand(NamedTuple):
    """The statements of a reply with their parameters, and what compares their rows with the reply."""

    statements: Sequence[tuple[str, Sequence[Any]]]
    check: Callable[[Results, Mapping[str, Any]], None]  # raises `ValueError` where a number is another one


def history_by_day(metrics: Sequence[str], since: date, until: date) -> ByHand:
    """Return the statements of a year of some metrics, of which `followers` may be the last."""
    of_days = [metric for metric in metrics if metric != "followers"]
    span = (since.isoformat(), until.isoformat())
    values = VALUES_OF_ONE if len(of_days) == 1 else VALUES.format(metrics=_marks(of_days))
    statements: list[tuple[str, Sequence[Any]]] = [(values, (MODE, FIRST_ACCOUNT, *of_days, *span))]
    if "followers" in metrics:
        statements.append((FOLLOWERS, (MODE, FIRST_ACCOUNT, *span)))

    def check(results: Results, body: Mapping[str, Any]) -> None:
        rows = [(of_days[0], *row) for row in results[0]] if len(of_days) == 1 else results[0]
        expected = {(row[0], row[1]): (row[2], row[3], row[4] == 1) for row in rows}
        if "followers" in metrics:
            expected |= {("followers", day): (count, None, True) for day, count, _ in results[1]}
        shown = {
            (series["metric"], point["date"]): (point["value"], point["reason"], point["final"])
            for series in body["series"]
            for point in series["points"]
        }
        _compare("points", shown, expected)

    return ByHand(statements, check)


def history_by_month(metric: str, since: date, until: date) -> ByHand:
    """Return the statements of an additive metric and the followers by month."""
    months, _ = whole_periods(Window(since, until), "month")
    span = (months[0].first, months[-1].last)
    of_account = (MODE, FIRST_ACCOUNT)
    statements = [
        (BY_MONTH, (*of_account, metric, *span)),
        (FOLLOWERS_BY_MONTH, (*of_account, *of_account, *span)),
    ]

    def check(results: Results, body: Mapping[str, Any]) -> None:
        lengths = {month.first[:7]: int(month.last[8:]) for month in months}
        expected = {
            (metric, month): (total if days == lengths[month] else None, is_final == 1)
            for month, total, days, is_final, _, _ in results[0]
        }
        expected |= {("followers", day[:7]): (count, True) for day, count, _ in results[1]}
        shown = {
            (series["metric"], point["date"][:7]): (point["value"], point["final"])
            for series in body["series"]
            for point in series["points"]
        }
        _compare("points", shown, expected)

    return ByHand(statements, check)


def growth(days: int, last: date, engine: str, *, with_totals: bool) -> ByHand:
    """Return the statements of the trends of some days up to yesterday (`last`): the usual ones, or all."""
    window = Window(last - timedelta(days=days - 1), last)
    before, today = window.before(), last + timedelta(days=1)
    of_account = (MODE, FIRST_ACCOUNT)
    moments = [float(midnight(day)) for day in (window.first, before.first, today)]
    statements: list[tuple[str, Sequence[Any]]] = [
        (FOLLOWERS, (*of_account, window.first.isoformat(), today.isoformat())),
        (ENGAGEMENT.format(latest_reading=LATEST_READING[engine]), (moments[0], *of_account, *moments[1:])),
    ]
    if with_totals:
        ends = [each.isoformat() for each in (window.first, window.last, before.first, before.last)]
        sums = SUMS.format(metrics=_marks(TOTALS))
        statements.append((sums, (ends[0], *of_account, *TOTALS.values(), ends[2], ends[1])))
        statements.append((UNIQUE, (*of_account, "reach", *ends)))

    def check(results: Results, body: Mapping[str, Any]) -> None:
        trends = {trend["key"]: trend for trend in body["trends"]}
        _check_followers(results[0], trends, window, today)
        _check_engagement(results[1], trends, results[0], with_totals=with_totals)
        if with_totals:
            _check_totals(results[2:], trends, days, (before.first.isoformat(), window.first.isoformat()))

    return ByHand(statements, check)


def _check_followers(rows: Sequence[Sequence[Any]], trends: Trends, window: Window, today: date) -> None:
    counts = {day: count for day, count, _ in rows}
    then, now = counts.get(window.first.isoformat()), counts.get(today.isoformat())
    _compare("followers", _ends(trends["followers"]), (now, then))
    gaps = [day.isoformat() for day in window if day.isoformat() not in counts]
    _compare("days without a count", trends["followers"]["coverage"]["gap_days"], gaps)


def _check_engagement(
    rows: Sequence[Sequence[Any]], trends: Trends, followers: Sequence[Sequence[Any]], *, with_totals: bool
) -> None:
    coverage = trends["engagement_rate"]["coverage"]
    by_window = {bool(row[0]): row[1:4] for row in rows}
    for name, is_current, of in (("current", True, followers[-1]), ("previous", False, followers[0])):
        posts, known, total = by_window[is_current]
        parts = coverage[name]
        shown = tuple(parts[each] for each in ("numerator", "denominator", "posts_used", "posts_left_out"))
        _compare(f"{name} engagement", shown, (total, of[1], known, posts - known))
        rate = trends["engagement_rate"][f"{name}_value"]
        if not isclose(rate, total / known / of[1]):
            raise ValueError(f"{name} engagement rate: {rate}")
    if with_totals:
        _compare("posts", _ends(trends["posts"]), (by_window[True][0], by_window[False][0]))


def _check_totals(results: Results, trends: Trends, days: int, begins: tuple[str, str]) -> None:
    sums = {(metric, bool(is_current)): (total, count) for metric, is_current, total, count, _ in results[0]}
    for key, metric in TOTALS.items():
        found = [sums[metric, is_current] for is_current in (True, False)]
        _compare(key, _ends(trends[key]), tuple(total if count == days else None for total, count in found))
    unique = {first: value for first, value, _ in results[1]}
    _compare("reach", _ends(trends["reach"]), (unique.get(begins[1]), unique.get(begins[0])))


def _ends(trend: Mapping[str, Any]) -> tuple[Any, Any]:
    return trend["current_value"], trend["previous_value"]


def _compare(what: str, shown: object, expected: object) -> None:
    if shown != expected:
        raise ValueError(f"{what}: the reply has {str(shown)[:500]}, the statements have {str(expected)[:500]}")


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" for _ in values)
