"""The numbers of followers at both ends of a period: as they were counted, else worked back from now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from services.days import ONE_DAY
from services.insights.followers_at_start import FollowersAtStart, FollowersThen
from services.insights.request import ValueKey
from services.insights.values import MetricValue
from services.store.follower_counts import DailyCount
from services.windows import Window

HISTORY = "history"
Counts = Mapping[date, DailyCount]


@dataclass(frozen=True)
class Followers:
    """The numbers of followers at both ends of a window: at its end, which is now unless later days are left out.

    `counts` are the kept counts by day, each of them the first of its day. That of the first day is the number at the
    start, and that of the day after the last one the number at the end.
    """

    window: Window
    start: FollowersAtStart
    end: FollowersAtStart | None
    counts: Counts

    @classmethod
    def of(cls, window: Window, read_at: datetime, today: date, counts: Counts) -> Self:
        """Return the two ends of a window."""
        later = Window(window.last + ONE_DAY, today - ONE_DAY)
        end = FollowersAtStart(later, read_at, today) if later.first <= later.last else None
        return cls(window, FollowersAtStart(window, read_at, today), end, counts)

    @property
    def at_start(self) -> DailyCount | None:
        """The count at the start of the window, if it is kept."""
        return self.counts.get(self.window.first)

    @property
    def at_end(self) -> DailyCount | None:
        """The count at the end of the window, if it is kept and the window does not end now."""
        return None if self.end is None else self.counts.get(self.window.last + ONE_DAY)

    @property
    def is_counted(self) -> bool:
        """Whether both ends were counted, so that nothing else is needed; the present number is never a kept one."""
        return self.at_start is not None and self.at_end is not None

    @property
    def uncounted(self) -> list[FollowersAtStart]:
        """The ends that have to be worked back from now."""
        ends = [(self.start, self.at_start), (self.end, self.at_end)]
        return [each for each, count in ends if each is not None and count is None]

    @property
    def gap_days(self) -> list[date]:
        """The days of the window of which no count is kept."""
        return [day for day in self.window if day not in self.counts]

    def values(
        self, current: int | None, current_read_at: float, metric_values: Mapping[ValueKey, MetricValue]
    ) -> tuple[FollowersThen, FollowersThen]:
        """Return the numbers at the start and at the end; two estimates of different bases do not compare."""
        then = _counted(self.at_start) or self.start.value(current, metric_values)
        if self.end is None:
            if current is None:
                return then, FollowersThen(None, "current_unknown", None, None)
            return then, FollowersThen(current, None, None, None, counted_at=current_read_at)
        end = _counted(self.at_end) or self.end.value(current, metric_values)
        is_any_counted = then.counted_at is not None or end.counted_at is not None
        # On quiet days follows and unfollows come without a number; no new followers since then fit either basis.
        is_mixed = not is_any_counted and then.basis != end.basis and end.value != current
        if then.value is not None and end.value is not None and is_mixed:
            then = FollowersThen(None, "inconsistent", then.basis, then.covered_until)
        return then, end


def _counted(count: DailyCount | None) -> FollowersThen | None:
    return None if count is None else FollowersThen(count.value, None, HISTORY, None, counted_at=count.read_at)
