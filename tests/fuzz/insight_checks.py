"""What must hold for every number that Instagram's insights gave, or that was made from them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations
from typing import Any

from services.days import parse_provider_time
from services.insights.catalogue import BREAKDOWNS, METRICS, RARE_BUCKETS
from tests.fuzz.answers import CONTACT, DAYS, FOLLOW, end_time
from tests.fuzz.checks import MONSTROUS, count, is_monstrous, is_returned, listed, posts_of, quantity

BUTTONS = {
    "email_contacts": "EMAIL",
    "get_directions_clicks": "DIRECTION",
    "phone_call_clicks": "CALL",
    "text_message_clicks": "TEXT",
}
ENDS = {end_time(day) for day in DAYS}
TOTALS = {"Reach Change": "reach", "Views Change": "views", "Interactions Change": "total_interactions"}
Answers = Mapping[str, Any]  # what was sent, by address
# Codes of failed calls, as reasons of a number that rests on them.
FAILED = {"provider_response_invalid", "provider_unavailable", "provider_refused", "throttled", "permission_denied"}


def item_of(answer: Any, name: str) -> Any:
    """The metric of an answer; the first one of that name counts."""
    found = [item for item in listed(answer, "data") if isinstance(item, dict) and item.get("name") == name]
    return found[0] if found else {}


def total_of(item: Any) -> float | None:
    """The total, also from another place if it can only be that."""
    total, values = item.get("total_value"), item.get("values")
    if isinstance(total, dict):
        return quantity(total.get("value"))
    if total is not None or not isinstance(values, list):
        return quantity(values if total is None else total)
    point = values[0] if len(values) == 1 and isinstance(values[0], dict) else {}
    return quantity(point.get("value")) if point.get("end_time") is None else None


def added(numbers: Sequence[float]) -> float:
    exact = sum(map(Fraction, numbers))
    return int(exact) if exact.denominator == 1 else float(exact)


def rows_of(item: Any, breakdown: Sequence[str]) -> list[tuple[list[Any] | None, float | None]]:
    """The rows of a breakdown: their names by its dimensions, and their number; None where either cannot be read."""
    rows: list[tuple[list[Any] | None, float | None]] = []
    for part in listed(item, "total_value", "breakdowns"):
        keys = ["follow_type" if key == "follower_type" else key for key in listed(part, "dimension_keys")]
        for row in listed(part, "results") if all(dimension in keys for dimension in breakdown) else ():
            names = listed(row, "dimension_values")
            own = [names[keys.index(dimension)] for dimension in breakdown] if len(names) == len(keys) else [None]
            are_names = all(isinstance(name, str) for name in own)
            value = quantity(row.get("value")) if isinstance(row, dict) else None
            rows.append(([name.upper() for name in own] if are_names else None, value))
    return rows


def bucket_of(item: Any, bucket: list[str], breakdown: Sequence[str]) -> float | None:
    """A bucket is the sum of its rows, or 0 where what is listed leaves nothing for it; rows that repeat give none.

    People are in no sum of rows, and a name that is not in the catalogue leaves everything for what is not listed.
    """
    total = item.get("total_value")
    if not isinstance(total, dict) or (total.get("value") is not None and total_of(item) is None):
        return None
    rows = rows_of(item, breakdown)
    own = [value for names, value in rows if names == bucket]
    every = [value for names, value in rows if names is not None and value is not None]
    adds_up = len(every) == len(rows) and total_of(item) == added(every)
    is_unique = item.get("name") in METRICS and METRICS[item["name"]].unique
    if own:
        repeats = (len(set(own)) < len(own) and not adds_up) or (is_unique and len(own) > 1)
        return None if None in own or repeats else added(own)
    if len(every) < len(rows) or not (every or total_of(item) == 0):
        return None
    names_of_rows = [names for names, _ in rows if names is not None]
    names = [pair for each in names_of_rows for pair in zip(breakdown, each, strict=True)]
    if total_of(item) != 0 and any(
        name not in (*BREAKDOWNS[dimension], *RARE_BUCKETS.get(dimension, ())) for dimension, name in names
    ):
        return None
    if is_unique and any(names_of_rows.count(each) > 1 for each in names_of_rows):
        return None
    has_repeats = any(rows.count(row) > 1 for row in rows)
    is_listed = all(name in BREAKDOWNS[dimension] for dimension, name in names)
    return 0 if adds_up or (total_of(item) is None and not has_repeats and is_listed) else None


def days_of(item: Any) -> dict[str, float | None]:
    """The daily values by the expected time that is nearest to theirs; of two different ones for a day none counts."""
    found: dict[str, float | None] = {}
    for point in listed(item, "values"):
        end = nearest_end(point.get("end_time")) if isinstance(point, dict) else None
        if end is not None:
            value = quantity(point.get("value"))
            found[end] = value if found.get(end, value) == value else None
    return found


def nearest_end(text: Any) -> str | None:
    moment = parse_provider_time(text)
    if moment is None:
        return None
    return next((end for end in ENDS if abs(datetime.fromisoformat(end) - moment) < timedelta(hours=12)), None)


def expected(insight: Any, value: Any, item: Any, *, is_series: bool) -> float | None:
    name = insight["name"]
    if name in BUTTONS:
        return bucket_of(item, [BUTTONS[name]], [CONTACT])
    if not is_series:
        return total_of(item)
    days = days_of(item)
    if not days and len(insight["values"]) == 1 and insight["period"] == "day":
        return total_of(item)
    if insight["period"] == "day":
        return days.get(value["end_time"])
    known = [day for day in days.values() if day is not None]
    return added(known) if len(known) == len(ENDS) else None


def insight_faults(question: str, body: Any, answers: Answers) -> Iterator[str]:
    explained = {(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"] if entry["message"]}
    for insight in body["data"]:
        name, source = insight["name"], insight.get("answered_by", insight["name"])
        is_series = name == "follower_count" or ("metrics=reach&since" in question)
        item = next((found for answer in answers.values() if (found := item_of(answer, source))), {})
        for value in insight["values"]:
            wanted = expected(insight, value, item, is_series=is_series)
            if not is_returned(value["value"], wanted) and not is_monstrous(item):
                yield f"{name} is {value['value']!r:.60}, sent was {wanted!r:.60}"
            if (value["value"] is None) != ("reason" in value):
                yield f"{name} has not just one of value and reason"
            if value["value"] is None and (name, value.get("reason")) not in explained:
                yield f"{name} is null for {value.get('reason')}, which is not explained"
            if "&breakdown=" in question:
                yield from breakdown_faults(name, value, item, explained)


def breakdown_faults(name: str, value: Any, item: Any, explained: set[tuple[str, str]]) -> Iterator[str]:
    for part in value.get("breakdowns", ()):
        for result in part["results"]:
            returned, bucket = result["value"], result["dimension_values"]
            wanted = bucket_of(item, bucket, part["dimension_keys"])
            if not is_returned(returned, wanted) and not is_monstrous(item):
                yield f"{name} of {bucket!r:.60} is {returned!r:.60}, sent was {wanted!r:.60}"
            if returned is None and (name, "bucket_unknown") not in explained:
                yield f"{name} of {bucket!r:.60} is null, which is not explained"


# Trends


def trend_faults(body: Any, answers: Answers) -> Iterator[str]:
    explained = {(entry["metric"], entry["reason"]) for entry in body["meta"]["unavailable"] if entry["message"]}
    for trend in body["trends"]:
        name, now, then = trend["metric"], trend["current_value"], trend["previous_value"]
        if trend["growth_rate"] is None and (name, trend["reason"]) not in explained:
            yield f"{name} is null for {trend['reason']}, which is not explained"
        if not is_growth(trend["growth_rate"], now, then):
            yield f"{name} is {trend['growth_rate']!r:.60} from {then!r:.60} to {now!r:.60}"
        if name in TOTALS:
            item = item_of(answers["totals"], TOTALS[name])
            wrong = [
                returned
                for returned in (now, then)
                if not is_returned(returned, total_of(item)) and not is_monstrous(item)
            ]
            yield from (f"{name}: {returned!r:.60}" for returned in wrong)
    yield from follower_faults(body["trends"][0], answers)
    yield from engagement_faults(body["trends"][1], answers)


def is_growth(rate: float | None, now: float | None, then: float | None) -> bool:
    if now is None or then is None or max(abs(now), abs(then)) >= MONSTROUS:
        return rate is None or (now is not None and then is not None)
    if then == 0:
        return rate == (100 if now > 0 else 0)
    return rate is not None and math.isclose(rate, (now - then) / then * 100, rel_tol=1e-9, abs_tol=1e-6)


def follower_faults(trend: Any, answers: Answers) -> Iterator[str]:
    now, then = trend["current_value"], trend["previous_value"]
    profile = answers["profile"]
    if now is None and trend["reason"] in FAILED:
        return  # The profile could not be read; the other trends are answered all the same.
    if not is_returned(now, count(profile.get("followers_count")) if isinstance(profile, dict) else None):
        yield f"followers are {now!r:.60}"
    if now is None or then is None:
        return
    item = item_of(answers[FOLLOW], "follows_and_unfollows")
    gained, lost = (bucket_of(item, [name], [FOLLOW]) for name in ("FOLLOWER", "NON_FOLLOWER"))
    week = [day for day in days_of(item_of(answers.get("series"), "follower_count")).values() if day is not None]
    nets = [gained, added(week), None if gained is None or lost is None else added([gained, -lost])]
    # A window too long for one call is the sum of two pieces, which are both answered with the same.
    possible = {int(net * pieces) for net in nets if net is not None and abs(net) < MONSTROUS for pieces in (1, 2)}
    if then < 0 or (now - then not in possible and not is_monstrous(nets)):
        yield f"followers were {then!r:.60}, {now!r:.60} now, with {gained!r:.60} gained and {lost!r:.60} lost"


def engagement_faults(trend: Any, answers: Answers) -> Iterator[str]:
    posts = posts_of(answers["media"]).values()
    pairs = [(count(post.get("like_count")), count(post.get("comments_count"))) for post in posts]
    known = [likes + comments for likes, comments in pairs if likes is not None and comments is not None]
    for name, rate in (("current", trend["current_value"]), ("previous", trend["previous_value"])):
        part = trend["coverage"][name]
        if part["posts_used"] is None:  # The posts of the window are unknown.
            if (rate, part["numerator"], part["posts_left_out"]) != (None, None, None):
                yield f"the {name} engagement rate of unknown posts is {rate!r:.60}"
            continue
        if not any(part["numerator"] == sum(some) for some in combinations(known, part["posts_used"])):
            yield f"the numerator is {part['numerator']!r:.60}"
        if part["posts_used"] + part["posts_left_out"] > len(pairs):
            yield f"{part['posts_used']} posts used, {part['posts_left_out']} left out"
        if rate is not None and not math.isclose(
            rate, Fraction(part["numerator"], part["posts_used"] * part["denominator"])
        ):
            yield f"the {name} engagement rate is {rate!r:.60}"
