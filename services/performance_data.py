"""Performance data: what Modash knows of a creator's last 6, 12 and 30 posts and reels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from services.answers import Answer, Freshness, Table, Unavailable, Warning_
from services.clients.modash import ModashClient, Pending
from services.clock import Clock
from services.errors import CreatorNotFoundError, ProviderError, ProviderNotConfiguredError
from services.memory import Json, Memo, Memory, Outcome, Passing
from services.memory.failures import as_text, from_text
from services.memory.rules import DAY, HOUR
from services.parallel import Parallel
from services.redaction import Redaction

REPORT_FRESH_FOR = 7 * DAY
CREATOR_UNKNOWN_FOR = HOUR
PRICE = 0.25  # credits for each report; what is not ready costs nothing
BLOCKS = ("posts", "reels")
COLUMNS = ("block", "statistic", "measure", "number_of_items", "value")
STATISTICS = ("likes", "comments", "views")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportRule:
    """How long a report serves, and that there is none."""

    def expires_at(self, value: Json, fetched_at: float) -> float | None:
        """Return when a report is paid for again, or a creator is looked for again."""
        if "failure" in value:
            from_text(str(value["failure"]))  # What is none must not be taken for one.
            return fetched_at + CREATOR_UNKNOWN_FOR
        is_report = isinstance(value["report"], dict) and "credits_left" in value
        return fetched_at + REPORT_FRESH_FOR if is_report else None

    def grace(self, value: Json) -> float:
        """Return for how long an expired report serves at once."""
        return 0.0


REPORT = ReportRule()


class PerformanceData:
    """Reports about creators, each of which is paid for."""

    def __init__(
        self,
        modash: ModashClient | None,
        parallel: Parallel,
        memory: Memory,
        *,
        redaction: Redaction,
        source: str,
        retry_after: int,
        clock: Clock,
    ) -> None:
        self._modash = modash
        self._parallel = parallel
        self._memory = memory
        self._redaction = redaction
        self._source = source
        self._retry_after = retry_after
        self._clock = clock

    def of(self, creator: str) -> Answer:
        """Return the report of a creator (as `creator_name` gives it), or what to do until it is ready.

        What is not ready is an answer too: status 202 with the seconds after which it is worth asking again.
        """
        if self._modash is None:
            raise ProviderNotConfiguredError(
                "Modash is not configured.", provider="modash", hint="Set MODASH_API_KEY, then restart."
            )
        # The source is the account: what the sandbox invented must never pass for a report that was paid for.
        memo = self._memory.recall(
            self._source, f"report/{creator}", REPORT, partial(self._fetch, self._modash, creator)
        )
        if "failure" in memo.value:
            raise from_text(str(memo.value["failure"]))
        freshness = Freshness.of([memo], now=self._clock.now(), by_day=False)
        if "pending" in memo.value:
            return self._pending(creator, str(memo.value["pending"]), freshness)
        return self._report(creator, memo.value, freshness)

    def _fetch(self, modash: ModashClient, creator: str, _kept: Memo | None) -> Outcome:
        """Ask for a report; that there is no such creator is worth remembering too, that it is not ready is not."""
        try:
            outcome = self._parallel.start(partial(modash.performance_data, creator), lane=creator).result()
        except CreatorNotFoundError as error:
            return {"failure": as_text(error)}
        if isinstance(outcome, Pending):
            return Passing({"pending": outcome.message})
        return {"report": outcome.body, "credits_left": self._credits_left(modash, creator)}

    def _pending(self, creator: str, message: str, freshness: Freshness) -> Answer:
        body = {"status": "retry_later", "message": message, "retry_after": self._retry_after}
        meta = self._meta(creator, cost=0, credits_left=None)
        return Answer(body, freshness, self._source, self._source, meta, status=202, retry_after=self._retry_after)

    def _report(self, creator: str, kept: Json, freshness: Freshness) -> Answer:
        report, credits_left = cast(Mapping[str, object], kept["report"]), cast("float | None", kept["credits_left"])
        blocks = {name: block for name in BLOCKS if isinstance(block := report.get(name), dict)}
        body: dict[str, object] = {name: blocks.get(name) for name in BLOCKS}
        warnings: list[Warning_] = []
        if not blocks:
            # It was paid for, so it is handed on even if nobody here can read it.
            body["unrecognized"] = self._redaction.inside(report)
            message = "Modash sent a report of another shape; it stands under `unrecognized` as it came."
            warnings.append({"code": "report_unrecognized", "message": message})
            log.warning("Modash sent a report of another shape")
        meta = self._meta(creator, cost=PRICE, credits_left=credits_left)
        meta["unavailable"] = [_missing(name) for name in BLOCKS if name not in blocks]
        meta["warnings"] = warnings
        rows = [row for name, block in blocks.items() for row in _rows(name, block)]
        return Answer(body, freshness, self._source, self._source, meta, Table(COLUMNS, rows))

    def _credits_left(self, modash: ModashClient, creator: str) -> float | None:
        """Ask for the balance; a report that is paid for is not lost over it."""
        try:
            return self._parallel.start(modash.credits, lane=creator).result()
        except ProviderError as error:
            log.warning("The Modash balance could not be read", extra={"code": error.code})
            return None

    def _meta(self, creator: str, *, cost: float, credits_left: float | None) -> dict[str, object]:
        return {
            "creator": creator,
            "cost": {"credits": cost, "credits_left": credits_left},
            "unavailable": [],
            "substitutions": [],
            "warnings": [],
        }


def _missing(block: str) -> Unavailable:
    return {"metric": block, "reason": "not_answered", "message": f"Modash's report has no {block}."}


def _rows(name: str, block: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Give one row for each number of a block: which statistic, which measure, over how many items."""
    for statistic in STATISTICS:
        measures = block.get(statistic)
        for measure, points in measures.items() if isinstance(measures, dict) else ():
            for point in points if isinstance(points, list) else ():
                yield _row(name, statistic, measure, point)
    rates = block.get("engagement_rate")
    for point in rates if isinstance(rates, list) else ():
        yield _row(name, "engagement_rate", "mean", point)


def _row(block: str, statistic: str, measure: str, point: object) -> Mapping[str, object]:
    known = point if isinstance(point, dict) else {}
    return {
        "block": block,
        "statistic": statistic,
        "measure": measure,
        "number_of_items": known.get("numberOfItems"),
        "value": known.get("value"),
    }
