"""Log lines: one JSON object each, whatever is in it, and bounded."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import threading

import pytest

import logs
from services import request_context
from services.caller import Caller, Scope
from services.redaction import Redaction
from services.request_context import RequestContext


def written(message, *arguments, error="", extra=None, stack=None):
    """The line of a record; formatted without a handler, because those of pytest cannot hand on every text."""
    try:
        raise ValueError(error)
    except ValueError:
        record = logging.getLogger("tests").makeRecord(
            "tests", logging.ERROR, __file__, 1, message, arguments, sys.exc_info(), extra=extra, sinfo=stack
        )
    line = logs.JsonFormatter(Redaction(["secret-word-1"])).format(record)
    line.encode()
    return line


HARMFUL = (
    "\x00",
    "\n",
    "\r",
    "\x1b[31m",
    "\x7f",
    "\x85",
    "\x9b",
    "\u2028",
    "\u2029",
    "\u202e",
    "\u2066",
    "\u061c",
    "\ud800",
)


@pytest.mark.parametrize("text", HARMFUL, ids=[f"{ord(text[0]):04x}" for text in HARMFUL])
@pytest.mark.parametrize("place", ["message", "field", "exception", "nested"])
def test_no_character_that_a_terminal_or_viewer_obeys_is_in_a_line(text, place):
    extra = {"field": {"field": text, "nested": [{text: text}]}.get(place)}

    line = written(
        "before%safter secret-word-1",
        text if place == "message" else "",
        error=text if place == "exception" else "",
        extra=extra,
    )

    assert all(character.isprintable() for character in line)
    assert "secret" not in line
    assert (json.loads(line)["field"] == extra["field"]) is True


def test_each_of_these_characters_is_escaped():
    ranges = ((0, 0x20), (0x7F, 0xA0), (0x200E, 0x2010), (0x2028, 0x202F), (0x2066, 0x206A), (0xD800, 0xE000))
    each = [*(chr(number) for first, end in ranges for number in range(first, end)), "\u061c", "\ufeff"]

    lines = [written("", extra={"field": character}) for character in each]

    assert all(line.isprintable() for line in lines)
    assert [json.loads(line)["field"] for line in lines] == each


def test_a_line_that_is_shortened_keeps_whose_request_it_is_about():
    context = RequestContext("abc", started_at=0.0, caller=Caller("k7x2m9q4ab", Scope.READ))
    context.is_about("17841400000000001")
    token = request_context.current.set(context)
    try:
        line = json.loads(written("happened", extra={"list": ["x" * 1000] * 100}))
    finally:
        request_context.current.reset(token)

    assert "shortened" in line
    assert [line[name] for name in ("request_id", "key", "account")] == ["abc", "k7x2m9q4ab", "17841400000000001"]


@pytest.mark.parametrize("place", ["message", "field", "list", "exception", "names", "stack"])
def test_a_line_has_a_bound(place):
    long = "\U0001f1e9\U0001f1ea" * 50_000
    extra = {"list": {"field": long, "list": [long] * 3}.get(place)}
    extra |= {f"name{number}": "x" * 1000 for number in range(100)} if place == "names" else {}

    line = written(
        "happened %s",
        long if place == "message" else "",
        error=long if place == "exception" else "",
        extra=extra,
        stack=long if place == "stack" else None,
    )

    assert len(line) < 20_000
    assert json.loads(line)["message"].startswith("happened")
    assert json.loads(line)["level"] == "error"
    assert ("shortened" in json.loads(line)) is (place in {"list", "names"})


def test_a_record_whose_arguments_do_not_fit_is_a_line():
    record = logging.LogRecord("tests", logging.INFO, __file__, 1, "%d of %s", ("one",), None)

    line = json.loads(logs.JsonFormatter(Redaction()).format(record))

    assert line["message"] == "%d of %s (its arguments do not fit: TypeError)"


def test_what_python_itself_would_write_is_logged(monkeypatch, caplog):
    for module, name in ((threading, "excepthook"), (logs.sys, "excepthook"), (logs.sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    logs.catch_everything()
    logging.captureWarnings(capture=False)

    thread = threading.Thread(target=lambda: 1 // 0, name="job of a test")
    thread.start()
    thread.join()

    (record,) = caplog.get_records("call")
    assert (record.getMessage(), record.thread_name) == ("An exception ended a thread", "job of a test")
    assert record.exc_info[0] is ZeroDivisionError


@pytest.fixture(scope="module")
def silenced():
    """What applications and commands leave behind: they change the logging of a whole process."""
    logging.getLogger().setLevel(logging.ERROR)
    logging.disable(logging.WARNING)


def test_each_test_sees_the_warnings_whatever_others_have_silenced(silenced, caplog):
    logging.getLogger("tests").warning("seen")

    assert caplog.messages == ["seen"]


# Ready lines


@pytest.fixture
def piped(monkeypatch):
    """A handler of a pipe as the only one, and what reads the next bytes from the pipe."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as reader, os.fdopen(writing, "w") as writer:
        handler = logs.LineHandler(writer)
        handler.setFormatter(logs.JsonFormatter(Redaction()))
        monkeypatch.setattr(logging.root, "handlers", [handler])
        logger = logging.getLogger("tests.ready")
        logger.setLevel(logging.INFO)
        yield handler, logger, lambda: reader.read(100_000).decode()


def test_a_ready_line_waits_for_no_other_line(piped):
    handler, logger, read = piped
    writer = threading.Thread(target=logs.write_ready, args=(logger, "ready"), daemon=True)

    with handler.lock:
        writer.start()
        writer.join(10)
        waits = writer.is_alive()
    writer.join()

    assert (waits, read()) == (False, "ready\n")


def test_a_ready_line_that_a_pipe_may_divide_is_written_under_the_lock(piped):
    handler, logger, read = piped
    writer = threading.Thread(target=logs.write_ready, args=(logger, "x" * 5_000))

    with handler.lock:
        writer.start()
        writer.join(0.2)
        waits = writer.is_alive()
    writer.join()

    assert (waits, read()) == (True, "x" * 5_000 + "\n")


def test_a_level_above_info_leaves_ready_lines_out(piped):
    _, logger, read = piped
    logger.setLevel(logging.WARNING)

    logs.write_ready(logger, "ready")
    logger.warning("seen")

    assert json.loads(read())["message"] == "seen"


def test_a_ready_line_that_cannot_be_written_fails_no_request_and_is_counted(piped, capsys):
    handler, logger, _ = piped
    with open("/dev/full", "w") as full:
        handler.setStream(full)

        logs.write_ready(logger, "ready")

    assert capsys.readouterr().err == ""
    assert logs.lost_lines() == 1


def test_a_stream_without_a_descriptor_gets_ready_lines_too(piped):
    handler, logger, _ = piped
    written = io.StringIO()
    handler.setStream(written)

    logs.write_ready(logger, "ready")

    assert written.getvalue() == "ready\n"
