"""A day of a dashboard: four widgets that poll every minute, and the provider calls of that day by their reason.

The gateway runs in this process on a clock that steps from minute to minute, and the simulator's clock with it.
`naive` is the same day without a cache: the cold calls of each widget, once a minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask import Flask

from benchmarks.endpoints import CREATOR, DOCUMENTED, GROWTH, POSTS
from benchmarks.inside import SteppedClock, application, wait_until_quiet
from benchmarks.load import MisleadingError
from benchmarks.stage import Options, OverLimitError, Row, Simulator, Stage

START = datetime(2026, 11, 18, 20, 0, tzinfo=UTC).timestamp()  # noon in California; midnights of both kinds follow
MINUTE, DAY, YOUNG = 60, 86_400, 48 * 3600  # seconds
MODASH = "Modash: report and balance"
# All metrics of yesterday, the growth of a month, the best posts of a week, and a creator's report.
WIDGETS = (f"/account-insights?period=day&metrics={DOCUMENTED}", GROWTH, POSTS, CREATOR)
MOST_CALLS = 66  # of the Graph API in that day; more would mean that something is asked twice
COUNTED_EVERY = 10  # minutes; the simulator keeps its last 5,000 calls


def measure(options: Options) -> list[Row]:
    """Run the day."""
    minutes = options.pick(DAY // MINUTE, 90)
    with Stage() as stage:
        simulator = stage.simulator()
        naive = minutes * sum(_cold_calls(stage, simulator, path) for path in WIDGETS)
        clock = SteppedClock(START)
        with application(stage.settings(simulator), stage.path("day.log"), clock) as app:
            reasons, statuses = _day(app, simulator, clock, minutes)
    _require_success(statuses)
    modash = reasons.pop(MODASH, 0)
    calls = reasons.total()
    rows: list[Row] = [
        {"reason": MODASH, "calls": modash},
        *({"reason": reason, "calls": count} for reason, count in sorted(reasons.items())),
        {
            "reason": "all of the Graph API",
            "calls": calls,
            "minutes": minutes,
            "requests": statuses.total(),
            "naive": naive,
            "ratio": calls / naive,
            "times_less": naive / max(calls, 1),
        },
    ]
    if calls > MOST_CALLS:
        raise OverLimitError(f"The day costs {calls} calls of the Graph API, more than {MOST_CALLS}.", rows)
    return rows


def _require_success(statuses: Mapping[int, int]) -> None:
    if set(statuses) != {200}:
        raise MisleadingError(f"The replies are {dict(statuses)}, not all 200.")


def _cold_calls(stage: Stage, simulator: Simulator, path: str) -> int:
    _move(simulator, START)
    with application(stage.settings(simulator), stage.path("cold.log"), SteppedClock(START)) as app:
        simulator.calls()
        _require_success({app.test_client().get(path).status_code: 1})
        wait_until_quiet(app)
    return int(simulator.calls()["instagram"]["total"])


def _day(app: Flask, simulator: Simulator, clock: SteppedClock, minutes: int) -> tuple[Counter[str], Counter[int]]:
    reasons: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    client = app.test_client()
    for minute in range(minutes):
        now = START + minute * MINUTE
        _move(simulator, now)
        clock.move_to(now)
        for path in WIDGETS:
            statuses[client.get(path).status_code] += 1
        wait_until_quiet(app)
        if minute % COUNTED_EVERY == 0 or minute == minutes - 1:
            reasons += _reasons(simulator.calls())
    return reasons, statuses


def _move(simulator: Simulator, now: float) -> None:
    simulator.post("/_simulator/clock", {"now": now})


def _reasons(calls: Mapping[str, Any]) -> Counter[str]:
    """Count calls by their reason; those that the simulator no longer lists are counted as forgotten."""
    reasons = Counter(_reason(call["path"], call["at"]) for call in calls["instagram"]["calls"])
    reasons[MODASH] += calls["modash"]["total"]
    reasons["(forgotten)"] += calls["total"] - reasons.total()
    return +reasons


def _reason(path: str, at: float) -> str:
    parts = urlsplit(path)
    name = parts.path.rpartition("/")[2]
    if "media.limit(" in parse_qs(parts.query).get("fields", [""])[0]:
        return "profile and media list"
    if name == "media":
        return "media list"
    if name != "insights":
        return "profile"
    until = parse_qs(parts.query).get("until")
    if until is None:
        return "insights, no range"
    age = at - float(until[0])
    if age < 0:
        return "insights of today"
    return "insights of young days" if age < YOUNG else "insights of finished days"
