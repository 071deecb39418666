"""How a program imports its code: without Python's garbage collector, which takes a fifth of the time of a start.

What is imported stays until the process ends. A collection looks at all of it and finds next to nothing, time and again
while it grows, and once more at the end of the process.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

OBJECTS = 50_000  # The largest command imports 130,000; those of a collection take less than 10 MB.


@contextmanager
def without_collections() -> Iterator[None]:
    """Let the garbage collector wait until a block of imports has ended, also by an exception."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def collect_seldom() -> None:
    """Do nearly the same where each module has its own imports: collect once for so many new objects, not for 700."""
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])


# The system frees the memory of a process that ends. What was still used then is not looked at, object by object.
atexit.register(gc.freeze)
