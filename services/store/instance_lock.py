"""The lock of a folder with database files: every process that uses the files shares it, a restore needs it alone."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

NAME = "in_use.lock"


class InUseError(Exception):
    """Another process holds the lock in a way that excludes this one."""


class InstanceLock:
    """A lock that the kernel releases when its process ends, however that happens.

    Heartbeats would not do: a process without a worker has none, and one that has just died would block a restore.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder) / NAME
        self._close: weakref.finalize[..., InstanceLock] | None = None

    def share(self) -> None:
        """Hold the lock together with other users of the files; raises `InUseError` while a restore runs.

        Where the lock cannot be kept (a folder that is missing or read-only, a file system without locks), the process
        goes on without it.
        """
        try:
            self._acquire(fcntl.LOCK_SH)
        except BlockingIOError:
            raise InUseError(
                f"A restore replaces the database in {self._path.parent}. Start again when it has ended."
            ) from None
        except OSError:
            return

    def take_alone(self) -> None:
        """Hold the lock alone; raises `InUseError` while any process uses the files, and `OSError`."""
        try:
            self._acquire(fcntl.LOCK_EX)
        except BlockingIOError:
            raise InUseError(f"The gateway, a worker or a command uses {self._path.parent}.") from None

    def release(self) -> None:
        """Give the lock back."""
        if self._close is not None:
            self._close()

    def _acquire(self, kind: int) -> None:
        # Readable by all, and opened for reading: also where a command of another user created it, it can be locked.
        descriptor = os.open(self._path, os.O_RDONLY | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
        self._close = weakref.finalize(self, os.close, descriptor)
