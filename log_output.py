"""Where log lines go: the file, pipe, terminal or socket behind a stream. No write waits for what reads them."""

from __future__ import annotations

import os
import select
import socket
import stat
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from select import PIPE_BUF
from typing import NamedTuple

MOST_WAITING = 1024 * 1024  # bytes of lines that wait until their reader goes on: a second of a busy process
TRY_AGAIN_AFTER = 1.0  # seconds after a failure; an exception for each line would cost more than the requests
LAST_WAIT = 1.0  # seconds that the end of a process waits for a reader that takes nothing
PAUSE = 0.01  # seconds
TOO_SLOW = "what reads the log does not keep up"


class _Waiting(NamedTuple):
    text: bytes
    lost: int = 0  # lines, of which this line says that they are lost


class LogOutput:
    """Writes lines to a descriptor, in order, whole, and without waiting; safe for threads.

    A pipe whose reader has stopped takes 64 KB, and then a write waits for ever: that of the thread which watches all
    connections too. So what is not taken at once is kept here, up to `MOST_WAITING`, and a thread writes it as soon as
    it can. Beyond that, and where a write fails (a full disk, a reader that has ended), lines are lost; they are
    counted, and a line says how many as soon as one can be written.

    The thread exists only for as long as lines wait. If there always were one, a kill would lose what it had not
    written yet; as it is, a line is written when `write` returns, unless its reader is behind.
    """

    def __init__(self, descriptor: int, report: Callable[[int, str], str]) -> None:
        """`report` makes the line about some lost lines and the cause."""
        self._report = report
        self._write_some, self._polled = _without_waiting(descriptor, self)
        self._begin()
        _outputs.add(self)

    def _begin(self) -> None:
        """Begin without lines: those of a process are not those of its forks."""
        self._lock = threading.RLock()  # A signal handler may log whatever it interrupts, as with those of `logging`.
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._writer: threading.Thread | None = None
        self._unreported, self._cause = 0, ""
        self._lost = 0  # lines, since `lost_lines` was called last
        self._try_at = 0.0  # monotonic
        self._is_torn = False  # The last line has no end.
        self._is_behind = False

    def write(self, line: bytes) -> None:
        """Write a line, or keep it until it can be written."""
        if self._is_behind:
            self._write_in_order(_Waiting(line))
            return
        try:
            written = self._write_some(line)
        except BlockingIOError:
            self._write_in_order(_Waiting(line))
            return
        except OSError as error:
            with self._lock:
                self._fail(error, [_Waiting(line), *self._waiting])
            return
        if written < len(line):
            self._write_in_order(_Waiting(line[written:]), is_begun=True)

    def lost_lines(self) -> int:
        """Return how many lines were lost since this was called last."""
        with self._lock:
            lost, self._lost = self._lost, 0
            return lost

    def finish(self) -> None:
        """Write what waits, at the end of the process; what is not taken any more is lost."""
        self._try_at = 0.0
        until = time.monotonic() + LAST_WAIT
        while self._is_behind and time.monotonic() < until:
            with self._lock:
                before = self._waiting_bytes
                self._catch_up()
                if self._waiting_bytes < before:
                    until = time.monotonic() + LAST_WAIT
                if not self._waiting:
                    return
            self._wait_until_writable(LAST_WAIT)

    def _write_in_order(self, entry: _Waiting, *, is_begun: bool = False) -> None:
        with self._lock:
            self._is_behind = True
            if is_begun:
                self._is_torn = True
                self._waiting.appendleft(entry)
                self._waiting_bytes += len(entry.text)
            elif self._has_room(len(entry.text)):
                self._keep(entry)
            else:
                self._lost, self._unreported = self._lost + 1, self._unreported + 1
                self._cause = self._cause if self._is_paused() else TOO_SLOW
            self._catch_up()
            if self._waiting and self._writer is None:
                writer = threading.Thread(target=self._write_what_waits, name="log", daemon=True)
                with suppress(RuntimeError):  # The system has no thread left; the next line tries again.
                    writer.start()
                    self._writer = writer

    def _has_room(self, size: int) -> bool:
        """Return whether another line is kept: after one that was not, as soon as half of the others are written.

        So there is one report of all lines that were lost at a time, in the place where they are missing.
        """
        if self._is_paused():
            return False
        return self._waiting_bytes + size <= (MOST_WAITING / 2 if self._unreported else MOST_WAITING)

    def _is_paused(self) -> bool:
        """Return whether a write has failed a moment ago."""
        return time.monotonic() < self._try_at

    def _keep(self, entry: _Waiting) -> None:
        self._keep_report()
        self._waiting.append(entry)
        self._waiting_bytes += len(entry.text)

    def _keep_report(self) -> None:
        lost, self._unreported = self._unreported, 0
        if lost:
            text = self._report(lost, self._cause).encode()
            self._keep(_Waiting(b"\n" + text if self._is_torn and not self._waiting else text, lost))

    def _catch_up(self) -> None:
        """Write what waits until it is all written, or nothing more is taken."""
        try:
            while (line := self._next()) is not None:
                text, lost = line
                written = self._write_some(text)
                self._waiting_bytes -= written
                self._is_torn = written < len(text)
                if self._is_torn:
                    self._waiting[0] = _Waiting(text[written:], lost)
                else:
                    self._waiting.popleft()
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(error, list(self._waiting))
        self._is_behind = bool(self._unreported)

    def _next(self) -> _Waiting | None:
        """Return the line that is to be written next: in the end the one about those that were lost."""
        if not self._waiting and not self._is_paused():
            self._keep_report()
        return self._waiting[0] if self._waiting else None

    def _fail(self, error: OSError, entries: list[_Waiting]) -> None:
        """Give up what could not be written."""
        self._waiting.clear()
        self._waiting_bytes = 0
        self._lost += sum(not entry.lost for entry in entries)
        self._unreported += sum(entry.lost or 1 for entry in entries)
        self._cause = error.strerror or type(error).__name__
        self._try_at = time.monotonic() + TRY_AGAIN_AFTER
        self._is_behind = True

    def _write_what_waits(self) -> None:
        while True:
            self._wait_until_writable(TRY_AGAIN_AFTER)
            with self._lock:
                before = self._waiting_bytes
                self._catch_up()
                if not self._waiting:
                    self._writer = None
                    return
                is_stuck = before == self._waiting_bytes
            if is_stuck:
                time.sleep(PAUSE)

    def _wait_until_writable(self, seconds: float) -> None:
        poll = select.poll()
        poll.register(self._polled, select.POLLOUT)
        poll.poll(seconds * 1000)


def _without_waiting(descriptor: int, owner: LogOutput) -> tuple[Callable[[bytes], int], int]:
    """Return what writes a part of some bytes, or raises `BlockingIOError`, and the descriptor to wait for.

    Whether a write waits is a property of the open file, which other processes share: a shell its terminal, a
    simulator its pipe. So it is not changed; a pipe or a terminal is opened once more, and a socket (of journald) has
    an option for each call. A file never waits for a reader.
    """
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        connection = socket.socket(fileno=os.dup(descriptor))
        weakref.finalize(owner, connection.close).atexit = False
        return lambda data: connection.send(data, socket.MSG_DONTWAIT), connection.fileno()
    if stat.S_ISFIFO(mode) or os.isatty(descriptor):
        try:
            own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:  # That of another user, or not on Linux.
            return partial(_write_if_writable, descriptor), descriptor
        weakref.finalize(owner, os.close, own).atexit = False
        return partial(os.write, own), own
    return partial(os.write, descriptor), descriptor


def _write_if_writable(descriptor: int, data: bytes) -> int:
    """Write at most what a pipe takes without waiting once it is writable.

    Another process may fill the pipe in between, and this thread then waits until it is read.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if not poll.poll(0):
        raise BlockingIOError
    return os.write(descriptor, data[:PIPE_BUF])


_outputs: weakref.WeakSet[LogOutput] = weakref.WeakSet()


def _forget_lines_of_the_parent() -> None:
    for output in list(_outputs):
        output._begin()


os.register_at_fork(after_in_child=_forget_lines_of_the_parent)
