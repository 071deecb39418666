"""Cached replies that are not ready: the data is in the cache, and no reply to the request was made before.

Each path is sent once, so that none can be answered from the ready replies, and no reply may have called a provider.
Each round is compared with a round of an empty Flask view under the same server. `costs` is the number of empty views
for which a reply could have been replaced, by the throughput; `costs_cpu` the same by the CPU time of the workers,
which leaves out the load and PostgreSQL. A row with a `limit` fails the benchmark where its reply costs more. The empty
view has the server's settings, and nothing of what its worker does for the gateway alone (a core for each worker, and
replies without a thread, which are not measured here).

`ordinary` is the account of the sandbox; `huge` has some 5,000 posts in 30 days. The rows of `many keys` are about many
accounts or creators, and their replies are more than the ready replies hold.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any

from benchmarks.endpoints import PLAIN, by_day
from benchmarks.load import OK, MisleadingError, Plan, Result, run
from benchmarks.processes import Server
from benchmarks.stage import Options, OverLimitError, Row, Stage
from config import SANDBOX_CREDENTIALS
from services.accounts.token_encryption import TokenEncryption, new_key
from services.store.accounts import AccountRow
from services.store.reports import NewReport
from services.store.store import Store

CALLERS = 16
NOTICED_AFTER = 3.0  # seconds after which each worker knows what another one has fetched
LIMIT, LIMIT_HUGE = 2.5, 5.0  # empty Flask views that a reply may cost
HUGE = "flood.of.posts"
ACCOUNTS = 60
CREATORS_FEW, CREATORS = 100, 2_000
MEDIA = 8  # posts whose insights are asked for
OVERFLOW = 10_000  # replies that are more than two workers keep ready: 8 MB each, and 2,000 bytes and more of a reply
# So many that each worker has read nearly every report and made its table: the cached state, after the first readings.
OVERFLOW_OF_REPORTS = 10 * CREATORS


@dataclass
class Kind:
    """Requests of one kind: those that bring all data into the cache, and many others over the same data."""

    name: str
    first: Sequence[str]
    others: Iterator[str]
    limit: float | None = LIMIT
    overflow: int = 0  # requests before it is measured, after which no reply of them is ready
    costs: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def take(self, count: int) -> tuple[str, ...]:
        """Return further paths, none of which was returned before."""
        paths = tuple(islice(self.others, count))
        if not paths:
            raise MisleadingError(f"There are no further requests of the kind {self.name}.")
        return paths


def measure(options: Options) -> list[Row]:
    """Measure every kind of request on SQLite; raise where a reply costs more than it may."""
    return measured("", options)


def measured(url: str, options: Options) -> list[Row]:
    """Measure every kind of request with the database of a URL, or with files without one."""
    rows = _rows(url, options)
    over = [row for row in rows if row["limit"] and row["costs"] > row["limit"]]
    if over and not options.quick:
        words = ", ".join(f"{row['request']}: {row['costs']:.2f}" for row in over)
        raise OverLimitError(f"Replies cost more empty Flask views than they may: {words}", rows)
    return rows


def _rows(url: str, options: Options) -> list[Row]:
    with Stage() as stage:
        simulator, key = stage.simulator(), new_key()
        settings = stage.settings(simulator, database_url=url, TOKEN_KEY=key)
        listed = simulator.get("/_simulator/accounts").json()["accounts"]
        # Those that take no time to read, beside the huge one.
        few = [each for each in listed if each["kind"] in {"ordinary", "small", "prolific"}]
        few = few[: options.pick(ACCOUNTS, 5)]
        _add(
            [*few, next(each for each in listed if each["username"] == HUGE)], key, url, Path(settings["INSTANCE_PATH"])
        )
        gateway, empty = stage.gateway(settings), stage.empty([])
        time.sleep(NOTICED_AFTER)
        kinds = _kinds(gateway, [each["username"] for each in few], options)
        gateway.get(f"/performance-data?url={_creator(0)}").raise_for_status()
        _copy_report(url, Path(settings["INSTANCE_PATH"]), options.pick(CREATORS, 50))
        for kind in kinds:
            _measure(kind, gateway, empty, options)
        return [_row(kind) for kind in kinds]


def _measure(kind: Kind, gateway: Server, empty: Server, options: Options) -> None:
    for path in kind.first:
        gateway.get(path).raise_for_status()
    time.sleep(NOTICED_AFTER)
    seconds, most = options.pick(1.0, 0.3), options.pick(1_600, 300)
    # Both workers then have the data. A provider may be called here: once days are kept, a long window is made of fewer
    # calls, of which some were not made yet.
    _load(gateway, kind.take(options.pick(400, 100)), seconds=60.0, without_calls=False)
    if kind.overflow:
        _load(gateway, kind.take(options.pick(kind.overflow, 100)), seconds=120.0)
    for _ in range(options.pick(3, 1)):
        before = empty.cpu_seconds()
        small = run(Plan(ports=(empty.port,), paths=("/small",), callers=CALLERS, seconds=seconds)).require(OK)
        empty_cpu = (empty.cpu_seconds() - before) / small.replies
        before = gateway.cpu_seconds()
        cached = _load(gateway, kind.take(most), seconds=seconds)
        cached_cpu = (gateway.cpu_seconds() - before) / cached.replies
        kind.costs.append(small.rate / cached.rate)
        kind.cpu.append(cached_cpu / empty_cpu)
        kind.empty.append(small.rate)
        kind.rates.append(cached.rate)
        kind.p99_ms.append(cached.overall.p99_ms)


def _load(gateway: Server, paths: Sequence[str], *, seconds: float, without_calls: bool = True) -> Result:
    """Send each path once at most; raise where a reply is no success, or a provider was called for it."""
    if len(set(paths)) != len(paths):
        raise MisleadingError("A path comes twice, so that its reply may have been ready.")
    plan = Plan(ports=(gateway.port,), paths=tuple(paths), callers=CALLERS, seconds=seconds, requests=len(paths))
    result = run(plan).require(OK)
    if without_calls and result.provider_calls:
        raise MisleadingError(f"{result.provider_calls} replies called a provider; first {paths[0]}.")
    return result


def _row(kind: Kind) -> Row:
    return {
        "request": kind.name,
        "empty_per_s": statistics.median(kind.empty),
        "cached_per_s": statistics.median(kind.rates),
        "costs": statistics.median(kind.costs),
        "costs_cpu": statistics.median(kind.cpu),
        "limit": kind.limit,
        "cached_p99_ms": statistics.median(kind.p99_ms),
    }


def _kinds(gateway: Server, accounts: Sequence[str], options: Options) -> list[Kind]:
    now = datetime.now(UTC)
    own = SANDBOX_CREDENTIALS["instagram_account_id"]
    listed = gateway.get("/top-posts?time_range=30d&limit=50").json()["top_posts"]
    media = [post["id"] for post in listed[: options.pick(MEDIA, 2)]]
    days = options.pick(28, 5)
    kinds = []
    for name, account, limit in (("ordinary", own, LIMIT), ("huge", HUGE, LIMIT_HUGE)):
        kinds += [
            Kind(f"top-posts, {name}", [_posts(account)], _top_posts([account]), limit),
            Kind(f"growth-trends, {name}", _growth_first(account, days), _growth([account], days), limit),
        ]
    kinds += [
        Kind("top-posts by reach", [f"{_posts(own)}&by=reach"], _top_posts([own], by="&by=reach")),
        Kind(
            "growth-trends by reach",
            [f"{path}&er_basis=reach" for path in _growth_first(own, days)],
            _growth([own], days, basis="&er_basis=reach"),
        ),
        Kind("account-insights, 1 day", [f"{_insights(own)}&metrics={PLAIN}"], _account_insights([_insights(own)])),
        Kind(
            "account-insights, 28 days",
            [f"{by_day(PLAIN, now=now)}&account={own}"],
            _account_insights([f"{by_day('', now=now).replace('metrics=&', '')}&account={own}"]),
        ),
        Kind(
            "media insights",
            [f"/api/instagram/insights/{each}" for each in media],
            _media_insights(gateway, media),
        ),
        Kind("performance-data", [], _reports(options.pick(CREATORS_FEW, 20))),
        Kind(
            "performance-data, many keys",
            [],
            _reports(options.pick(CREATORS, 50)),
            overflow=OVERFLOW_OF_REPORTS,
        ),
        Kind(
            "top-posts, many keys",
            [_posts(account) for account in accounts],
            _top_posts(accounts),
            overflow=OVERFLOW,
        ),
        Kind(
            "growth-trends, many keys",
            [path for account in accounts for path in _growth_first(account, 2)],
            _growth(accounts, 2),
            overflow=OVERFLOW,
        ),
        Kind(
            "account-insights, many keys",
            [f"{_insights(account)}&metrics={PLAIN}" for account in accounts],
            _account_insights([_insights(account) for account in accounts]),
            overflow=OVERFLOW,
        ),
    ]
    return kinds


def _posts(account: str) -> str:
    return f"/top-posts?account={account}&time_range=30d&limit=50"


def _top_posts(accounts: Sequence[str], by: str = "") -> Iterator[str]:
    types = ("", "&media_product_type=FEED", "&media_product_type=REELS", "&media_product_type=AD")
    formats = ("&format=json", "&format=csv")
    yield from _shuffled(
        f"/top-posts?account={account}&time_range={days}d&limit={limit}{type_}{format_}{by}"
        for account, days, limit, type_, format_ in product(accounts, range(1, 31), range(1, 51), types, formats)
    )


def _growth_first(account: str, days: int) -> list[str]:
    """Return the requests that read all that the others are made of."""
    return [
        f"/growth-trends?account={account}&period={length}d&metrics={_TRENDS}&until={until}"
        for length, until in product(_lengths(days), ("yesterday", "complete"))
    ]


_TRENDS = "reach,views,interactions,posts"


def _lengths(days: int) -> range:
    # Longer windows may take two calls, and of what dates these are depends on what is kept by then.
    return range(28, 28 - days, -1)


def _growth(accounts: Sequence[str], days: int, basis: str = "") -> Iterator[str]:
    metrics = ["", *(f"&metrics={','.join(each)}" for each in _subsets(_TRENDS.split(",")))]
    methods = ("mean_of_posts", "ratio_of_sums", "median")
    yield from _shuffled(
        f"/growth-trends?account={account}&period={length}d&until={until}&er_method={method}&format={format_}{more}{basis}"
        for account, length, until, method, format_, more in product(
            accounts, _lengths(days), ("yesterday", "complete"), methods, ("json", "csv"), metrics
        )
    )


def _insights(account: str) -> str:
    return f"/account-insights?period=day&account={account}"


def _account_insights(queries: Sequence[str]) -> Iterator[str]:
    metrics = [",".join(each) for each in _subsets(PLAIN.split(","))]
    yield from _shuffled(
        f"{query}&metrics={each}&format={format_}"
        for query, each, format_ in product(queries, metrics, ("json", "csv"))
    )


def _media_insights(gateway: Server, media: Sequence[str]) -> Iterator[str]:
    paths = []
    for each in media:
        insights = gateway.get(f"/api/instagram/insights/{each}").json()["insights"]
        subsets = _subsets([insight["name"] for insight in insights])
        paths += [
            f"/api/instagram/insights/{each}?metrics={','.join(metrics)}&format={format_}"
            for metrics, format_ in product(subsets, ("json", "csv"))
        ]
    yield from _shuffled(paths)


def _reports(creators: int) -> Iterator[str]:
    """Of one creator only the form of the reply and the longest wait differ."""
    yield from _shuffled(
        f"/performance-data?url={_creator(number)}&format={format_}&wait={wait}"
        for number, format_, wait in product(range(creators), ("json", "csv"), range(26))
    )


def _subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [each for size in range(1, len(names) + 1) for each in combinations(names, size)]


def _shuffled(paths: Any) -> list[str]:
    listed = list(paths)
    random.Random(1).shuffle(listed)  # noqa: S311  # The same order in every run.
    return listed


def _add(accounts: Sequence[Mapping[str, str]], key: str, url: str, instance: Path) -> None:
    """Put accounts of the simulator into the table."""
    encryption = TokenEncryption([key], learn=lambda _: None)
    with closing(Store.open(url, str(instance), mode="sandbox")) as store:
        for number, each in enumerate(accounts):
            token = encryption.seal(each["token"])
            row = AccountRow(each["id"], each["username"], "facebook", each["page_id"], token, float(number))
            store.accounts.put(row)


def _copy_report(url: str, instance: Path, copies: int) -> None:
    """Copy the report of the first creator to the others."""
    with closing(Store.open(url, str(instance), mode="sandbox")) as store:
        report = store.reports.history("sandbox", _creator(0), limit=1)[0]
        new, price = NewReport(json.dumps(report.body)), report.milli_credits
        with store.databases[-1].write() as connection:
            for number in range(1, copies):
                store.reports.keep(
                    connection, "sandbox", _creator(number), new, fetched_at=report.fetched_at, price=price
                )


def _creator(number: int) -> str:
    return f"creator{number:05}"
