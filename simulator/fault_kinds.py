"""The kinds of faults with their options, as data; what they answer is in the `refusals.py` of each provider."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

BOTH = frozenset({"instagram", "modash"})
INSTAGRAM, MODASH = frozenset({"instagram"}), frozenset({"modash"})
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number that is not negative."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def is_whole(value: Any) -> bool:
    """Return whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_text(value: Any) -> bool:
    """Return whether a value is text."""
    return isinstance(value, str)


def _anything(_: Any) -> bool:
    return True


def _status(value: Any) -> bool:
    return is_whole(value) and 200 <= value <= 599  # noqa: PLR2004 - the range of HTTP


def _count(value: Any) -> bool:
    return is_whole(value) and value > 0


def _code(value: Any) -> bool:
    return is_whole(value) or is_text(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _headers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        HEADER.fullmatch(name) and is_text(text) and not re.search(r"[\r\n]", text) for name, text in value.items()
    )


def _one_of(*values: Any) -> Callable[[Any], bool]:
    return lambda value: not isinstance(value, bool) and value in values


@dataclass(frozen=True)
class Kind:
    """A kind of fault: its providers, its options with their checks, and the required ones."""

    providers: frozenset[str] = BOTH
    options: Mapping[str, Callable[[Any], bool]] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    replaces: bool = True  # whether it replaces the answer instead of changing it


METRIC = frozenset({"metric"})
# The wait of a throttle: `minutes` as Meta's usage header gives it, else `retry_after` in seconds, 5 by default.
WAIT: Mapping[str, Callable[[Any], bool]] = {"minutes": is_number, "retry_after": _count}

KINDS: Mapping[str, Kind] = {
    "slow": Kind(options={"delay_seconds": is_number}, replaces=False),
    # Refusals in a provider's own words.
    "error": Kind(
        options={
            "status": _status,
            "code": _code,
            "subcode": is_whole,
            "message": is_text,
            "type": is_text,
            "is_transient": _flag,
            "headers": _headers,
            "body": is_text,
        }
    ),
    "refusal": Kind(
        options={"row": is_text, "status": _status, "metrics": is_text, **WAIT},
        required=frozenset({"row"}),
    ),
    "error_200": Kind(),
    "server_error": Kind(options={"code": _one_of(1, 2), "status": _status}),
    "echo_token": Kind(),
    "throttled": Kind(INSTAGRAM, {"code": _one_of(4, 17, 32, 613, 80001, 80002, 341), **WAIT}),
    "token": Kind(INSTAGRAM, {"subcode": _one_of(458, 459, 460, 463, 464, 467, 492)}),
    "permission": Kind(INSTAGRAM, {"code": _one_of(10, 200)}),
    "reduce_data": Kind(INSTAGRAM, {"above": is_whole}),
    "refuse_metric": Kind(INSTAGRAM, {"metric": is_text}, METRIC, replaces=False),
    "drop_metric": Kind(INSTAGRAM, {"metric": is_text}, METRIC, replaces=False),
    "retry_later": Kind(MODASH, {"shape": _one_of("vendor", "seed", "mixed"), "status": _status}),
    "no_credits": Kind(MODASH, {"status": _status}),
    "key_invalid": Kind(MODASH, {"status": _status}),
    "rate_limited": Kind(MODASH, {"retry_after": is_number, "json": _flag}),
    # Answers that no provider means to give.
    "html": Kind(options={"status": _status}),
    "empty": Kind(),
    "not_json": Kind(),
    "empty_body": Kind(options={"status": _status}),
    "no_content": Kind(),
    "redirect": Kind(options={"location": is_text}),
    "deep_nesting": Kind(options={"levels": _count}),
    "too_large": Kind(),
    "gzip_broken": Kind(),
    "cut": Kind(options={"after_work": _flag}),
    # True answers, spoilt on their way; what they cost is paid.
    "truncated": Kind(),
    "wrong_type": Kind(options={"value": _anything, "at": is_text}),
    "nan": Kind(options={"value": _one_of("NaN", "Infinity", "-Infinity")}),
    "duplicate_keys": Kind(),
    "invalid_utf8": Kind(),
    "bom": Kind(),
}
