"""Logs: one JSON object a line, by the standard library.

Beside the message a line has `request_id`, `task_id`, `trace_id` and `span_id`, as far as there are any. Of an
exception it shows its class and the places in the code; its text only if it is our own, because a driver's may quote
values, and so what a client sent.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace

from backends.errors import TaskgateError

_FIELDS: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("log_fields", default=())
#: The rest of a message is cut (characters).
LONGEST = 8000


class _Fields:
    """What `log_fields` gives; a generator would weigh half a kB in each open stream."""

    __slots__ = ("_fields", "_token")

    def __init__(self, fields: tuple[tuple[str, str], ...]) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _FIELDS.set((*_FIELDS.get(), *self._fields))

    def __exit__(self, *_: object) -> None:
        _FIELDS.reset(self._token)


def log_fields(**fields: str) -> AbstractContextManager[None]:
    """Lines that are logged in the block, and in what it starts, have these fields."""
    return _Fields(tuple(fields.items()))


def field_of_log(name: str) -> str | None:
    """The innermost value of a field that `log_fields` has set."""
    return next((value for field, value in reversed(_FIELDS.get()) if field == name), None)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST],
            **dict(_FIELDS.get()),
        }
        span = trace.get_current_span().get_span_context()
        if span.trace_flags.sampled:
            line["trace_id"], line["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = described(record.exc_info[1])
        # ASCII, so that lone surrogates and control characters are no trouble for whoever reads it.
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """The same for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatException(self, ei: Any) -> str:
        return described(ei[1])


def described(error: BaseException) -> str:
    """Class, place and causes of an error, without what others wrote into its message."""
    parts = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        text = f": {one}" if isinstance(one, TaskgateError) else ""
        parts.append("".join(traceback.format_tb(one.__traceback__)) + f"{type(one).__qualname__}{text}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "\n".join(reversed(parts))


def set_up_logs(level: str, form: str) -> None:
    """Once in each program; to the error output."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
