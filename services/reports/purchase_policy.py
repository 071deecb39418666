"""When reports are bought: the limit, and every wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from services.store.reports import has_given_up

LONGEST_WAIT = 20.0  # seconds; as long as background work waits for its turn under the rate limit
MARGIN = 5.0  # seconds that a call takes beside its timeouts, on a machine that is busy


@dataclass(frozen=True)
class PurchasePolicy:
    """The settings of purchases; amounts are thousandths of a credit, times are seconds."""

    fresh_for: float
    hold: float  # after a call that may have been charged, in which no other call is made for its creator
    limit: int  # for each calendar month
    retry_after: int
    max_retries: int
    longest_call: float
    longest_wait: float = LONGEST_WAIT  # from the booking of a call to the moment at which it leaves this machine

    def serves(self, fetched_at: float, *, now: float, not_before: float) -> bool:
        """Return whether a report serves without a new one."""
        return now < fetched_at + self.fresh_for and fetched_at >= not_before

    def asked_again_at(self, asked_at: float, attempts: int) -> float:
        """Return when a report that was not ready is asked for again.

        Each wait is twice as long as the one before; after the last attempt the waits start over.
        """
        doubled: int = 1 if self.has_given_up(attempts) else 2 ** (attempts - 1)
        return asked_at + self.retry_after * doubled

    @property
    def longest_pause(self) -> float:
        """The seconds between two attempts for a report that is not ready, at most."""
        return self.asked_again_at(0.0, max(self.max_retries, 1))

    def has_given_up(self, attempts: int) -> bool:
        """Return whether so many attempts are too many to go on."""
        return has_given_up(attempts, max_retries=self.max_retries)


def longest_wait(*, retry_budget: float) -> float:
    """Return the seconds within which a call that is booked leaves this machine, or never does.

    They include its waits for a place and a turn, and the tries that did not reach Modash. Without this bound a call
    could leave after its row had expired and the hold was over, when another process has bought the same report.
    """
    return max(LONGEST_WAIT, retry_budget)


def longest_call(*, connect_timeout: float, read_timeout: float, retry_budget: float) -> float:
    """Return the seconds after which a call that has not come back never will."""
    # Two read timeouts for a whole answer, and one more for the rest of an answer that is late.
    return longest_wait(retry_budget=retry_budget) + connect_timeout + 3 * read_timeout + MARGIN


def next_month(moment: float) -> float:
    """Return when the calendar month after that of a moment begins (Unix seconds, UTC)."""
    day = datetime.fromtimestamp(moment, UTC)
    return datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC).timestamp()
