"""What services want of account insights: metrics over windows, in the form in which they can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from services.days import Window

Breakdown = tuple[str, ...]
Key = tuple[str, Breakdown, Window]


@dataclass(frozen=True)
class Ask:
    """Metrics that share a window and a breakdown: one total each or, as `series` of one, a value for each day."""

    metrics: tuple[str, ...]
    window: Window
    breakdown: Breakdown = ()
    series: bool = False

    def pieces(self) -> list[Ask]:
        """Cut the window so that each piece can be asked for in one call."""
        return [replace(self, window=piece) for piece in self.window.pieces()]

    def only(self, *metrics: str) -> Ask:
        """Return the same ask for some of its metrics."""
        return replace(self, metrics=metrics)

    def windows(self) -> list[Window]:
        """Return the windows that have a reading of their own: of a series each day, else the whole."""
        return [Window(day, day) for day in self.window] if self.series else [self.window]

    def reading_keys(self) -> list[Key]:
        """Return the key of each reading that the ask stands for."""
        return [(metric, self.breakdown, window) for window in self.windows() for metric in self.metrics]
