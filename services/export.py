"""Export: the kept history in the long format, one value a line, as a stream."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Literal, NamedTuple

from typing_extensions import TypedDict

from services.accounts.resolver import AccountResolver
from services.clock import Clock
from services.days import pacific_day
from services.errors import BusyError, InvalidRequestError
from services.history.transfer.definitions import definition
from services.history.transfer.text import Format, as_text
from services.insights.catalogue import METRICS
from services.media.catalogue import MEDIA_METRICS
from services.rendering.nearest_name import did_you_mean_any
from services.store.database import DatabaseUnavailableError
from services.store.exported_tables import SECTIONS
from services.store.line_fields import Line
from services.store.transfer import Selection, Transfer
from services.windows import Bound, check_range

MAX_AT_ONCE = 4  # of a process; each holds a thread for as long as its caller reads
PART = 64  # lines that are sent together
EXPORT_RETRY_AFTER = 30  # seconds
KINDS = tuple(section.kind for section in SECTIONS)
NAMES: Mapping[str, Collection[str]] = {
    **{name: () for section in SECTIONS for name in section.metrics or ()},
    **{name: metric.successor.metrics if metric.successor else () for name, metric in MEDIA_METRICS.items()},
    **{name: (metric.successor.metric,) if metric.successor else () for name, metric in METRICS.items()},
}
"""Every metric that is accepted whatever is kept, and the successors of those that Meta removed."""
NO_SUCCESSOR = frozenset(
    name for name, metric in MEDIA_METRICS.items() if metric.successor is not None and not metric.successor.metrics
)


class ExportLine(TypedDict):
    """One value of the history; `value` is null where it is unknown, and `reason` says why.

    The number of a metric is followed by those of its buckets, if it has any. A `post` or `story` line has no value; it
    says in `details` what that is. `date` is the Pacific day that the value describes, or on which it was read.
    """

    account: str
    metric: str | None
    breakdown: str | None
    bucket: str | None
    date: str
    value: int | float | None
    reason: str | None
    final: bool | None
    source: str | None
    definition: str | None
    kind: str
    first_day: str | None
    media: str | None
    read_at: str | None
    api_version: str | None
    details: dict[str, object] | None
    mode: Literal["live", "sandbox"]


class Exported(NamedTuple):
    """An export as it is sent: its parts, which have to be closed, and the account."""

    account: str
    parts: Iterator[str]


class Export:
    """The history of one account, or of all."""

    def __init__(self, transfer: Transfer, accounts: AccountResolver, *, mode: str, clock: Clock) -> None:
        self._transfer = transfer
        self._accounts = accounts
        self._mode = mode
        self._clock = clock
        self._places = threading.BoundedSemaphore(MAX_AT_ONCE)

    def of(
        self,
        *,
        account: str | None = None,
        metrics: Collection[str] = (),
        since: Bound | None = None,
        until: Bound | None = None,
        format_: Format,
    ) -> Exported:
        """Return the export of an account, whose first part is read already.

        Raises `InvalidRequestError` for a metric that is neither known nor kept, `BusyError` where the database is
        unavailable or too many exports are under way.
        """
        check_range(since, until, pacific_day(self._clock.now()))
        selected = self._accounts.find(account)
        try:
            selection = Selection(self.names([selected.id], metrics), _day(since), _day(until))
        except DatabaseUnavailableError:
            raise _unavailable() from None
        if not self._places.acquire(blocking=False):
            raise BusyError(
                f"{MAX_AT_ONCE} exports are under way.",
                hint="Ask again when one has ended.",
                retry_after=EXPORT_RETRY_AFTER,
            )
        parts = self._sent(self.text([selected.id], selection, format_))
        try:
            first = next(parts, "")
        except DatabaseUnavailableError:
            raise _unavailable() from None
        return Exported(selected.id, _resumed(first, parts))

    def all_accounts(self) -> list[str]:
        """Return every account with history, also those that were removed; raises `DatabaseUnavailableError`."""
        return self._transfer.accounts()

    def names(self, accounts: Sequence[str], metrics: Collection[str]) -> Collection[str]:
        """Return the names under which some metrics are kept: their own, and those of the successors of removed ones.

        Raises `InvalidRequestError` for a metric that is neither known nor kept, `DatabaseUnavailableError`.
        """
        # Of a metric that Meta removed without a successor there are lines only if they are kept under its own name.
        unknown = [name for name in metrics if name not in NAMES or name in NO_SUCCESSOR]
        kept = {name for account in accounts for name in self._transfer.kept_metrics(account)} if unknown else set()
        if unknown := [name for name in unknown if name not in kept]:
            accepted = [*(name for name in NAMES if name not in NO_SUCCESSOR), *sorted(kept.difference(NAMES))]
            removed = [name for name in unknown if name in NO_SUCCESSOR]
            sentences = [
                f"Meta removed {name}, and nothing that it gives now measures the same; none is kept."
                for name in removed
            ]
            if misspelt := [name for name in unknown if name not in removed]:
                sentences.append(
                    f"{', '.join(map(ascii, misspelt))} is not kept, and cannot be."
                    f"{did_you_mean_any(misspelt, accepted)}"
                )
            raise InvalidRequestError(f"metrics: {' '.join(sentences)}", hint=f"Accepted: {', '.join(accepted)}.")
        return list(dict.fromkeys(each for name in metrics for each in (name, *NAMES.get(name, ()))))

    def text(self, accounts: Sequence[str], selection: Selection, format_: Format) -> Iterator[str]:
        """Yield the export of some accounts, line by line; raises `DatabaseUnavailableError`."""
        return as_text(self._lines(accounts, selection), format_)

    def _lines(self, accounts: Sequence[str], selection: Selection) -> Iterator[Line]:
        for account in accounts:
            for section, line in self._transfer.lines(account, selection):
                line["definition"] = definition(section, line["metric"])
                line["mode"] = self._mode
                yield line

    def _sent(self, lines: Iterator[str]) -> Iterator[str]:
        try:
            part: list[str] = []
            for line in lines:
                part.append(line)
                if len(part) == PART:
                    yield "".join(part)
                    part = []
            yield "".join(part)
        finally:
            self._places.release()


def _unavailable() -> BusyError:
    return BusyError(
        "The database is unavailable, so there is no history to export.",
        hint="Ask again; if it stays so, the operator finds the cause in the log.",
        retry_after=5,
    )


def _resumed(first: str, parts: Iterator[str]) -> Iterator[str]:
    yield first
    yield from parts


def _day(bound: Bound | None) -> date | None:
    return bound if bound is None or isinstance(bound, date) else pacific_day(bound)
