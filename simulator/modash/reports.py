"""The body of performance data: statistics over the newest 6, 12 and 30 items of each block."""

from collections.abc import Callable, Sequence
from statistics import fmean, median
from typing import Any

from simulator.switches import Switches
from simulator.world.creators import Creator, Item
from simulator.world.draw import draw

WINDOWS = (6, 12, 30)
WEEK_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
STATISTICS: dict[str, Callable[[list[int]], float]] = {"mean": fmean, "min": min, "max": max, "median": median}

Json = dict[str, Any]


def report(creator: Creator, switches: Switches) -> Json:
    """Return the report of a creator, shaped as the switches say."""
    head: Json = {"error": False} if switches["error_false"] else {}
    return {
        **head,
        "posts": _block(creator, creator.posts, "posts_with_hidden_likes", creator.posts_per_day, switches),
        "reels": _block(creator, creator.reels, "reels_with_hidden_likes", creator.reels_per_day, switches),
    }


def _block(creator: Creator, items: Sequence[Item], hidden_key: str, per_day: float, switches: Switches) -> Json:
    sizes = _windows(len(items), switches["report_windows"])
    return {
        "total": len(items),
        hidden_key: sum(item.likes is None for item in items),
        "likes": _statistics(items, sizes, lambda item: item.likes),
        "comments": _statistics(items, sizes, lambda item: item.comments),
        "views": _statistics(items, sizes, lambda item: item.views),
        "engagement_rate": [_point(size, round(_engagement(items[:size]) / creator.followers, 6)) for size in sizes],
        "posting_statistics": {
            "weekDayHour": {"mean": _point(len(items), _week_day_hour(creator, hidden_key, switches["week_day_hour"]))},
            "daily": {"mean": _point(len(items), per_day)},
        },
    }


def _windows(available: int, order: str) -> list[int]:
    full = [size for size in WINDOWS if size <= available]
    # A window that is not full has as many items as there are, which is how the only public example looks.
    shrunk = list(dict.fromkeys(min(size, available) for size in WINDOWS)) if available else []
    return {
        "ascending": shrunk,
        "descending": shrunk[::-1],
        "one": shrunk[-1:],
        "truncated": full,
        "empty": [],
    }[order]


def _statistics(items: Sequence[Item], sizes: Sequence[int], value: Callable[[Item], int | None]) -> Json:
    values = {size: [number for item in items[:size] if (number := value(item)) is not None] for size in sizes}
    return {
        name: [_point(size, round(measure(values[size]), 2)) for size in sizes if values[size]]
        for name, measure in STATISTICS.items()
    }


def _engagement(items: Sequence[Item]) -> float:
    counted = [item.likes + item.comments for item in items if item.likes is not None]
    return fmean(counted) if counted else 0.0


def _week_day_hour(creator: Creator, block: str, shape: str) -> Any:
    chance = draw("hours", creator.handle, block)
    if shape == "number":
        return round(chance.uniform(8, 22), 1)
    return {day: {str(hour): round(chance.uniform(0, 0.3), 2) for hour in (9, 13, 18)} for day in WEEK_DAYS}


def _point(size: int, value: Any) -> Json:
    return {"numberOfItems": size, "value": value}
