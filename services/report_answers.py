"""Reports as answers: as they came, with what they lack, what they cost and how old they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from services.answers import Answer, Freshness, Table, Warning_
from services.clock import Clock
from services.days import our_time
from services.redaction import Redaction
from services.report_shape import BLOCKS, COLUMNS, blocks_of, is_recognized, missing, rows_of, windows_of
from services.store import Reports
from services.store.ledger import Standing
from services.store.reports import KeptReport
from services.terms import PRICE, credits_of

OUTCOMES: Mapping[str, str] = {
    "kept": "A kept report is answered.",
    "away": "The ledger is away: a kept report is answered, or nothing.",
    "uncertain": "A call never came back: no other is made before its time is over.",
    "pending": "The report is being made: it is asked for again later, by itself.",
    "given_up": "The report was not ready however often it was asked for: it begins anew later.",
    "limit": "This month's limit of credits is reached: nothing is asked.",
    "unknown": "Modash said within the hour that there is no such creator: it is not asked again.",
    "ask": "Modash is asked.",
}

log = logging.getLogger(__name__)


class Source:
    """Where reports come from: Modash, or the sandbox."""

    def __init__(self, account: str, reports: Reports, *, redaction: Redaction, clock: Clock) -> None:
        self.account = account
        self._reports = reports
        self._redaction = redaction
        self._clock = clock

    def report(self, creator: str, report: KeptReport, freshness: Freshness) -> Answer:
        """Return a report as an answer."""
        meta = _meta(creator, cost=credits_of(report.milli_credits), credits_left=report.credits_left)
        meta["windows"] = windows_of(report.body)
        meta["unavailable"] = list(missing(report.body))
        if not is_recognized(report.body):
            # It was paid for, so it is handed on even if nobody here can read it.
            message = "Modash sent a report of another shape; it stands under `unrecognized` as it came."
            warnings: list[Warning_] = [{"code": "report_unrecognized", "message": message}]
            meta["warnings"] = warnings
            log.warning("Modash sent a report of another shape")
        table = Table(COLUMNS, list(rows_of(report.body)))
        return Answer(self._body(report), freshness, self.account, self.account, meta, table)

    def pending(self, creator: str, message: str, seconds: int, freshness: Freshness) -> Answer:
        """Return that a report is being made."""
        body = {"status": "retry_later", "message": message, "retry_after": seconds}
        meta = _meta(creator, cost=0, credits_left=None)
        return Answer(body, freshness, self.account, self.account, meta, status=202, retry_after=seconds)

    def price(self, creator: str, standing: Standing, outcome: str) -> Answer:
        """Return what a request would cost, and what would come of it."""
        report, would_call = standing.report, outcome == "ask"
        body = {
            "dry_run": True,
            "would_call": would_call,
            "credits": credits_of(PRICE if would_call else 0),
            "outcome": outcome,
            "message": OUTCOMES[outcome],
            "kept_from": None if report is None else _time(report.fetched_at),
        }
        return self._listed(creator, body, report)

    def history(self, creator: str, limit: int) -> Answer:
        """Return the kept reports of a creator, the newest first; raises `StoreAway`."""
        found = self._reports.history(self.account, creator, limit=limit)
        body = {
            "reports": [
                {
                    "fetched_at": _time(report.fetched_at),
                    "cost": {"credits": credits_of(report.milli_credits), "credits_left": report.credits_left},
                    **self._body(report),
                    "windows": windows_of(report.body),
                }
                for report in found
            ]
        }
        rows = [{"fetched_at": _time(report.fetched_at), **row} for report in found for row in rows_of(report.body)]
        return self._listed(creator, body, found[0] if found else None, Table(("fetched_at", *COLUMNS), rows))

    def _listed(
        self, creator: str, body: Mapping[str, object], newest: KeptReport | None, table: Table | None = None
    ) -> Answer:
        now = self._clock.now()
        fetched_at = now if newest is None else datetime.fromtimestamp(newest.fetched_at, UTC)
        meta = {"creator": creator, "unavailable": [], "substitutions": [], "warnings": []}
        return Answer(body, Freshness(fetched_at, now), self.account, self.account, meta, table)

    def _body(self, report: KeptReport) -> dict[str, object]:
        blocks = blocks_of(report.body)
        body: dict[str, object] = {name: blocks.get(name) for name in BLOCKS}
        if not blocks:
            body["unrecognized"] = self._redaction.inside(report.body)
        return body


def _meta(creator: str, *, cost: float, credits_left: float | None) -> dict[str, object]:
    return {
        "creator": creator,
        "cost": {"credits": cost, "credits_left": credits_left},
        "unavailable": [],
        "substitutions": [],
        "warnings": [],
    }


def _time(moment: float) -> str:
    return our_time(datetime.fromtimestamp(moment, UTC))
