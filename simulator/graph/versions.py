"""Which API version serves a call."""

import re
from datetime import UTC, date, datetime

VERSION = re.compile(r"v(\d+)\.\d+")
DEFAULT = "v25.0"  # what the app's settings say for a path without a version
FARTHEST = 37  # Ten above the newest; a higher number is taken for a path, not for a version.
LIFE = {  # Meta's changelog: released, ended.
    "v18.0": (date(2023, 9, 12), date(2026, 1, 26)),
    "v19.0": (date(2024, 1, 23), date(2026, 5, 21)),
    "v20.0": (date(2024, 5, 21), date(2026, 9, 24)),
    "v21.0": (date(2024, 10, 2), date(2027, 1, 21)),
    "v22.0": (date(2025, 1, 21), date(2027, 5, 20)),
    "v23.0": (date(2025, 5, 29), date(2027, 10, 8)),
    "v24.0": (date(2025, 10, 8), date(2028, 2, 18)),
    "v25.0": (date(2026, 2, 18), date(2028, 7, 29)),
    "v26.0": (date(2026, 7, 29), date(2028, 11, 4)),
    "v27.0": (date(2026, 11, 4), date.max),
}


def split_version(path: str) -> tuple[str, str]:
    """Split a path into the version it names (or the default) and the rest."""
    first, _, rest = path.lstrip("/").partition("/")
    match = VERSION.fullmatch(first)
    return (first, f"/{rest}") if match and int(match[1]) <= FARTHEST else (DEFAULT, path)


def is_released(version: str, now: float) -> bool:
    """Return whether a version exists at a moment, be it over or not; what came before the table does."""
    number, today = int(version[1:].partition(".")[0]), datetime.fromtimestamp(now, UTC).date()
    released = [int(name[1:-2]) for name, (day, _) in LIFE.items() if day <= today]
    return number <= max(released)


def serving(version: str, now: float) -> str:
    """Return the version that really serves: an ended or unknown one is silently replaced by the oldest live one."""
    today = datetime.fromtimestamp(now, UTC).date()
    live = [name for name, (released, ended) in LIFE.items() if released <= today < ended]
    return version if version in live else live[0]
