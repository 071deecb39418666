"""The numbers of followers at both ends of a period."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

from services.days import ONE_DAY, Window
from services.insights.followers import FollowersAtStart, FollowersThen
from services.insights.request import ValueKey
from services.insights.values import MetricValue


@dataclass(frozen=True)
class Followers:
    """The numbers of followers at both ends of a window: at its end, which is now unless later days are left out."""

    start: FollowersAtStart
    end: FollowersAtStart | None

    @classmethod
    def of(cls, window: Window, read_at: datetime, today: date) -> Self:
        """Return the two ends of a window."""
        later = Window(window.last + ONE_DAY, today - ONE_DAY)
        end = FollowersAtStart(later, read_at, today) if later.first <= later.last else None
        return cls(FollowersAtStart(window, read_at, today), end)

    @property
    def both(self) -> list[FollowersAtStart]:
        """Both ends that are worked back from now."""
        return [each for each in (self.start, self.end) if each is not None]

    def values(
        self, current: int | None, metric_values: Mapping[ValueKey, MetricValue]
    ) -> tuple[FollowersThen, FollowersThen]:
        """Return the numbers at the start and at the end; two numbers of different bases do not compare."""
        then = self.start.value(current, metric_values)
        if self.end is None:
            return then, FollowersThen(current, None if current is not None else "current_unknown", None, None)
        end = self.end.value(current, metric_values)
        # On quiet days follows and unfollows come without a number; no new followers since then fit either basis.
        is_mixed = then.basis != end.basis and end.value != current
        if then.value is not None and end.value is not None and is_mixed:
            then = FollowersThen(None, "inconsistent", then.basis, then.covered_until)
        return then, end
