"""The patterns of parameters in the OpenAPI document: what they match is accepted, and no other form is documented.

They are regular expressions that ECMA-262 and Python read alike. The gateway is more lenient in a few ways that need no
document: spaces around a value, the case of a listed word, leading zeros, and empty or repeated names in a list.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.reports.creators import HOSTS, MEDIA, RESERVED, TABS

ID = "^[0-9]{1,30}$"
TOKEN = "^[!-~]{8,1000}$"  # noqa: S105  # A pattern, no token.
TIME_ZONE = "^[A-Za-z0-9_+/-]{1,64}$"
ACCOUNT_NAME = "@?[A-Za-z0-9._]{1,30}"
ACCOUNT = f"^{ACCOUNT_NAME}$"
KEPT_NAME = "[A-Za-z0-9_.:-]{1,64}"


def list_of(pattern: str, most: int | None = None) -> str:
    """Return the pattern of a comma-separated list of what a pattern matches."""
    return f"^{pattern}(,{pattern}){'*' if most is None else f'{{0,{most - 1}}}'}$"


def numbers(low: int, high: int) -> str:
    """Return the pattern of the whole numbers of a range, without leading zeros."""
    ranges = [
        (max(low, 10 ** (length - 1) if length > 1 else 0), min(high, 10**length - 1))
        for length in range(len(str(low)), len(str(high)) + 1)
    ]
    return f"({'|'.join(_numbers(str(first), str(last)) for first, last in ranges)})"


def days_up_to(most: int) -> str:
    """Return the pattern of a number of days, 1d to a largest one."""
    return f"^{numbers(1, most)}d$"


def _numbers(low: str, high: str) -> str:
    """Return the pattern of the numbers between two of equal length."""
    if not low:
        return ""
    rest = len(low) - 1
    lowest, highest = "0" * rest, "9" * rest
    if low[0] == high[0]:
        return low[0] + _numbers(low[1:], high[1:])
    first, last = int(low[0]), int(high[0])
    choices = []
    if low[1:] != lowest:
        choices.append(low[0] + _numbers(low[1:], highest))
        first += 1
    if high[1:] != highest:
        last -= 1
    if first <= last:
        choices.append(f"[{first}-{last}]" + "[0-9]" * rest)
    if high[1:] != highest:
        choices.append(high[0] + _numbers(lowest, high[1:]))
    return f"({'|'.join(choices)})"


MONTH_AND_DAY = (
    "((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
)
DATE = f"(20[1-9][0-9]-{MONTH_AND_DAY}|20([13579][26]|[2468][048])-02-29|2100-01-01)"  # from 2010 on


def time(earliest: int, latest: int) -> str:
    """Return the pattern of a date, or of Unix seconds of a range."""
    return f"^({DATE}|{numbers(earliest, latest)})$"


def _any_of(words: Sequence[str]) -> str:
    return f"({'|'.join(re.escape(word) for word in sorted(words))})"


NO_DOTS_ALONE = r"(?!\.*(/|[?#]|$))"
HANDLE = "[A-Za-z0-9._]{1,30}"
NOT_RESERVED = f"(?!{_any_of(tuple(RESERVED))}(/|[?#]|$))"
PROFILE = (
    f"(https?://)?{_any_of(tuple(HOSTS))}/(_u/)?@?{NOT_RESERVED}{NO_DOTS_ALONE}{HANDLE}"
    f"(/({_any_of(tuple(TABS))}|{_any_of(tuple(MEDIA))}/[A-Za-z0-9_-]{{1,60}})?)?/?([?#][!-~]*)?"
)
CREATOR = f"^((@|(?!0+$)){NOT_RESERVED}{NO_DOTS_ALONE}{HANDLE}|{PROFILE})$"
