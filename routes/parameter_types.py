"""The readers of single parameters: each turns the text of a query into a value, or says what is accepted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, WithJsonSchema

from routes import patterns
from routes.suggestions import shown, which_metric
from services.growth.trends import TITLES
from services.rendering.nearest_name import did_you_mean
from services.rendering.plurals import counted
from services.reports.creators import creator_name
from services.windows import Bound

EARLIEST, LATEST = date(2010, 1, 1), date(2100, 1, 1)
EARLIEST_UNIX, LATEST_UNIX = (int(datetime.combine(day, time(), tzinfo=UTC).timestamp()) for day in (EARLIEST, LATEST))
MOST_NAMED = 5  # wrong names of one list that a message repeats

CURSOR_PATTERN = r"[0-9]{4}-[0-9]{2}-[0-9]{2}\.[0-9a-f]{12}"

_TREND_OF = {title.lower(): name for name, title in TITLES.items()}
TREND_SPELLINGS: Mapping[str, str] = _TREND_OF | {title.replace(" ", "_"): name for title, name in _TREND_OF.items()}

Suggest = Callable[[str, Sequence[str]], str]

# Compiled once: looking a pattern up by its text takes longer than the match.
_WHOLE_NUMBER, _FEW_DIGITS = re.compile(r"-?\d+", re.ASCII), re.compile(r"\d{1,9}", re.ASCII)
_DAYS, _FEW_DAYS = re.compile(r"-?\d+d", re.ASCII), re.compile(r"[1-9]\d{0,2}d", re.ASCII)
_UNIX_SECONDS, _DATE = re.compile(r"\d{1,12}", re.ASCII), re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ACCOUNT_NAME = re.compile(patterns.ACCOUNT_NAME)


def _refusal(wrong: Sequence[str], accepted: Sequence[str], what: str, suggest: Suggest) -> ValueError:
    """Return the refusal of some names: each with what was probably meant, and what is accepted."""
    named = [f"{shown(text)} is not a valid {what}.{suggest(text, accepted)}" for text in wrong[:MOST_NAMED]]
    if len(wrong) > MOST_NAMED:
        named.append(f"{counted(len(wrong) - MOST_NAMED, 'other is', 'others are')} not valid either.")
    return ValueError(f"{' '.join(named)} Accepted: {', '.join(accepted)}.")


def _names(
    text: str, accepted: Sequence[str], what: str, *, spellings: Mapping[str, str], suggest: Suggest
) -> tuple[str, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise ValueError(f"it is empty. Accepted: {', '.join(accepted)}.")
    names = tuple(dict.fromkeys(spellings.get(part, part) for part in parts))
    if wrong := [name for name in names if name not in accepted]:
        raise _refusal(wrong, accepted, what, suggest)
    return names


def list_of(accepted: Sequence[str], what: str, spellings: Mapping[str, str] | None = None) -> BeforeValidator:
    """Read comma-separated names."""
    return BeforeValidator(
        lambda text: _names(str(text), accepted, what, spellings=spellings or {}, suggest=did_you_mean)
    )


def metrics_of(accepted: Sequence[str]) -> BeforeValidator:
    """Read comma-separated metrics."""
    return BeforeValidator(lambda text: _names(str(text), accepted, "metric", spellings={}, suggest=which_metric))


def whole_number(low: int, high: int) -> BeforeValidator:
    """Read a whole number of a range."""

    def read(text: object) -> int:
        given = str(text)
        if _FEW_DIGITS.fullmatch(given) and low <= (number := int(given)) <= high:
            return number
        fault = "is out of range" if _WHOLE_NUMBER.fullmatch(given) else "is not a whole number"
        raise ValueError(f"{shown(given)} {fault}. Accepted: {low} to {high}.")

    return BeforeValidator(read)


def days_up_to(most: int) -> BeforeValidator:
    """Read a number of days, such as 7d."""

    def read(text: object) -> int:
        given = str(text).strip()
        if _FEW_DAYS.fullmatch(given) and (days := int(given[:-1])) <= most:
            return days
        accepted = f"Accepted: 1d to {most}d, such as 7d."
        if not _DAYS.fullmatch(given):
            guess = f" Did you mean {given}d?" if _FEW_DAYS.fullmatch(f"{given}d") else ""
            raise ValueError(f"{shown(given)} is not a number of days.{guess} {accepted}")
        raise ValueError(f"{shown(given)} is out of range. {accepted}")

    return BeforeValidator(read)


def bound(text: object) -> Bound:
    """Read an end of a range: a date, or Unix seconds."""
    accepted = f"Accepted: Unix seconds (1763625600) or a date (2026-11-20), from {EARLIEST.year} to {LATEST.year}."
    given = str(text).strip()
    if _UNIX_SECONDS.fullmatch(given):
        if EARLIEST_UNIX <= int(given) <= LATEST_UNIX:
            return int(given)
        raise ValueError(f"{given} is outside the range. {accepted}")
    try:
        # Python also reads the weeks of ISO 8601, which no document promises.
        day = date.fromisoformat(given if _DATE.fullmatch(given) else "")
    except ValueError:
        raise ValueError(f"{shown(given)} is not a valid time. {accepted}") from None
    if not EARLIEST <= day <= LATEST:
        raise ValueError(f"{shown(given)} is outside the range. {accepted}")
    return day


def creator(text: object) -> str:
    """Read the name of a creator."""
    try:
        return creator_name(str(text))
    except ValueError as error:
        raise ValueError(f"{shown(str(text))} does not identify a creator: {error}.") from None


def account(text: object) -> str:
    """Read the id or username of an account."""
    given = str(text).strip()
    if not _ACCOUNT_NAME.fullmatch(given):
        raise ValueError(f"{shown(given)} does not identify an account. Accepted: its id or its username.")
    return given


def account_cursor(text: object) -> str:
    """Read the cursor of a list of accounts."""
    given = str(text).strip()
    if not re.fullmatch(patterns.ID, given, re.ASCII):
        raise ValueError(f"{shown(given)} is not a cursor. Accepted: `meta.next_cursor` of the page before.")
    return given


def accounts_up_to(most: int) -> BeforeValidator:
    """Read comma-separated ids or usernames of accounts, each once."""

    def read(text: object) -> tuple[str, ...]:
        given = [part for part in (part.strip() for part in str(text).split(",")) if part]
        accepted = f"Accepted: ids or usernames, comma-separated, 1 to {most}."
        if not given:
            raise ValueError(f"it is empty. {accepted}")
        names = tuple(dict.fromkeys(account(name) for name in given))
        if len(names) > most:
            raise ValueError(f"it names {len(names)} accounts. {accepted}")
        return names

    return BeforeValidator(read)


def names_up_to(most: int, what: str) -> BeforeValidator:
    """Read comma-separated names of which there is no closed list, each once."""

    def read(text: object) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(part for part in (part.strip() for part in str(text).split(",")) if part))
        if not names:
            raise ValueError(f"it is empty. Accepted: 1 to {most} {what}s, comma-separated.")
        if wrong := [name for name in names if not re.fullmatch(patterns.KEPT_NAME, name)]:
            accepted = "Accepted: letters, digits and _ . : -, at most 64 of them."
            raise ValueError(f"{shown(wrong[0])} is not the name of a {what}. {accepted}")
        if len(names) > most:
            raise ValueError(f"it names {len(names)} {what}s. Accepted: at most {most}.")
        return names

    return BeforeValidator(read)


def cursor(text: object) -> str:
    """Read the position from which a reply goes on."""
    given = str(text).strip()
    if not re.fullmatch(CURSOR_PATTERN, given, re.ASCII):
        raise ValueError(f"{shown(given)} is not a cursor. Accepted: meta.next_cursor of the page before.")
    return given


def post_id(text: object) -> str:
    """Read the id of a post."""
    return _id(text, "a post", "its numeric id, as /top-posts gives it")


def media_id(text: object) -> str:
    """Read the id of a media."""
    return _id(text, "a media", "its numeric id, as /top-posts and /stories give it")


def story_id(text: object) -> str:
    """Read the id of a story."""
    return _id(text, "a story", "its numeric id, as /stories gives it")


def _id(text: object, what: str, accepted: str) -> str:
    given = str(text).strip()
    if not re.fullmatch(patterns.ID, given):
        raise ValueError(f"{shown(given)} does not identify {what}. Accepted: {accepted}.")
    return given


def token(text: object) -> str:
    """Read an access token."""
    given = str(text).strip()
    if not re.fullmatch(patterns.TOKEN, given):
        # What was given may be a damaged token, so it is not repeated.
        raise ValueError("it is not an access token. Accepted: 8 to 1000 letters, digits and signs without a space.")
    return given


@cache
def _time_zones() -> frozenset[str]:
    """Return the names of all time zones; finding them takes a look at hundreds of files."""
    # The two that name no place: the zone of this machine, and a zone that is not set.
    return frozenset(available_timezones() - {"localtime", "Factory"})


@cache
def _zones_by_start() -> Mapping[str, Sequence[str]]:
    """Return the names by the first letters of their places; comparing a name with all 600 takes 10 ms."""
    found: dict[str, list[str]] = {}
    for name in sorted(_time_zones()):
        found.setdefault(_start(name.rpartition("/")[2]), []).append(name)
    return found


def _start(place: str) -> str:
    return place[:2].lower()


def time_zone(text: object) -> ZoneInfo:
    """Read the name of a time zone of the IANA database."""
    given = str(text).strip().replace(" ", "+")  # A plus sign means a space in a query.
    names = _time_zones()
    if given not in names:
        guess = did_you_mean(given, _zones_by_start().get(_start(given.rpartition("/")[2]), ()))
        raise ValueError(
            f"{shown(given)} is not a time zone.{guess} Accepted: IANA names, such as UTC, Europe/Berlin or "
            "America/Los_Angeles."
        )
    return ZoneInfo(given)


def flag(text: object) -> bool:
    """Read true or false."""
    if str(text).strip().lower() not in {"true", "false"}:
        raise ValueError(f"{shown(str(text))} is neither true nor false. Accepted: true, false.")
    return str(text).strip().lower() == "true"


def choice(accepted: Sequence[str], what: str, suggest: Suggest = did_you_mean) -> BeforeValidator:
    """Read one of some names, in upper or lower case."""
    by_lower = {name.lower(): name for name in accepted}

    def read(text: object) -> str:
        name = by_lower.get(str(text).strip().lower())
        if name is None:
            raise _refusal([str(text)], accepted, what, suggest)
        return name

    return BeforeValidator(read)


def trends(text: object) -> tuple[str, ...]:
    """Read comma-separated trends, by their keys or their titles."""
    return _names(str(text).lower(), tuple(TITLES), "trend", spellings=TREND_SPELLINGS, suggest=which_metric)


def csv(accepted: Sequence[str], example: str) -> WithJsonSchema:
    """Describe a comma-separated list to the OpenAPI document."""
    names = "|".join(accepted)
    return WithJsonSchema({"type": "string", "pattern": f"^({names})(,({names}))*$", "examples": [example]})
