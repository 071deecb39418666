"""CPU affinity: a core for each worker, on a machine that has no more cores than workers.

The threads of a worker share the interpreter lock, so together they use no more than one core. The system still spreads
them over all cores: a thread that gets the lock wakes on whichever is free. Every object that a request touches, be it
only to count a reference, then moves from the cache of one core to that of another one. A reply from the cache takes a
fifth to a third more processor time for that.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress


def usable_cores() -> Collection[int]:
    """Return the cores that this process may use; none where the system does not say."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()


def core_for_next(taken: Iterable[int | None], *, workers: int, cores: Collection[int]) -> int | None:
    """Return the core for one more of some `workers`, of which each that runs has `taken` one.

    None on a machine with more cores than workers: there the system may know a better one, beside other programs.
    """
    if not cores or workers < len(cores):
        return None
    users = Counter(taken)
    return min(sorted(cores), key=lambda core: users[core])


def keep_to(core: int) -> None:
    """Have this thread, and all threads that it starts from now on, run on one core, if the system allows it."""
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {core})
