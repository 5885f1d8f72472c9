"""A line of the log is one JSON object, and says where it belongs."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from gateway.errors import DatabaseUnavailable
from gateway.observability.logs import JsonFormatter, TextFormatter, log_fields


def line(message: str, *arguments: Any, error: BaseException | None = None) -> dict[str, Any]:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("gateway.x", logging.WARNING, __file__, 1, message, arguments, info)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_a_line() -> None:
    found = line("task %s: %s", "a\nb", "\ud800\x00")
    assert (found["level"], found["logger"], found["message"]) == ("WARNING", "gateway.x", "task a\nb: \ud800\x00")
    assert found["time"].endswith("+00:00")
    assert found.keys() == {"time", "level", "logger", "message"}


async def test_fields_belong_to_the_block_and_to_what_it_starts() -> None:
    with log_fields(request_id="r1"):
        with log_fields(task_id="t1"):
            started = asyncio.create_task(asyncio.sleep(0, line("x")))
        inside = line("x")
        inherited = await started
    assert (inside["request_id"], "task_id" in inside) == ("r1", False)
    assert (inherited["request_id"], inherited["task_id"]) == ("r1", "t1")
    assert "request_id" not in line("x")


def test_a_line_inside_a_span_names_it() -> None:
    with TracerProvider().get_tracer("t").start_as_current_span("s") as span:
        found = line("x")
    assert found["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert found["span_id"] == trace.format_span_id(span.get_span_context().span_id)


def test_of_an_error_it_shows_the_place_and_only_our_own_words() -> None:
    try:
        try:
            int("private words")
        except ValueError as driver:
            raise DatabaseUnavailable("PostgreSQL is away") from driver
    except DatabaseUnavailable as error:
        found = line("x", error=error)["exception"]
        record = logging.LogRecord("x", logging.ERROR, __file__, 1, "x", (), (type(error), error, error.__traceback__))
        text = TextFormatter().format(record)
    for shown in (found, text):
        assert "ValueError" in shown
        assert "DatabaseUnavailable: PostgreSQL is away" in shown
        assert "test_of_an_error" in shown
        assert "private words" not in shown.replace('int("private words")', "")


def test_a_chain_of_errors_in_a_circle_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert line("x", error=first)["exception"].splitlines() == ["KeyError", "ValueError"]


@pytest.mark.parametrize("form", [JsonFormatter(), TextFormatter()])
def test_it_never_fails_for_a_strange_error(form: logging.Formatter) -> None:
    class Strange(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    error = Strange()
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "x", (), (Strange, error, None))
    assert "Strange" in form.format(record)
