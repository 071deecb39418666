"""Reports are paid for once: a thousand callers for one creator, and a day of 200 creators requested 10 times each.

The callers send 20 spellings of one name to four processes over one store; a caller that gets 503 `busy` repeats its
request once, after Retry-After. The day runs in this process on a clock that the benchmark moves, at the shipped
MODASH_RATE; its MODASH_CREDIT_LIMIT is one credit for each creator, four times the price. `naive` is the cost of
paying for every request.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from benchmarks.inside import SteppedClock, application, wait_until_quiet
from benchmarks.load import BUSY, OK, MisleadingError, Plan, run
from benchmarks.postgresql import SKIPPED, new_database
from benchmarks.stage import Options, Row, Simulator, Stage

CALLERS, QUICK_CALLERS = 1000, 100
CREATORS, QUICK_CREATORS = 200, 20  # one purchase takes half a second, at MODASH_RATE=2
LOOKS = 10
LATENCY = 0.2  # seconds
PATIENCE = 240.0  # seconds
START = datetime(2026, 11, 18, 20, 0, tzinfo=UTC).timestamp()
DAY = 86_400  # seconds
PRICE = 0.25  # credits
NAME = "nasa"
SPELLINGS = (
    *(NAME, "NASA", "Nasa", "nAsA", "%40nasa", "%40NASA", "%40Nasa", "instagram.com/nasa", "instagram.com/NASA"),
    *("www.instagram.com/nasa", "www.instagram.com/nasa/", "https://instagram.com/nasa", "https://instagram.com/NASA/"),
    *("https://www.instagram.com/nasa", "https://www.instagram.com/nasa/", "https://www.instagram.com/Nasa/"),
    *("http://instagram.com/nasa/", "http://www.instagram.com/nasa", "https://instagram.com/%40nasa", "naSA"),
)


def measure(options: Options) -> list[Row]:
    """Measure the callers on SQLite and on PostgreSQL, and the day."""
    callers = options.pick(CALLERS, QUICK_CALLERS)
    rows = [_callers("SQLite", callers, "")]
    with new_database() as url:
        rows.append(
            {"what": "callers, PostgreSQL", "note": SKIPPED} if url is None else _callers("PostgreSQL", callers, url)
        )
    return [*rows, _day(options.pick(CREATORS, QUICK_CREATORS))]


def _callers(store: str, callers: int, database_url: str) -> Row:
    with Stage() as stage:
        simulator = stage.simulator()
        settings = stage.settings(simulator, database_url=database_url)
        ports = tuple(stage.gateway(settings).port for _ in range(2))
        run(Plan(ports=ports, paths=("/healthz",), callers=32, requests=320))
        simulator.switch(latency_ms=LATENCY * 1000)
        simulator.calls()
        paths = tuple(f"/performance-data?url={spelling}" for spelling in SPELLINGS)
        result = run(
            Plan(ports=ports, paths=paths, callers=callers, requests=callers, returns=1, patience=PATIENCE)
        ).require(OK, BUSY)
        charges = _charges(simulator)
    return {
        "what": f"callers, {store}",
        "looks": callers,
        "charges": charges,
        "credits": charges * PRICE,
        "naive": callers * PRICE,
        "ratio": charges / callers,
        "statuses": result.summary(),
        "busy": result.count(BUSY),
        "answered_200": result.count(OK),
        "seconds": result.seconds,
    }


def _day(creators: int) -> Row:
    looks = creators * LOOKS
    with Stage() as stage:
        simulator = stage.simulator()
        simulator.calls()
        clock = SteppedClock(START)
        settings = stage.settings(simulator, MODASH_CREDIT_LIMIT=str(creators))
        statuses: Counter[int] = Counter()
        with application(settings, stage.path("day.log"), clock) as app:
            client = app.test_client()
            for look in range(looks):
                clock.move_to(START + look * DAY / looks)
                statuses[client.get(f"/performance-data?url=creator.{look % creators}").status_code] += 1
            wait_until_quiet(app)
        charges = _charges(simulator)
    if set(statuses) != {200}:
        raise MisleadingError(f"The replies of the day are {dict(statuses)}, not all 200.")
    return {
        "what": f"a day of {creators} creators",
        "looks": looks,
        "charges": charges,
        "credits": charges * PRICE,
        "naive": looks * PRICE,
        "ratio": charges / looks,
        "answered_200": statuses[200],
    }


def _charges(simulator: Simulator) -> int:
    """Return how many reports the simulator has charged."""
    milli_credits: int = sum(charged["milli_credits"] for charged in simulator.calls()["charges"].values())
    return round(milli_credits / 1000 / PRICE)
