"""The environment for programs that must not see the developer's settings: tests, benchmarks and examples."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from config import ENV_FILE, SETTINGS
from config_names import RENAMED

# Variables that redirect requests or hold credentials. PGPASSWORD and the addresses of the test databases do not
# match: the tests need them.
_PROXY = re.compile(r"(?:HTTP|HTTPS|ALL|NO)_PROXY", re.IGNORECASE)
_CREDENTIAL = re.compile(r".*_(?:TOKEN|SECRET|PASSWORD|CREDENTIALS|API_KEY|ACCESS_KEY)", re.IGNORECASE)
_SERVER_OPTIONS = "GUNICORN_CMD_ARGS"  # gunicorn reads it over our configuration file.
_OF_MAKE = re.compile(r"(?:GNU)?MAKE(?:FLAGS|LEVEL|OVERRIDES)|MFLAGS|ARGS")  # `make test ARGS=...` reaches every make


def isolated(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with these settings and no others: `.env` is not read either."""
    kept = {name: value for name, value in os.environ.items() if not _is_foreign(name)}
    return {**kept, ENV_FILE: "", **settings}


def isolate_this_process() -> None:
    """Make this process, and every process that it starts, blind to the developer's settings."""
    for name in [name for name in os.environ if _is_foreign(name)]:
        del os.environ[name]
    os.environ[ENV_FILE] = ""


def _is_foreign(name: str) -> bool:
    return (
        name in SETTINGS
        or name in RENAMED
        or name == _SERVER_OPTIONS
        or _OF_MAKE.fullmatch(name) is not None
        or _PROXY.fullmatch(name) is not None
        or _CREDENTIAL.fullmatch(name) is not None
    )
