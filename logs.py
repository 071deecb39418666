"""Log lines: one JSON object each, without credentials."""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from functools import lru_cache

from services import request_context
from services.redaction import Redaction

_READY = vars(logging.LogRecord("", logging.INFO, __file__, 0, "request", None, None))
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
            "message": record.getMessage(),
        }
        if (context := request_context.current.get()) is not None and context.id:
            line["request_id"] = context.id
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._redaction.log_line(json.dumps(line, default=str, ensure_ascii=False))


def stamp(moment: float) -> str:
    """Return Unix seconds as log lines write them."""
    second = int(moment)
    return f"{_second(second)}.{int((moment - second) * 1000):03d}+00:00"


@lru_cache(maxsize=2)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def write_ready(logger: logging.Logger, line: str) -> None:
    """Log a line that is complete, and in which no credential can be.

    A reply from the response cache takes less time than the usual way to a log line. So the record is copied from a
    template: creating one looks up the thread, the process and the caller, which the line does not show.
    """
    if logger.isEnabledFor(logging.INFO):
        record = logging.LogRecord.__new__(logging.LogRecord)
        vars(record).update(_READY, name=logger.name, created=time.time(), ready_line=line)
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
    logging.getLogger("urllib3").setLevel(logging.WARNING)  # At lower levels it logs whole URLs.
