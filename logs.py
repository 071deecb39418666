"""Log lines: one JSON object each, without credentials."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache

from services.redaction import Redaction

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being served, also in the threads that call providers for it."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Constant text with structured fields; whatever looks like a credential is taken out last."""

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
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._redaction(json.dumps(line, default=str, ensure_ascii=False))


def stamp(moment: float) -> str:
    """Return Unix seconds as log lines write them."""
    second = int(moment)
    return f"{_second(second)}.{int((moment - second) * 1000):03d}+00:00"


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def write_ready(logger: logging.Logger, line: str) -> None:
    """Log a line that is written already, and in which no credential can be.

    What is served from memory costs less than what the usual way to a log line does.
    """
    if logger.isEnabledFor(logging.INFO):
        record = logging.LogRecord(logger.name, logging.INFO, __file__, 0, "request", None, None)
        record.ready_line = line
        logger.handle(record)


def set_up(level: str, redaction: Redaction) -> None:
    """Send every log line of this process to standard error, as JSON; calling it again changes the settings."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, JsonFormatter):
            root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(redaction))
    root.addHandler(handler)
    root.setLevel(level)
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # Below, it tells whole URLs.
