"""Performance data: what Modash knows of a creator's last 6, 12 and 30 posts and reels."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from services.answers import Answer, Freshness, Table, Unavailable, Warning_
from services.clients.modash import ModashClient, Pending, Report
from services.clock import Clock
from services.errors import ProviderError, ProviderNotConfiguredError
from services.parallel import Parallel
from services.redaction import Redaction

PRICE = 0.25  # credits for each report; what is not ready costs nothing
BLOCKS = ("posts", "reels")
COLUMNS = ("block", "statistic", "measure", "number_of_items", "value")
STATISTICS = ("likes", "comments", "views")

log = logging.getLogger(__name__)


class PerformanceData:
    """Reports about creators, each of which is paid for."""

    def __init__(
        self,
        modash: ModashClient | None,
        parallel: Parallel,
        *,
        redaction: Redaction,
        source: str,
        retry_after: int,
        clock: Clock,
    ) -> None:
        self._modash = modash
        self._parallel = parallel
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
        now = self._clock.now()
        outcome = self._parallel.start(partial(self._modash.performance_data, creator)).result()
        if isinstance(outcome, Pending):
            return self._pending(creator, outcome, now)
        return self._report(creator, outcome, now, self._credits_left(self._modash))

    def _pending(self, creator: str, outcome: Pending, now: datetime) -> Answer:
        body = {"status": "retry_later", "message": outcome.message, "retry_after": self._retry_after}
        meta = self._meta(creator, cost=0, credits_left=None)
        return Answer(body, Freshness(self._source, now), meta, status=202, retry_after=self._retry_after)

    def _report(self, creator: str, report: Report, now: datetime, credits_left: float | None) -> Answer:
        blocks = {name: block for name in BLOCKS if isinstance(block := report.body.get(name), dict)}
        body: dict[str, object] = {name: blocks.get(name) for name in BLOCKS}
        warnings: list[Warning_] = []
        if not blocks:
            # It was paid for, so it is handed on even if nobody here can read it.
            body["unrecognized"] = self._redaction.inside(report.body)
            message = "Modash sent a report of another shape; it stands under `unrecognized` as it came."
            warnings.append({"code": "report_unrecognized", "message": message})
            log.warning("Modash sent a report of another shape")
        meta = self._meta(creator, cost=PRICE, credits_left=credits_left)
        meta["unavailable"] = [_missing(name) for name in BLOCKS if name not in blocks]
        meta["warnings"] = warnings
        rows = [row for name, block in blocks.items() for row in _rows(name, block)]
        return Answer(body, Freshness(self._source, now), meta, Table(COLUMNS, rows))

    def _credits_left(self, modash: ModashClient) -> float | None:
        """Ask for the balance; a report that is paid for is not lost over it."""
        try:
            return self._parallel.start(modash.credits).result()
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
