"""The ids of requests: the caller's own, where it may stand in the log, else a random one."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable

WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

# A request id is no secret, so it needs no random numbers of the system, which would pass the interpreter lock on.
_random = random.Random()  # noqa: S311
os.register_at_fork(after_in_child=_random.seed)  # Else all workers would give the same ids.


def new_request_id() -> str:
    """Return a random id: 32 hexadecimal digits."""
    return f"{_random.getrandbits(128):032x}"


def request_id(given: str | None, redact: Callable[[str], str]) -> str:
    """Return the id that the caller chose, if it is well-formed and `redact` changes nothing in it, else a new one."""
    if given is not None and WELL_FORMED.fullmatch(given) and redact(given) == given:
        return given
    return new_request_id()
