"""Names in the environment and the settings file that are no settings: old, mistyped or unknown ones."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

# The settings that had another name before 0.1.0. An old name stops the start, because ignoring it would silently
# replace a chosen value by the default.
RENAMED: Mapping[str, str] = {
    "END_TIME_MARKS": "END_TIME_CONVENTION",
    "UNCERTAIN_HOLD": "UNCERTAIN_CHARGE_HOLD",
    "WAITING_PLACES": "MAX_WAITING_REQUESTS",
    "WARM_MEGABYTES": "RESPONSE_CACHE_MB",
}

# How similar (difflib, 0 to 1) an unknown name must be to a setting to be taken for a mistyped one. In the file,
# 0.8 finds MODASH_KEY (0.83) and leaves NGINX_PORT (0.57) alone. The environment holds the variables of other
# programs, such as the MODASH_PORT (0.82) that Kubernetes defines for a service of that name; there, only names with
# the prefix of a provider that differ by a letter or two count.
_MISTYPED_IN_FILE, _MISTYPED_IN_ENVIRONMENT, _NEAREST = 0.8, 0.9, 0.6
_OUR_PREFIXES = ("GRAPH_", "MODASH_")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,39}")


def misnamed(environment: Mapping[str, str], file: Mapping[str, str], settings: Collection[str]) -> list[str]:
    """Return a sentence for each name that stops the start: an old one, and one that is like a setting's."""
    faults = [
        f"{old} is now called {new}; rename it in {' and in '.join(places)}."
        for old, new in RENAMED.items()
        if (places := [place for place, names in (("the environment", environment), (".env", file)) if old in names])
    ]
    for name in sorted(file.keys() - set(settings) - RENAMED.keys()):
        if nearest := _nearest(name, settings, _MISTYPED_IN_FILE):
            faults.append(f"{name} in .env is not a setting; the nearest one is {nearest}.")
    for name in sorted(environment.keys() - file.keys() - set(settings) - RENAMED.keys()):
        if name.startswith(_OUR_PREFIXES) and (nearest := _nearest(name, settings, _MISTYPED_IN_ENVIRONMENT)):
            faults.append(f"{name} in the environment is not a setting; the nearest one is {nearest}.")
    return faults


def unknown(file: Mapping[str, str], settings: Collection[str]) -> list[str]:
    """Return a sentence for each name of the settings file that is none of the gateway's and is not like one."""
    sentences = []
    for name in file.keys() - set(settings) - RENAMED.keys():
        if _nearest(name, settings, _MISTYPED_IN_FILE) is None:
            nearest = _nearest(name, settings, _NEAREST)
            hint = f"; the nearest one is {nearest}" if nearest else ""
            # A line that is not an assignment may be the rest of a token that was broken into two lines.
            shown = name if _VARIABLE.fullmatch(name) else "A line"
            sentences.append(f"{shown} in the settings file is not a setting of the gateway{hint}. It has no effect.")
    return sorted(sentences)


def _nearest(name: str, settings: Collection[str], cutoff: float) -> str | None:
    return next(iter(get_close_matches(name.upper(), settings, n=1, cutoff=cutoff)), None)
