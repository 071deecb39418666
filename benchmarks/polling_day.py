"""A day of a dashboard: four widgets that poll every minute, and what the providers are asked, by the reason why.

The gateway runs in this process on a clock that steps from minute to minute, against a simulator that is moved with it.
`naive` is what the same day costs a gateway without a memory: each widget's cold calls, once a minute.
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
from benchmarks.stage import Options, Row, Simulator, Stage

START = datetime(2026, 11, 18, 20, 0, tzinfo=UTC).timestamp()  # noon in California; midnights of both kinds follow
MINUTE, DAY, YOUNG = 60, 86_400, 48 * 3600  # seconds
MODASH = "Modash: report and balance"
# Every number of yesterday, the growth of a month, the best posts of a week, and what Modash knows of a creator.
WIDGETS = (f"/account-insights?period=day&metrics={DOCUMENTED}", GROWTH, POSTS, CREATOR)
COUNTED_EVERY = 10  # minutes; the simulator remembers its last 5,000 calls


def measure(options: Options) -> list[Row]:
    """Live through the day."""
    minutes = options.pick(DAY // MINUTE, 90)
    with Stage() as stage:
        simulator = stage.simulator()
        naive = minutes * sum(_cold_calls(stage, simulator, path) for path in WIDGETS)
        clock = SteppedClock(START)
        with application(stage.settings(simulator), stage.path("day.log"), clock) as app:
            reasons, statuses = _day(app, simulator, clock, minutes)
    modash = reasons.pop(MODASH, 0)
    calls = reasons.total()
    return [
        {"reason": MODASH, "calls": modash},
        *({"reason": reason, "calls": count} for reason, count in sorted(reasons.items())),
        {
            "reason": "all of the Graph API",
            "calls": calls,
            "minutes": minutes,
            "requests": statuses.total(),
            "statuses": " ".join(f"{status}:{count}" for status, count in sorted(statuses.items())),
            "naive": naive,
            "ratio": calls / naive,
            "times_less": naive / max(calls, 1),
        },
    ]


def _cold_calls(stage: Stage, simulator: Simulator, path: str) -> int:
    _move(simulator, START)
    with application(stage.settings(simulator), stage.path("cold.log"), SteppedClock(START)) as app:
        simulator.calls()
        app.test_client().get(path)
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
    """Count calls by what they asked for; what the simulator has forgotten by now is counted as that."""
    told = Counter(_reason(call["path"], call["at"]) for call in calls["instagram"]["calls"])
    told[MODASH] += calls["modash"]["total"]
    told["(forgotten)"] += calls["total"] - told.total()
    return +told


def _reason(path: str, at: float) -> str:
    parts = urlsplit(path)
    name = parts.path.rpartition("/")[2]
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
