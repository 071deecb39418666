"""Reports as answers: as they came, with what they lack, what they cost and how old they are."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from zlib import compress, decompress

from services.answers import Answer, Freshness, Origin, Table, Warning_
from services.clock import Clock
from services.days import our_time
from services.reasons import Unavailable
from services.redaction import Redaction
from services.rendering.csv_cells import cells, csv_lines
from services.rendering.prepared_json import json_text, prepared
from services.reports.balance import CreditBalance, CreditsLeft
from services.reports.errors import no_ledger
from services.reports.price import PRICE, credits_of
from services.reports.purchase_decision import ReportState
from services.reports.report import (
    BLOCKS,
    COLUMNS,
    RATE,
    STATISTICS,
    Report,
    blocks_of,
    measured,
    missing,
    rows_of,
    unrecognized,
    windows_of,
)
from services.store.database import DatabaseUnavailableError
from services.store.reports import KeptReport, Reports

OUTCOMES: Mapping[ReportState, str] = {
    ReportState.KEPT: "The stored report is returned.",
    ReportState.IN_FLIGHT: "Another request is buying the report: its result is returned.",
    ReportState.DATABASE_UNAVAILABLE: "The ledger cannot be read: the stored report is returned, or an error.",
    ReportState.UNCERTAIN: "A call never came back: no other call is made before its hold is over.",
    ReportState.PENDING: "Modash is making the report: the gateway asks for it again later.",
    ReportState.GIVEN_UP: "The report was not ready at any attempt: the attempts start over later.",
    ReportState.LIMIT: "This month's limit of credits is reached: no call is made.",
    ReportState.BUDGET: "The budget of this key for the month is spent: no call is made.",
    ReportState.UNKNOWN_CREATOR: "Modash said within the hour that there is no such creator: no call is made.",
    ReportState.BUY: "Modash is called.",
}

# Keys of our replies, which a report cannot use at its top level. Its `error: false` is Modash's envelope.
RESERVED = frozenset({"meta", "unrecognized", "windows", "cost", "fetched_at", "code", "message", "status", "dry_run"})

COMPRESSION = 1  # the fastest: the next level takes twice the time and saves a tenth
UNAVAILABLE_SIZE = 500  # bytes of an entry of `unavailable`, about
MOST_LOGGED = 1_000  # ids of reports of another shape

log = logging.getLogger(__name__)


class ShownReport:
    """What replies show of a report; requests share it, so nothing may change it.

    It has compressed text instead of values, which takes a thirtieth of the memory, and a hundredth of a millisecond
    to read again.
    """

    __slots__ = ("_ends", "_lines", "_text", "unavailable", "warnings")

    def __init__(
        self,
        body: Mapping[str, bytes],
        windows: bytes,
        unavailable: Sequence[Unavailable],
        warnings: Sequence[Warning_],
    ) -> None:
        """Take the fields of the body and the windows as JSON."""
        self._ends = tuple(zip(body, accumulate(map(len, body.values())), strict=True))
        self._text = compress(b"".join([*body.values(), windows]), COMPRESSION)
        self._lines: bytes | None = None
        self.unavailable = unavailable
        self.warnings = warnings

    @property
    def size(self) -> int:
        """The bytes that it takes at most: the rows of its table, made for the first caller, are shorter than it."""
        return 2 * len(self._text) + UNAVAILABLE_SIZE * len(self.unavailable)

    def parts(self) -> tuple[dict[str, bytes], bytes]:
        """Return the fields of the body and the windows, as JSON."""
        text, begin, body = decompress(self._text), 0, {}
        for name, end in self._ends:
            body[name] = text[begin:end]
            begin = end
        return body, text[begin:]

    def rows(self) -> Iterator[str]:
        """Yield the rows of the table."""
        if self._lines is None:
            report = {name: json.loads(text) for name, text in self.parts()[0].items() if name in BLOCKS}
            lines = csv_lines(map(cells, rows_of(report)))
            self._lines = compress(lines.encode(), COMPRESSION)
        yield decompress(self._lines).decode()


class ReportAnswers:
    """Makes the answers about reports of one source: Modash, or the sandbox."""

    def __init__(
        self, source: str, reports: Reports, *, balance: CreditBalance, redaction: Redaction, clock: Clock
    ) -> None:
        self.source = source
        self._reports = reports
        self._balance = balance
        self._redaction = redaction
        self._clock = clock
        self._logged: set[int] = set()  # the ids of the stored reports of another shape

    def report(self, creator: str, shown: ShownReport, freshness: Freshness, *, spent: int) -> Answer:
        """Return a report as an answer, for a request that has spent some thousandths of a credit."""
        body, windows = shown.parts()
        return Answer(
            body={name: prepared(text) for name, text in body.items()},
            account=self.source,
            origin=Origin(self.source),
            freshness=freshness,
            meta=self._meta(creator, spent=spent) | {"windows": prepared(windows)},
            unavailable=shown.unavailable,
            warnings=shown.warnings,
            table=Table(COLUMNS, shown.rows()),
        )

    def shown(self, report: KeptReport) -> ShownReport:
        """Return a report as it is shown."""
        warnings: list[Warning_] = []
        found = measured(report.body)
        if (odd := unrecognized(report.body, found)) or not blocks_of(report.body):
            # It was paid for, so it is handed on even if the gateway cannot read it.
            what = f"{_names(odd)} in an unknown shape" if blocks_of(report.body) else "a report of another shape"
            message = f"Modash sent {what}; it is in `unrecognized` as it came."
            warnings.append({"code": "report_unrecognized", "message": message})
            self._log_odd(report, odd)
        return ShownReport(
            {name: json_text(value) for name, value in self._body(report, odd).items()},
            json_text(windows_of(report.body, found)),
            list(missing(report.body, found)),
            warnings,
        )

    def _log_odd(self, report: KeptReport, odd: Report) -> None:
        """Log a report of another shape, once."""
        if report.id in self._logged:
            return
        if len(self._logged) >= MOST_LOGGED:
            self._logged.clear()
        if report.id:
            self._logged.add(report.id)
        log.warning("Modash sent a report of another shape", extra={"parts": _names(odd)})

    def pending(self, creator: str, message: str, seconds: int, freshness: Freshness) -> Answer:
        """Return that Modash is making a report."""
        body = {"status": "retry_later", "message": message, "retry_after": seconds}
        return Answer(
            body=body,
            account=self.source,
            origin=Origin(self.source),
            freshness=freshness,
            meta=self._meta(creator, spent=0),
            status=202,
            retry_after=seconds,
        )

    def price(self, creator: str, report: KeptReport | None, outcome: ReportState) -> Answer:
        """Return what a request would cost, and what it would lead to."""
        would_call = outcome is ReportState.BUY
        body = {
            "dry_run": True,
            "would_call": would_call,
            "credits": credits_of(PRICE if would_call else 0),
            "outcome": str(outcome),
            "message": OUTCOMES[outcome],
            "kept_from": None if report is None else our_time(report.fetched_at),
        }
        return self._listed(creator, body, report)

    def history(self, creator: str, limit: int) -> Answer:
        """Return the kept reports of a creator, the newest first."""
        try:
            found = self._reports.history(self.source, creator, limit=limit)
        except DatabaseUnavailableError:
            raise no_ledger() from None
        body = {
            "reports": [
                {
                    "fetched_at": our_time(report.fetched_at),
                    "cost": {"credits": credits_of(report.milli_credits), "credits_left": report.credits_left},
                    **self._body(report, unrecognized(report.body)),
                    "windows": windows_of(report.body),
                }
                for report in found
            ]
        }
        rows = [tuple(cells((our_time(report.fetched_at), *row))) for report in found for row in rows_of(report.body)]
        return self._listed(creator, body, found[0] if found else None, Table(("fetched_at", *COLUMNS), rows))

    def _listed(
        self, creator: str, body: Mapping[str, object], newest: KeptReport | None, table: Table | None = None
    ) -> Answer:
        now = self._clock.timestamp()
        return Answer(
            body=body,
            account=self.source,
            origin=Origin(self.source),
            freshness=Freshness(now if newest is None else newest.fetched_at, now),
            meta={"creator": creator},
            table=table,
        )

    def _body(self, report: KeptReport, odd: Report) -> dict[str, object]:
        """Return a report as it came; what has the name of a field of ours goes into `unrecognized`."""
        blocks = blocks_of(report.body)
        body: dict[str, object] = {name: blocks.get(name) for name in BLOCKS}
        if not blocks:
            return body | {"unrecognized": self._redaction.inside(odd)}
        others = {key: value for key, value in report.body.items() if key not in {*BLOCKS, "error"}}
        displaced = {key: value for key, value in others.items() if key in RESERVED}
        body |= self._inside({key: value for key, value in others.items() if key not in RESERVED})
        unknown = self._inside({**odd, **displaced})
        return body | {"unrecognized": unknown} if unknown else body

    def _inside(self, parts: Mapping[str, object]) -> dict[str, object]:
        return {self._redaction(key): self._redaction.inside(value) for key, value in parts.items()}

    def _meta(self, creator: str, *, spent: int) -> dict[str, object]:
        try:
            left = self._balance.left() if spent else self._balance.recently_left()
        except DatabaseUnavailableError:
            left = CreditsLeft()
        as_of = None if left.as_of is None else our_time(left.as_of)
        return {
            "creator": creator,
            "cost": {"credits": credits_of(spent), "credits_left": left.credits, "as_of": as_of},
            "price": credits_of(PRICE),
        }


def _names(odd: Mapping[str, object]) -> str:
    """Name the parts of a report by their paths: `reels`, `posts.likes`."""
    names = [
        f"{name}.{part}" if isinstance(parts, dict) and part in (*STATISTICS, RATE) else name
        for name, parts in odd.items()
        for part in (parts if isinstance(parts, dict) and parts else [""])
    ]
    return ", ".join(dict.fromkeys(names))
