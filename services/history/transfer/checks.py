"""What a line of an import cannot be, whatever its table has room for: a value that no export would have written.

What passes is exported again as it was read, so a line that would lose a part is refused here.
"""

from __future__ import annotations

from datetime import date

from services.days import ONE_DAY, midnight
from services.history.transfer.definitions import COUNTS as PROFILE
from services.store.exported_tables import BUCKET_UNKNOWN, BUCKETS
from services.store.line_fields import Line, LineError, moment_of
from services.store.posts import COUNTS as POSTS
from services.store.types import LARGEST_EXACT

FIRST_DAY = date(2010, 1, 1)  # Instagram began in October 2010.
# Numbers that the gateway reads as counts, never as fractions: those of the profile and of the list of posts.
WHOLE = {("followers", name) for name in PROFILE} | {("post_number", name) for name in POSTS}
DAYS = ("date", "first_day")


def check(line: Line, today: date) -> None:
    """Raise `LineError` for a number, a reason or a time that cannot be; `today` is the present Pacific day."""
    _check_value(line)
    _check_reason(line)
    last = today + ONE_DAY  # A clock may be ahead.
    for name in DAYS:
        day = _day(line[name])
        if day is not None and not FIRST_DAY <= day <= last:
            raise LineError(f"{name}: accepted: a day from {FIRST_DAY} to {last}")
    if (first := _day(line["first_day"])) and (end := _day(line["date"])) and first > end:
        raise LineError("first_day: accepted: a day that is not after date")
    details = line["details"] or {}
    times = {"read_at": line["read_at"]} | {f"details: {name}": details[name] for name in details if _is_time(name)}
    for name, text in times.items():
        moment = _moment(text)
        if moment is not None and not midnight(FIRST_DAY) <= moment < midnight(last + ONE_DAY):
            raise LineError(f"{name}: accepted: a time from {FIRST_DAY} to {last}")


def _check_value(line: Line) -> None:
    value = line["value"]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return  # Unknown, or no number at all, which its column says.
    # Compared one by one, because a metric of a damaged line may be anything.
    if any((line["kind"], line["metric"]) == each for each in WHOLE) and value != value // 1:
        raise LineError("value: accepted: a whole number")
    if not 0 <= value <= LARGEST_EXACT:
        raise LineError(f"value: accepted: a number from 0 to {LARGEST_EXACT}")


def _check_reason(line: Line) -> None:
    if line["value"] is not None and line["reason"] is not None:
        raise LineError("reason: accepted: null, because the value is known")
    if line["kind"] != "account":
        return
    if line["bucket"] is not None:
        if line["value"] is None and line["reason"] != BUCKET_UNKNOWN:
            raise LineError(f"reason: accepted: {BUCKET_UNKNOWN}, because the value of the bucket is unknown")
    elif line["final"] is True and line["value"] is None and (line["details"] or {}).get(BUCKETS) is None:
        raise LineError("final: accepted: false, because nothing of the value is known")


def _is_time(name: str) -> bool:
    return name.endswith("_at")


def _day(text: object) -> date | None:
    """Return a day, or None for what its column refuses or may be without."""
    try:
        return date.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


def _moment(text: object) -> float | None:
    try:
        return moment_of(text)
    except LineError:
        return None
