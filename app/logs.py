"""The server's log, on standard error: nothing but warnings, a plain line for each request, or JSON."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from app.errors import Invalid
from app.middleware.observe import REQUEST_ID

KINDS = ("", "plain", "json")


def set_up_logs(kind: str) -> None:
    """Everything that is logged goes through one handler. Raises Invalid for another kind."""
    if kind not in KINDS:
        raise Invalid(f"--log takes plain or json, not {kind!r}.")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if kind == "json" else PlainLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("featurescope.request").setLevel(logging.INFO if kind else logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One object a line: time, level, logger, message, the request's id, and for a request's line its fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": REQUEST_ID.get(),
            **getattr(record, "request", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class PlainLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(" ", "milliseconds")[:23]
        request = getattr(record, "request", None)
        # What a client sent is shown so that it can neither begin a line of its own nor steer a terminal.
        text = record.getMessage().encode("unicode_escape").decode() if request is not None else record.getMessage()
        if request is not None:
            text += f" {request['ms']} ms {request['bytes']} bytes {request['who'] or '-'} {request['from']}"
        line = f"{at} {record.levelname.lower()} {REQUEST_ID.get() or '-'} {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
