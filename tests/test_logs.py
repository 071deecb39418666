"""Log lines: one JSON object each, whatever is in it, and bounded."""

from __future__ import annotations

import io
import json
import logging
import threading

import pytest

import logs
from services.redaction import Redaction


@pytest.fixture
def logger():
    """A logger that writes lines as the gateway's processes do, and the stream that has them."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter(Redaction(["secret-word-1"])))
    found = logging.getLogger("tests.logs")
    found.addHandler(handler)
    found.propagate = False  # The handlers of pytest raise what a wrong record raises.
    yield found, stream
    found.removeHandler(handler)
    found.propagate = True


def lines_of(stream):
    text = stream.getvalue()
    text.encode()
    return [json.loads(line) for line in text.split("\n")[:-1]]


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


@pytest.mark.parametrize("text", HARMFUL)
@pytest.mark.parametrize("place", ["message", "field", "exception", "nested"])
def test_no_character_that_a_terminal_or_viewer_obeys_is_in_a_line(logger, text, place):
    log, stream = logger
    extra = {"field": {"field": text, "nested": [{text: text}]}.get(place)}
    try:
        raise ValueError(text if place == "exception" else "")
    except ValueError:
        log.exception("before%safter secret-word-1", text if place == "message" else "", extra=extra)

    assert len(lines_of(stream)) == 1
    assert all(character.isprintable() for character in stream.getvalue().removesuffix("\n"))
    assert "secret" not in stream.getvalue()
    if place == "field":
        assert lines_of(stream)[0]["field"] == text


@pytest.mark.parametrize("place", ["message", "field", "list", "exception", "names"])
def test_a_line_has_a_bound(logger, place):
    log, stream = logger
    long = "\U0001f1e9\U0001f1ea" * 50_000
    extra = {"list": {"field": long, "list": [long] * 3}.get(place)}
    extra |= {f"name{number}": "x" * 1000 for number in range(100)} if place == "names" else {}
    try:
        raise ValueError(long if place == "exception" else "")
    except ValueError:
        log.exception("happened %s", long if place == "message" else "", extra=extra)

    (line,) = lines_of(stream)
    assert len(stream.getvalue()) < 20_000
    assert line["message"].startswith("happened")
    assert line["level"] == "error"


def test_a_record_whose_arguments_do_not_fit_is_a_line(logger):
    log, stream = logger

    log.warning(*("%d of %s", "one"))

    assert "%d of %s (its arguments do not fit" in lines_of(stream)[0]["message"]


def test_what_python_itself_would_write_is_logged(monkeypatch, caplog):
    for module, name in ((threading, "excepthook"), (logs.sys, "excepthook"), (logs.sys, "unraisablehook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(logging, "captureWarnings", caplog.records.append)
    logs.catch_everything()

    thread = threading.Thread(target=lambda: 1 // 0, name="job of a test")
    thread.start()
    thread.join()

    (record,) = [each for each in caplog.get_records("call") if not isinstance(each, bool)]
    assert (record.getMessage(), record.thread_name) == ("An exception ended a thread", "job of a test")
    assert record.exc_info[0] is ZeroDivisionError
    assert True in caplog.get_records("call")
