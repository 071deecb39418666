"""What is in a report of Modash: its blocks, their statistics, and over how many items each was made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from services.answers import Unavailable
from services.creators import HANDLE

BLOCKS = ("posts", "reels")
STATISTICS = ("likes", "comments", "views")
MEASURES = ("mean", "min", "max", "median")
RATE = "engagement_rate"
WINDOWS = (6, 12, 30)
COLUMNS = ("block", "statistic", "measure", "number_of_items", "value")
ID = re.compile(r"\d{1,30}", re.ASCII)
ID_KEYS, HANDLE_KEYS = ("userId", "user_id", "id"), ("username", "handle")

Report = Mapping[str, object]
Windows = dict[str, dict[str, dict[str, list[int]]]]


def is_recognized(report: Report) -> bool:
    """Return whether there is anything in a report that is understood."""
    return any(isinstance(report.get(name), dict) for name in BLOCKS)


def blocks_of(report: Report) -> dict[str, Report]:
    """Return the blocks that a report has."""
    return {name: block for name in BLOCKS if isinstance(block := report.get(name), dict)}


def windows_of(report: Report) -> Windows:
    """Return which of the windows each measure of each statistic has, by their numbers of items."""
    return {
        name: {
            statistic: {measure: _sizes(points) for measure, points in measures}
            for statistic, measures in _measures(block)
        }
        for name, block in blocks_of(report).items()
    }


def missing(report: Report) -> Iterator[Unavailable]:
    """Tell what a report lacks: blocks, statistics, and windows of them."""
    blocks = blocks_of(report)
    for name in BLOCKS:
        if name not in blocks:
            yield {"metric": name, "reason": "not_answered", "message": f"Modash's report has no {name}."}
        elif _total(blocks[name]) == 0:
            yield {"metric": f"{name}.total", "reason": "few_items", "message": f"Modash has counted no {name}."}
        else:
            yield from _missing_windows(name, blocks[name])


def rows_of(report: Report) -> Iterator[Mapping[str, object]]:
    """Give one row for each number of a report: which block, statistic and measure, over how many items."""
    for name, block in blocks_of(report).items():
        for statistic in STATISTICS:
            measures = block.get(statistic)
            for measure, points in measures.items() if isinstance(measures, dict) else ():
                for point in _points(points):
                    yield _row(name, statistic, measure, point)
        for point in _points(block.get(RATE)):
            yield _row(name, RATE, "mean", point)


def identity(report: Report) -> tuple[str, str] | tuple[None, None]:
    """Return the numeric id and the handle of the creator, where a report tells both."""
    profile = report.get("profile")
    for place in (report, profile if isinstance(profile, dict) else {}):
        ids = [str(place[key]) for key in ID_KEYS if isinstance(place.get(key), str | int)]
        handles = [str(place[key]).lower() for key in HANDLE_KEYS if isinstance(place.get(key), str)]
        if ids and handles and ID.fullmatch(ids[0]) and HANDLE.fullmatch(handles[0]):
            # A handle of digits only keeps its @, which tells it from an id.
            return ids[0], f"@{handles[0]}" if handles[0].isdigit() else handles[0]
    return None, None


def _missing_windows(name: str, block: Report) -> Iterator[Unavailable]:
    total = _total(block)
    for statistic, measures in _measures(block):
        metric = f"{name}.{statistic}"
        lacking = sorted({size for _, points in measures for size in WINDOWS if size not in _sizes(points)})
        if not any(_points(points) for _, points in measures):
            message = f"Modash's report has no {statistic} of {name}."
            yield {"metric": metric, "reason": "not_answered", "message": message}
        elif lacking and total is not None and total < lacking[0]:
            message = f"There are no {_listed(lacking)} {name}: Modash has counted {total:g}."
            yield {"metric": metric, "reason": "few_items", "message": message}
        elif lacking:
            message = f"Modash's report lacks {statistic} over {_listed(lacking)} {name}, in one measure at least."
            yield {"metric": metric, "reason": "window_missing", "message": message}


def _total(block: Report) -> float | None:
    total = block.get("total")
    return total if isinstance(total, int | float) and not isinstance(total, bool) else None


def _listed(sizes: list[int]) -> str:
    return " and ".join(map(str, sizes))


def _measures(block: Report) -> Iterator[tuple[str, list[tuple[str, object]]]]:
    for statistic in STATISTICS:
        found = block.get(statistic)
        measures: Report = found if isinstance(found, dict) else {}
        yield statistic, [(measure, measures.get(measure)) for measure in MEASURES]
    yield RATE, [("mean", block.get(RATE))]


def _points(points: object) -> list[object]:
    return points if isinstance(points, list) else []


def _sizes(points: object) -> list[int]:
    """Return the windows among some points, by what they say themselves and never by their position."""
    said = [point.get("numberOfItems") for point in _points(points) if isinstance(point, dict)]
    return [size for size in WINDOWS if any(type(number) in (int, float) and number == size for number in said)]


def _row(block: str, statistic: str, measure: str, point: object) -> Mapping[str, object]:
    known = point if isinstance(point, dict) else {}
    return {
        "block": block,
        "statistic": statistic,
        "measure": measure,
        "number_of_items": known.get("numberOfItems"),
        "value": known.get("value"),
    }
