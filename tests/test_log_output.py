"""Log lines whose reader is slow, stops or ends, and on a full disk: no write waits, and no line is lost unseen."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import pty
import resource
import socket
import subprocess
import sys
import threading
import time
import tty
from contextlib import contextmanager
from itertools import pairwise

import pytest

import log_output
import logs
from services.redaction import Redaction
from tests.support import ROOT

PIPE = 64 * 1024  # bytes that a pipe takes
WITHIN = 60.0  # seconds
LONG = "x" * 5_000  # longer than what a pipe takes as one


class Log:
    """A logger whose only handler writes to a descriptor, and what is read from the other end."""

    def __init__(self, writing, reading):
        self.handler = logs.LineHandler(os.fdopen(writing, "w", closefd=False))
        self.handler.setFormatter(logs.JsonFormatter(Redaction()))
        self.reading = reading

    def write(self, number, text=""):
        """Write a line in one of the two ways."""
        fields = {"levelno": logging.INFO, "levelname": "INFO", "msg": "line", "number": number, "text": text}
        record = logging.makeLogRecord(fields)
        if number % 2:
            self.handler.handle(record)
        else:
            self.handler.write_ready(record.name, self.handler.format(record))

    def read_until(self, is_enough):
        """Read lines until they are enough."""
        data, until = b"", time.monotonic() + WITHIN
        while not is_enough(lines := [json.loads(line) for line in data.splitlines() if line]):
            assert time.monotonic() < until, lines[-3:]
            data += self.rest_of_a_line()
        return lines

    def rest_of_a_line(self):
        """Read to the end of a line."""
        data = os.read(self.reading, 100_000)
        while not data.endswith(b"\n"):
            data += os.read(self.reading, 100_000)
        return data


@contextmanager
def pipe():
    reading, writing = os.pipe()
    yield writing, reading
    os.close(reading)
    os.close(writing)


@contextmanager
def journal():
    """What systemd gives a service for its output."""
    reading, writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with reading, writing:
        yield writing.fileno(), reading.fileno()


@contextmanager
def terminal():
    reading, writing = pty.openpty()
    tty.setraw(writing)
    yield writing, reading
    os.close(reading)
    os.close(writing)


@contextmanager
def pipe_of_another_user():
    """A pipe that cannot be opened once more."""
    with pipe() as ends, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_output.os, "O_NOCTTY", os.O_DIRECTORY)
        yield ends


@pytest.fixture(params=[pipe, journal, terminal, pipe_of_another_user], ids=lambda kind: kind.__name__)
def log(request):
    with request.param() as (writing, reading):
        yield Log(writing, reading)


@pytest.fixture
def piped():
    with pipe() as (writing, reading):
        yield Log(writing, reading)


def numbers(lines):
    return [line["number"] for line in lines if "number" in line]


def lost(lines):
    return [line["lost"] for line in lines if line["message"] == logs.LOST]


def test_lines_wait_for_a_reader_that_has_stopped_and_nothing_else_does(log):
    flags = fcntl.fcntl(log.handler.stream.fileno(), fcntl.F_GETFL)

    for number in range(1_500):  # More than a pipe or a socket takes.
        log.write(number, "x" * 150)
    lines = log.read_until(lambda lines: len(lines) == 1_500)

    assert numbers(lines) == [*range(1_500)]
    assert log.handler.lost_lines() == 0
    assert fcntl.fcntl(log.handler.stream.fileno(), fcntl.F_GETFL) == flags  # Other processes have it too.


def test_where_the_system_has_no_thread_left_lines_wait_for_the_next_one(piped, no_thread):
    with no_thread():
        for number in range(500):
            piped.write(number, "x" * 150)
    piped.write(500)

    lines = piped.read_until(lambda lines: len(lines) == 501)

    assert numbers(lines) == [*range(501)]


def test_a_reader_that_is_slow_gets_each_line_of_each_thread_once_and_whole(piped):
    def write(first):
        for number in range(first, first + 200):
            piped.write(number, LONG if number % 40 == 1 else "")
            if number % 20 == 0:
                time.sleep(0.002)

    threads = [threading.Thread(target=write, args=(first,)) for first in range(0, 1_000, 200)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    lines = piped.read_until(lambda lines: len(lines) == 1_000)

    assert sorted(numbers(lines)) == [*range(1_000)]


def test_beyond_what_is_kept_lines_are_lost_counted_and_reported_in_their_place(piped, monkeypatch):
    monkeypatch.setattr(log_output, "MOST_WAITING", 50_000)

    for number in range(1_000):
        piped.write(number, "x" * 200)
    lines = piped.read_until(lost)  # No other line is written for that.
    piped.write(1_000)
    lines += piped.read_until(bool)

    (number_lost,) = lost(lines)
    assert number_lost == piped.handler.lost_lines() == 1_001 - len(numbers(lines)) > 100
    assert numbers(lines) == [*range(1_000 - number_lost), 1_000]
    (report,) = [line for line in lines if "lost" in line]
    assert (report["level"], report["logger"], report["cause"]) == ("error", "logs", log_output.TOO_SLOW)
    assert piped.handler.lost_lines() == 0


def test_a_reader_that_never_catches_up_gets_a_report_at_each_place_where_lines_are_missing(piped, monkeypatch):
    monkeypatch.setattr(log_output, "MOST_WAITING", 50_000)
    lines, number = [], 0
    for _ in range(6):
        for _ in range(500):
            piped.write(number, "x" * 200)
            number += 1
        lines += [json.loads(line) for line in piped.rest_of_a_line().splitlines()]
    lines += piped.read_until(lambda rest: len(numbers(lines + rest)) + sum(lost(lines + rest)) == number)

    missing = [second - first - 1 for first, second in pairwise([*numbers(lines), number]) if second > first + 1]
    assert missing == lost(lines)
    assert len(missing) > 1


def test_a_reader_that_has_ended_costs_lines_and_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log_output, "TRY_AGAIN_AFTER", 0.0)
    os.mkfifo(tmp_path / "log")
    reading = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(tmp_path / "log", os.O_WRONLY)
    log = Log(writing, reading)

    log.write(0)
    os.close(reading)
    for number in (1, 2, 3):
        log.write(number)
    log.reading = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)  # A log collector that was restarted.
    log.write(4)
    lines = log.read_until(lambda lines: 4 in numbers(lines))
    os.close(log.reading)
    os.close(writing)

    assert [line.get("number", "lost") for line in lines] == [0, "lost", 4]
    assert (lost(lines), log.handler.lost_lines(), lines[1]["cause"]) == ([3], 3, "Broken pipe")
    assert capsys.readouterr().err == ""


def test_a_process_that_ends_right_after_a_failure_says_what_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(log_output, "TRY_AGAIN_AFTER", 3600.0)
    os.mkfifo(tmp_path / "log")
    reading = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)
    writing = os.open(tmp_path / "log", os.O_WRONLY)
    log = Log(writing, reading)
    os.close(reading)
    log.write(1)
    log.write(2)
    log.reading = os.open(tmp_path / "log", os.O_RDONLY | os.O_NONBLOCK)

    log.handler.close()

    os.close(writing)
    report = json.loads(os.read(log.reading, 100_000) or "{}")
    os.close(log.reading)
    assert (lost([report]), report["cause"]) == ([2], "Broken pipe")


class Reader:
    """What takes lines from an output, up to a number of bytes."""

    def __init__(self, monkeypatch, tmp_path):
        monkeypatch.setattr(log_output, "PAUSE", 0.001)
        self._file = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)  # Polled only.
        self.output = log_output.LogOutput(self._file, lambda number, cause: f"{number} lost\n")
        self.output._write_some = self.take
        self.taken, self.room = b"", 0

    def take(self, data):
        if not self.room:
            raise BlockingIOError
        part = data[: self.room]
        self.taken += part
        self.room -= len(part)
        return len(part)

    def finish(self):
        self.room = 10**6
        self.output.finish()
        os.close(self._file)
        return self.taken


@pytest.fixture
def reader(monkeypatch, tmp_path):
    return Reader(monkeypatch, tmp_path)


def test_the_rest_of_a_line_comes_before_the_line_of_another_thread(reader):
    take = reader.take

    def take_a_part(data):
        reader.output._write_some = take
        reader.output.write(b"other\n")  # It finds no room, and waits.
        reader.taken += data[:2]
        return 2

    reader.output._write_some = take_a_part
    reader.output.write(b"first\n")

    assert reader.finish() == b"first\nother\n"


def test_a_failure_loses_the_line_that_waits_as_well_and_counts_it(reader):
    def take_nothing(_data):
        reader.output._write_some = reader.take
        reader.output.write(b"other\n")
        raise OSError(28, "No space left on device")

    reader.output._write_some = take_nothing
    reader.output.write(b"first\n")

    assert (reader.output.lost_lines(), reader.finish()) == (2, b"2 lost\n")


def test_after_a_line_was_lost_others_are_kept_once_half_of_what_waits_is_written(reader, monkeypatch):
    monkeypatch.setattr(log_output, "MOST_WAITING", 100)
    for number in range(11):
        reader.output.write(b"%08d.\n" % number)
    before = reader.output.lost_lines()
    with reader.output._lock:
        reader.room = 20
        reader.output._catch_up()
        reader.output.write(b"a line\n")

    assert (before, reader.output.lost_lines()) == (1, 1)
    assert reader.finish().endswith(b"00000009.\n2 lost\n")


def test_a_failure_is_not_met_with_each_line(tmp_path):
    with open("/dev/full", "w") as full:
        log = Log(full.fileno(), -1)
        tried = []
        monitored = log.handler._output._write_some
        log.handler._output._write_some = lambda data: tried.append(data) or monitored(data)

        for number in range(100):
            log.write(number)

    assert len(tried) == 1
    assert log.handler.lost_lines() == 100


def test_a_full_disk_costs_lines_and_leaves_no_other_one_broken(tmp_path, monkeypatch):
    monkeypatch.setattr(log_output, "TRY_AGAIN_AFTER", 0.0)
    with open(tmp_path / "log", "w") as file:
        log = Log(file.fileno(), -1)
        log.write(0)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(tmp_path / "log") + 40, before[1]))
        try:
            log.write(1)
            log.write(2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        log.write(3)

    first, torn, *others = (tmp_path / "log").read_text().splitlines()
    assert numbers([json.loads(first)]) == [0]
    assert len(torn) == 40
    lines = [json.loads(line) for line in others]
    assert (lost(lines), numbers(lines), log.handler.lost_lines()) == ([2], [3], 2)


PROGRAM = """
import logging, os, sys, time
import logs
from services.redaction import Redaction
logs.set_up("INFO", Redaction())
for number in range(1_000):
    logging.info("line", extra={"number": number})
if (child := os.fork()) == 0:
    logging.info("line", extra={"number": -1})
    sys.exit()
print(flush=True)
os.waitpid(child, 0)
"""


def test_a_process_that_ends_writes_what_waits_and_its_forks_do_not():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        time.sleep(0.2)
        written = process.stderr.read()

    lines = [json.loads(line) for line in written.splitlines()]
    assert process.returncode == 0
    assert [number for number in numbers(lines) if number >= 0] == [*range(1_000)]
    assert numbers(lines).count(-1) == 1


def test_a_process_ends_although_its_reader_has_stopped():
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.wait(WITHIN) == 0
        lines = [json.loads(line) for line in process.stderr.read().splitlines()]

    assert numbers(lines) == [*range(len(lines))]
