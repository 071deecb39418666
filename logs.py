"""Log lines: one JSON object each, without credentials."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from select import PIPE_BUF
from types import TracebackType
from typing import Any

from log_output import LogOutput
from services import request_context
from services.redaction import Redaction, cut, one_line

log = logging.getLogger(__name__)

_READY = vars(logging.LogRecord("", logging.INFO, __file__, 0, "request", None, None))
HANDLER = "insights-gateway"
LOST = "Log lines were lost, because they could not be written"
FIRST = ("time", "level", "logger", "message")
MAX_TEXT, MAX_TRACEBACK, MAX_LINE = 2000, 8000, 16_000  # characters
# What JSON leaves as it is, and what a terminal or a viewer of logs obeys: DEL and C1 controls, separators of lines,
# marks that turn the direction of writing; and surrogates without their other half, which are no UTF-8.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Constant text with structured fields; credentials are redacted last."""

    def __init__(self, redaction: Redaction) -> None:
        super().__init__()
        self._redaction = redaction

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        ready = vars(record).get("ready_line")
        if ready is not None:
            return str(ready)
        line: dict[str, object] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": one_line(_message(record), MAX_TEXT),
        }
        if (context := request_context.current.get()) is not None and context.id:
            line["request_id"] = context.id
            if context.caller.name:
                line["key"] = context.caller.name
            if context.account is not None:
                line["account"] = context.account
        line |= {
            name: one_line(value, MAX_TEXT) if isinstance(value, str) and len(value) > MAX_TEXT else value
            for name, value in vars(record).items()
            if name not in _STANDARD
        }
        if record.exc_info:
            line["exception"] = _without_middle(self.formatException(record.exc_info))
        if record.stack_info:
            line["stack"] = _without_middle(record.stack_info)
        text = json.dumps(line, default=str, ensure_ascii=False)
        if len(text) > MAX_LINE:  # because of a long list, for example; the first fields say what the line is about
            known = {name: line[name] for name in (*FIRST, "request_id", "key", "account") if name in line}
            text = json.dumps(known | {"shortened": cut(text, MAX_TEXT)}, default=str, ensure_ascii=False)
        # Escaped last, because redaction reads and writes the strings again.
        return _UNPRINTABLE.sub(_escaped, self._redaction.log_line(text))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  # A line with wrong arguments is better than a traceback beside the log.
        return f"{record.msg} (its arguments do not fit: {type(error).__name__})"


def _without_middle(traceback: str) -> str:
    """Return a traceback, or its beginning and its end, which says most."""
    if len(traceback) <= MAX_TRACEBACK:
        return traceback
    head, tail = traceback[: MAX_TRACEBACK // 4], traceback[-MAX_TRACEBACK * 3 // 4 :]
    return f"{head.rpartition(chr(10))[0]}\n...\n{tail.partition(chr(10))[2] or cut(tail, MAX_TRACEBACK)}"


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def stamp(moment: float) -> str:
    """Return Unix seconds as log lines write them."""
    second = int(moment)
    return f"{_second(second)}.{int((moment - second) * 1000):03d}+00:00"


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class LineHandler(logging.StreamHandler[Any]):
    """Writes log lines to a stream; never waits for what reads them, if the stream is a file, pipe or socket.

    A ready line is written with one system call. That passes the interpreter lock on, and the thread goes on once it
    gets it back. The usual way holds the lock of the handler meanwhile, so under load all other threads that have a
    line to write wait for that thread.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._output = self._output_to(stream)

    def setStream(self, stream: Any) -> Any:  # noqa: N802  # The name of the library.
        """Write to another stream from now on."""
        self._output = self._output_to(stream)
        return super().setStream(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        if self._output is None:
            super().emit(record)
            return
        try:
            self._output.write(self._encoded(self.format(record)))
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001  # As in each handler of the library.
            self.handleError(record)

    def write_ready(self, logger: str, line: str) -> None:
        """Write a line of a logger that is complete."""
        written = self._encoded(line)
        # Longer writes to a pipe may be mixed up with those of other threads.
        if self._output is None or len(written) > PIPE_BUF:
            self.handle(_ready_record(logger, line))
        else:
            self._output.write(written)

    def lost_lines(self) -> int:
        """Return how many lines could not be written since this was called last."""
        return 0 if self._output is None else self._output.lost_lines()

    def close(self) -> None:
        """Write what still waits for its reader; lines that come later are written too."""
        if self._output is not None:
            self._output.finish()
        super().close()

    def _output_to(self, stream: Any) -> LogOutput | None:
        descriptor = _descriptor_of(stream)
        return None if descriptor is None else LogOutput(descriptor, self._report)

    def _report(self, lost: int, cause: str) -> str:
        record = logging.makeLogRecord(
            {
                "name": log.name,
                "levelno": logging.ERROR,
                "levelname": "ERROR",
                "msg": LOST,
                "lost": lost,
                "cause": cause,
            }
        )
        return f"{self.format(record)}{self.terminator}"

    def _encoded(self, line: str) -> bytes:
        return f"{line}{self.terminator}".encode(errors="backslashreplace")


def _descriptor_of(stream: Any) -> int | None:
    """Return the file descriptor behind a stream, or None for one that is only in this process."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError):
        return None


def write_ready(logger: logging.Logger, line: str) -> None:
    """Log a line that is complete, and in which no credential can be.

    A reply from the response cache takes less time than the usual way to a log line, so our own handler gets no record.
    """
    if logger.isEnabledFor(logging.INFO):
        for handler in logging.root.handlers:
            if isinstance(handler, LineHandler):
                handler.write_ready(logger.name, line)
            elif handler.level <= logging.INFO:
                handler.handle(_ready_record(logger.name, line))


def _ready_record(logger: str, line: str) -> logging.LogRecord:
    """Return a complete line as a record.

    It is copied from a template: creating one looks up the thread, the process and the caller, which the line does not
    show.
    """
    record = logging.LogRecord.__new__(logging.LogRecord)
    vars(record).update(_READY, name=logger, created=time.time(), ready_line=line)
    return record


def set_up(level: str, redaction: Redaction) -> None:
    """Send every log line of this process to standard error, as JSON; calling it again changes the settings."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        # By name: after a reload of the code the class of the earlier formatter is another one.
        if handler.name == HANDLER:
            root.removeHandler(handler)
    handler = LineHandler(sys.stderr)
    handler.name = HANDLER
    handler.setFormatter(JsonFormatter(redaction))
    root.addHandler(handler)
    root.setLevel(level)
    for name in ("urllib3", "werkzeug"):  # At lower levels they log whole URLs.
        logging.getLogger(name).setLevel(logging.WARNING)


def lost_lines() -> int:
    """Return how many lines of this process could not be written since this was called last."""
    return sum(handler.lost_lines() for handler in logging.root.handlers if isinstance(handler, LineHandler))


def catch_everything() -> None:
    """Log what Python itself would write to standard error: warnings, and exceptions that end a thread or the process.

    Only a program that serves does so; tests and commands show their failures as usual.
    """
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_of_thread
    sys.unraisablehook = _log_unraisable


def _log_uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        log.info("Stopped by Ctrl-C")
        return
    log.critical("An exception ended the process", exc_info=(kind, error, traceback))


def _log_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or issubclass(args.exc_type, SystemExit):
        return
    error = (args.exc_type, args.exc_value, args.exc_traceback)
    name = "" if args.thread is None else args.thread.name
    log.error("An exception ended a thread", exc_info=error, extra={"thread_name": name})


def _log_unraisable(args: sys.UnraisableHookArgs) -> None:
    log.error("An exception was ignored", exc_info=args.exc_value, extra={"of": repr(args.object)})
