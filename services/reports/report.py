"""What is in a report of Modash: its blocks, their statistics, and over how many items each was made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.reasons import Unavailable
from services.rendering.plurals import in_digits
from services.reports.creators import HANDLE

BLOCKS = ("posts", "reels")
STATISTICS = ("likes", "comments", "views")  # Others are read where they have the same shape.
MEASURES = ("mean", "min", "max", "median")
RATE = "engagement_rate"
HABITS = "posting_statistics"
WINDOWS = (6, 12, 30)  # those that Modash promises; a creator with 25 reels was seen with a window of 25
NUMBERS = (int, float)  # A union of types would be made at each check.
MAX_NUMBER = 1e300
MAX_ITEMS = 10**6  # of a window; a larger number counts no posts
COLUMNS = ("block", "statistic", "measure", "number_of_items", "value")
ID = re.compile(r"\d{1,30}", re.ASCII)
# `posts_with_hidden_likes`, `reels_with_hidden_views`, `videos_with_turned_off_comments`
HIDDEN_KEY = re.compile(r"(?:^|_)(?:hidden|turned_off)_(?P<what>\w+)$", re.ASCII)
HIDES: Mapping[str, tuple[str, ...]] = {RATE: ("likes", "comments")}  # what else makes a statistic unknown
ID_KEYS, HANDLE_KEYS = ("userId", "user_id", "id"), ("username", "handle")

Report = Mapping[str, object]
Windows = dict[str, dict[str, dict[str, list[int]]]]


@dataclass
class _Measured:
    """What one measure of a statistic has: its windows with a number, those without, and what could not be read."""

    known: set[int] = field(default_factory=set)
    null: set[int] = field(default_factory=set)
    unreadable: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether it has a number for each window that Modash promises, and none without or unreadable."""
        return not self.null and not self.unreadable and self.known.issuperset(WINDOWS)

    @property
    def listed(self) -> set[int]:
        """The windows that are listed, with a number or without."""
        return self.known | self.null


MeasuredBlock = Sequence[tuple[str, Mapping[str, _Measured]]]  # by statistic, and by measure
MeasuredBlocks = Mapping[str, MeasuredBlock]


def is_recognized(report: Report) -> bool:
    """Return whether there is anything in a report that is understood."""
    return bool(blocks_of(report))


def blocks_of(report: Report) -> dict[str, Report]:
    """Return the blocks that a report has."""
    return {name: block for name in BLOCKS if isinstance(block := report.get(name), dict)}


def measured(report: Report) -> MeasuredBlocks:
    """Return what the measures of a report have; for functions below that are called for the same report."""
    return {name: list(_measures(block)) for name, block in blocks_of(report).items()}


def unrecognized(report: Report, blocks_measured: MeasuredBlocks | None = None) -> Report:
    """Return what is in an unknown shape: the report where it has no block, else blocks and statistics by their names.

    A block that is an object is in the reply, whatever is in it.
    """
    found_in = blocks_measured or measured(report)
    blocks = blocks_of(report)
    if not blocks:
        return report
    found: dict[str, object] = {}
    for name in BLOCKS:
        parts = report.get(name)
        if name in blocks and (not blocks[name] or blocks[name].keys() & {"total", RATE, *_statistics(blocks[name])}):
            odd = [each for each, measures in found_in[name] if any(m.unreadable for m in measures.values())]
            parts = {each: blocks[name][each] for each in odd} or None
        if parts is not None:
            found[name] = parts
    return found


def windows_of(report: Report, blocks_measured: MeasuredBlocks | None = None) -> Windows:
    """Return which windows each measure of each statistic has a number for, by their numbers of items."""
    return {
        name: {
            statistic: {measure: sorted(found.known) for measure, found in measures.items()}
            for statistic, measures in statistics
        }
        for name, statistics in (blocks_measured or measured(report)).items()
    }


def missing(report: Report, blocks_measured: MeasuredBlocks | None = None) -> Iterator[Unavailable]:
    """Return what a report lacks: blocks, statistics, windows of them, and the numbers of windows."""
    blocks, found_in = blocks_of(report), blocks_measured or measured(report)
    for name in BLOCKS:
        if name in blocks:
            yield from _missing_in(name, blocks[name], found_in[name])
        elif report.get(name) is None:
            yield {"metric": name, "reason": "not_answered", "message": f"Modash's report has no {name}."}
        else:
            message = f"Modash sent {name} in an unknown shape; see `unrecognized`."
            yield {"metric": name, "reason": "unreadable", "message": message}


def rows_of(report: Report) -> Iterator[tuple[object, ...]]:
    """Give one row, as `COLUMNS`, for each number of a report."""
    for name, block in blocks_of(report).items():
        for statistic in _statistics(block):
            measures = block.get(statistic)
            for measure, points in measures.items() if isinstance(measures, dict) else ():
                for point in _points(points):
                    yield (name, statistic, measure, *_size_and_value(point))
        for point in _points(block.get(RATE)):
            yield (name, RATE, "mean", *_size_and_value(point))


def identity(report: Report) -> tuple[str, str] | tuple[None, None]:
    """Return the numeric id and the handle of the creator, where a report has both."""
    profile = report.get("profile")
    for place in (report, profile if isinstance(profile, dict) else {}):
        ids = [str(place[key]) for key in ID_KEYS if isinstance(place.get(key), str | int)]
        handles = [str(place[key]).lower() for key in HANDLE_KEYS if isinstance(place.get(key), str)]
        if ids and handles and ID.fullmatch(ids[0]) and HANDLE.fullmatch(handles[0]):
            # A handle of digits only keeps its @, which distinguishes it from an id.
            return ids[0], f"@{handles[0]}" if handles[0].isdigit() else handles[0]
    return None, None


def _missing_in(name: str, block: Report, statistics: MeasuredBlock) -> Iterator[Unavailable]:
    if "total" in block and _number(block["total"]) is None:
        reason = "not_answered" if block["total"] is None else "unreadable"
        yield {"metric": f"{name}.total", "reason": reason, "message": f"Modash gave no number of {name}."}
    if _number(block.get("total")) == 0:
        yield {"metric": f"{name}.total", "reason": "few_items", "message": f"Modash has counted no {name}."}
        return
    for statistic, measures in statistics:
        metric = f"{name}.{statistic}"
        for reason, message in _missing_windows(name, block, statistic, list(measures.values())):
            yield {"metric": metric, "reason": reason, "message": message}
    yield from _missing_habits(name, block)
    yield from _missing_in_others(name, block)


def _missing_windows(
    name: str, block: Report, statistic: str, measures: Sequence[_Measured]
) -> Iterator[tuple[str, str]]:
    """Give a reason, in words too, for each kind of number that a statistic lacks."""
    if measures and all(measured.is_complete for measured in measures):
        return
    total = _number(block.get("total"))
    listed = {size for measured in measures for size in measured.listed}
    null = sorted({size for measured in measures for size in measured.null})
    hidden = _hidden(block, statistic)
    by_hiding = [size for size in null if hidden and hidden >= (size if total is None else min(size, total))]
    if by_hiding:
        yield (
            "hidden",
            f"There is no {statistic} over {_listed(by_hiding)} {name}: {in_digits(hidden)} {name} hide their counts.",
        )
    if unexplained := [size for size in null if size not in by_hiding]:
        yield "not_answered", f"Modash gave no {statistic} over {_listed(unexplained)} {name}."
    if any(measured.unreadable for measured in measures):
        yield (
            "unreadable",
            f"Modash sent {statistic} of {name} in an unknown shape, at least a part; see `unrecognized`.",
        )
    elif not listed:
        yield "not_answered", f"Modash's report has no {statistic} of {name}."
        return
    lacking = sorted({size for measured in measures for size in WINDOWS if size not in measured.listed})
    too_large = [size for size in lacking if total is not None and size > total]
    others = [size for size in lacking if size not in too_large]
    if too_large and total is not None:
        message = f"There are no {_listed(too_large)} {name}: Modash has counted {in_digits(total)}."
        yield "few_items", f"{message} It sent no number over {_listed(others)} either." if others else message
    elif lacking and listed:
        yield (
            "window_missing",
            f"Modash's report lacks {statistic} over {_listed(lacking)} {name}, in one measure at least.",
        )


def _missing_habits(name: str, block: Report) -> Iterator[Unavailable]:
    """Name the posting statistics that are there without a value; their shape is not known any further."""
    habits = block.get(HABITS)
    for habit, measures in habits.items() if isinstance(habits, dict) else ():
        mean = measures.get("mean") if isinstance(measures, dict) else measures
        if mean is None or (isinstance(mean, dict) and "value" in mean and mean["value"] is None):
            message = f"Modash gave no {habit} of {name}."
            yield {"metric": f"{name}.{HABITS}.{habit}", "reason": "not_answered", "message": message}


def _missing_in_others(name: str, block: Report) -> Iterator[Unavailable]:
    """Name the parts of a block that are not known, and have a null somewhere."""
    known = {"total", RATE, *_statistics(block)}
    for part, value in block.items():
        is_habits = part == HABITS and isinstance(value, dict)
        if part not in known and not is_habits and _has_null(value):
            message = f"Modash gave no value of {part} of {name}, or of a part of it."
            yield {"metric": f"{name}.{part}", "reason": "not_answered", "message": message}


def _has_null(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    return any(map(_has_null, value)) if isinstance(value, list) else value is None


def _statistics(block: Report) -> list[str]:
    """Return the names of the statistics that Modash promises, and of others in a block that have the same shape."""
    others = [name for name, value in block.items() if name not in STATISTICS and _is_statistic(value)]
    return [*STATISTICS, *others]


def _is_statistic(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(value.get(measure), list) for measure in MEASURES)


def _hidden(block: Report, statistic: str) -> float:
    """Return of how many items a part of a statistic is hidden, as the block's own counts say."""
    parts = {statistic, *HIDES.get(statistic, ())}
    counts = [
        _number(count) or 0
        for key, count in block.items()
        if (matched := HIDDEN_KEY.search(key)) and parts & set(matched["what"].split("_"))
    ]
    return max(counts, default=0)


def _number(value: object) -> float | None:
    """Return a number, or None for anything else and for one of hundreds of digits, which no message can hold."""
    if isinstance(value, bool) or not isinstance(value, NUMBERS):
        return None
    return value if abs(value) <= MAX_NUMBER else None


def _listed(sizes: Sequence[int]) -> str:
    return " and ".join(map(str, sizes))


def _measures(block: Report) -> Iterator[tuple[str, dict[str, _Measured]]]:
    for statistic in _statistics(block):
        found = block.get(statistic)
        is_known = found is None or (isinstance(found, dict) and (not found or bool(found.keys() & set(MEASURES))))
        measures: Report = found if is_known and isinstance(found, dict) else {}
        others = [measure for measure in measures if measure not in MEASURES and isinstance(measures[measure], list)]
        yield (
            statistic,
            {
                measure: _measured(measures.get(measure)) if is_known else _Measured(unreadable=True)
                for measure in (*MEASURES, *others)
            },
        )
    yield RATE, {"mean": _measured(block.get(RATE))}


def _measured(points: object) -> _Measured:
    """Read the windows of one measure by what they say themselves, never by their position."""
    measured = _Measured(unreadable=points is not None and not isinstance(points, list))
    for point in _points(points):
        items, value = _size_and_value(point)
        size = _size(items)
        if size is None or (value is not None and _number(value) is None):
            measured.unreadable = True
        else:
            (measured.null if value is None else measured.known).add(size)
    measured.null -= measured.known
    return measured


def _size(number: object) -> int | None:
    known = _number(number)
    return int(known) if known is not None and 0 < known <= MAX_ITEMS and known == int(known) else None


def _points(points: object) -> list[object]:
    return points if isinstance(points, list) else []


def _size_and_value(point: object) -> tuple[object, object]:
    return (point.get("numberOfItems"), point.get("value")) if isinstance(point, dict) else (None, None)
