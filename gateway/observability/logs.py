"""Logs: one JSON object a line, by the standard library.

Beside the message a line has `request_id`, `task_id`, `trace_id` and `span_id`, as far as there are any. Of an
exception it shows its class and the places in the code; its text only if it is our own, or PostgreSQL's without its
details, because others may quote values, and so what a client sent (`gateway.observability.error_text`).
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import threading
from contextlib import AbstractContextManager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, cast

from opentelemetry import trace

from gateway.observability.error_text import described, told, without_quotes

log = logging.getLogger(__name__)

_FIELDS: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("log_fields", default=())
#: The rest of a message is cut (characters).
LONGEST = 8000
#: These libraries log every request, some with its address, its arguments or its body.
NOISY = ("httpx", "httpcore", "neo4j", "ldclient", "graphiti_core", "openai", "sse_starlette", "uvicorn.access")


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
            "message": message_of(record)[:LONGEST],
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

    def __init__(self, form: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
        super().__init__(form)

    def format(self, record: logging.LogRecord) -> str:
        record = copy.copy(record)
        # `exc_text`: as another formatter has shown the exception, whole.
        record.msg, record.args, record.exc_text = message_of(record), (), None
        return super().format(record)

    def formatException(self, ei: Any) -> str:
        return described(ei[1])


def message_of(record: logging.LogRecord) -> str:
    """The message of a record, in which errors do not quote anything."""
    plain, arguments = copy.copy(record), record.args
    if isinstance(arguments, tuple):
        plain.args = tuple(map(without_quotes, arguments))
    elif arguments:
        plain.args = cast("Any", {name: without_quotes(value) for name, value in arguments.items()})
    if isinstance(record.msg, BaseException):
        plain.msg = str(without_quotes(record.msg))
    return told(record.name, plain.getMessage())


def set_up_logs(level: str, form: str) -> None:
    """Once in each program; to the error output. What nobody catches is logged, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    sys.excepthook = _end_of_program
    threading.excepthook = _end_of_thread
    sys.unraisablehook = _passed_over


def say_uncaught(error: BaseException) -> None:
    """Tell of an error that ends the program: in the log, if there is one, else on the error output."""
    if sys.excepthook is _end_of_program:
        log.critical("the program ends with an error that was not foreseen", exc_info=error)
    else:
        sys.stderr.write(f"taskgate: an error that was not foreseen\n{described(error)}\n")


def _end_of_program(kind: type[BaseException], error: BaseException, trace_of: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        return
    log.critical("the program ends with an error that was not foreseen", exc_info=(kind, error, trace_of))


def _end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not isinstance(ended.exc_value, SystemExit):
        name = "" if ended.thread is None else ended.thread.name
        log.error("the thread %s ends with an error that was not foreseen", name, exc_info=ended.exc_value)


def _passed_over(passed: Any) -> None:
    """An error that Python can hand to nobody, as in a destructor. The representation of the object may quote."""
    kind = getattr(passed.object, "__qualname__", type(passed.object).__qualname__)
    log.error("%s %s", passed.err_msg or "Exception ignored in", kind, exc_info=passed.exc_value)
