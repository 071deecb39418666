"""Dates in words, as PHP's strtotime reads them: `yesterday`, `-7 days`, `last monday`, `2026-01-01 12:00`.

https://www.php.net/manual/en/datetime.formats.php; what is not a date there is None here.
"""

import re
from calendar import monthrange
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
COUNTS = {"last": -1, "previous": -1, "this": 0, "next": 1, "a": 1, "an": 1}
SECONDS = {"sec": 1, "second": 1, "min": 60, "minute": 60, "hour": 3600}
LENGTHS = {"day": 1, "week": 7, "fortnight": 14}  # days

Apply = Callable[[datetime, re.Match[str]], datetime]

_MONTH = r"(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_UNIT = r"(?P<unit>sec|second|min|minute|hour|day|week|fortnight|month|year)s?"
_DAY = r"(?P<name>mon|tue|wed|thu|fri|sat|sun)[a-z]*"


def strtotime(text: str, now: float, zone: tzinfo) -> float | None:
    """Return the moment that a text names, in Unix seconds; None for what is no date. Days are those of `zone`."""
    when, rest, is_ago = datetime.fromtimestamp(now, zone), text.strip().lower(), False
    if not rest:
        return None
    if rest.endswith(" ago"):
        rest, is_ago = rest.removesuffix(" ago"), True
    try:
        while rest:
            pattern, apply = next((each, then) for each, then in FORMATS if each.match(rest))
            match = pattern.match(rest)
            if match is None or (is_ago and apply is not _relative):
                return None
            when = _relative(when, match, sign=-1) if is_ago else apply(when, match)
            rest = rest[match.end() :].lstrip(" ,")
    except (StopIteration, ValueError, OverflowError):
        return None
    return when.timestamp()


def _midnight(when: datetime) -> datetime:
    return when.replace(hour=0, minute=0, second=0, microsecond=0)


def _unix(when: datetime, match: re.Match[str]) -> datetime:
    return datetime.fromtimestamp(int(match["seconds"]), UTC).astimezone(when.tzinfo)


def _word(when: datetime, match: re.Match[str]) -> datetime:
    word = match[0]
    if word == "now":
        return when
    if word == "noon":
        return _midnight(when).replace(hour=12)
    return _midnight(when) + timedelta(days={"yesterday": -1, "tomorrow": 1}.get(word, 0))


def _date(when: datetime, match: re.Match[str]) -> datetime:
    month = match["month"]
    number = int(month) if month.isdecimal() else MONTHS.index(month[:3]) + 1
    found = match.groupdict()
    year, day = int(found.get("year") or when.year), int(found.get("day") or 1)
    return _midnight(when).replace(year=year, month=number, day=day)


def _time(when: datetime, match: re.Match[str]) -> datetime:
    hour = int(match["hour"])
    if match["half"]:
        hour = hour % 12 + (12 if match["half"] == "pm" else 0)
    return when.replace(hour=hour, minute=int(match["minute"] or 0), second=int(match["second"] or 0), microsecond=0)


def _zone(when: datetime, match: re.Match[str]) -> datetime:
    """Take the clock that was read so far for one of another zone."""
    offset = timedelta()
    if match["sign"]:
        offset = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
        offset = -offset if match["sign"] == "-" else offset
    return (when.replace(tzinfo=UTC) - offset).astimezone(when.tzinfo)


def _relative(when: datetime, match: re.Match[str], *, sign: int = 1) -> datetime:
    text = match["count"].replace(" ", "")
    return _shifted(when, sign * COUNTS[text] if text in COUNTS else sign * int(text), match["unit"])


def _shifted(when: datetime, count: int, unit: str) -> datetime:
    if unit in SECONDS:
        return (when.astimezone(UTC) + timedelta(seconds=count * SECONDS[unit])).astimezone(when.tzinfo)
    if unit in LENGTHS:
        return when + timedelta(days=count * LENGTHS[unit])
    months = when.year * 12 + when.month - 1 + count * (12 if unit == "year" else 1)
    # PHP goes on into the next month where the day does not exist: a month after the 31st of January is in March.
    return when.replace(year=months // 12, month=months % 12 + 1, day=1) + timedelta(days=when.day - 1)


def _weekday(when: datetime, match: re.Match[str]) -> datetime:
    ahead = (DAYS.index(match["name"]) - when.weekday()) % 7
    if match["which"] in ("last", "previous"):
        ahead = ahead - 7 if ahead else -7
    elif match["which"] == "next":
        ahead = ahead or 7
    return _midnight(when) + timedelta(days=ahead)


def _edge_of_month(when: datetime, match: re.Match[str]) -> datetime:
    month = _shifted(when.replace(day=1), COUNTS[match["which"] or "this"], "month")
    return month if match["edge"] == "first" else month.replace(day=monthrange(month.year, month.month)[1])


FORMATS: tuple[tuple[re.Pattern[str], Apply], ...] = tuple(
    (re.compile(rf"(?:{pattern})(?![a-su-y0-9]|t(?!\d)|z.)"), apply)
    for pattern, apply in (
        (r"@(?P<seconds>-?\d{1,12})", _unix),
        (r"now|today|midnight|noon|yesterday|tomorrow", _word),
        (r"(?P<edge>first|last) day of(?: (?P<which>last|previous|this|next) month)?", _edge_of_month),
        (rf"(?P<count>[+-]? ?\d{{1,6}}|last|previous|this|next|an?) ?{_UNIT}", _relative),
        (rf"(?:(?P<which>last|previous|this|next) )?{_DAY}", _weekday),
        (r"(?P<year>\d{4})[-/](?P<month>\d{1,2})(?:[-/](?P<day>\d{1,2}))?", _date),
        (r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4})", _date),
        (r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})", _date),
        (rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ -]{_MONTH}(?:,?[ -](?P<year>\d{{4}}))?", _date),
        (rf"{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,? (?P<year>\d{{4}}))?", _date),
        (rf"{_MONTH} (?P<year>\d{{4}})", _date),
        (r"t?(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d)(?:\.\d+)?)? ?(?P<half>[ap]m)?", _time),
        (r"(?P<hour>0?[1-9]|1[0-2])(?P<minute>)(?P<second>) ?(?P<half>[ap]m)", _time),
        (r"(?P<sign>[+-])(?P<hours>\d{2}):?(?P<minutes>\d{2})", _zone),
        (r"(?P<sign>)(?:z|utc|gmt)", _zone),
    )
)
"""The formats, of which a text has one after the other, each applied to what the ones before have led to."""
