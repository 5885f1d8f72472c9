"""A line of the log is one JSON object, and says where it belongs."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from typing import Any

import asyncpg
import neo4j.exceptions
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from pydantic import BaseModel, ValidationError

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


FORMS = pytest.mark.parametrize("form", [JsonFormatter(), TextFormatter()], ids=["json", "text"])


class Model(BaseModel):
    number: int


def quoting() -> list[tuple[BaseException, str]]:
    """Errors that quote "private words", and what is told of them."""
    refused: Any = asyncpg.CheckViolationError('new row violates check constraint "c"')
    refused.__dict__["detail"] = "Failing row contains (private words)."
    neo4j_refused = neo4j.exceptions.Neo4jError._hydrate_neo4j(
        code="Neo.ClientError.Schema.ConstraintValidationFailed", message="has the name private words"
    )
    with pytest.raises(ValidationError) as invalid:
        Model(number="private words")  # type: ignore[arg-type]
    return [
        (refused, 'new row violates check constraint "c"'),
        (asyncpg.DataError("invalid input for query argument $1: 'private words'"), "DataError (22000)"),
        (neo4j_refused, "ConstraintError (Neo.ClientError.Schema.ConstraintValidationFailed)"),
        (invalid.value, "ValidationError"),
    ]


@FORMS
@pytest.mark.parametrize(
    "position", range(4), ids=["PostgreSQL's details", "a value for PostgreSQL", "Neo4j", "pydantic"]
)
def test_an_error_that_is_part_of_a_message_quotes_nothing(form: logging.Formatter, position: int) -> None:
    error, said = quoting()[position]
    for message, arguments in (("it failed: %s", (error,)), ("it failed: %(why)s", ({"why": error},))):
        text = form.format(logging.LogRecord("x", logging.ERROR, __file__, 1, message, arguments, None))
        assert said in (json.loads(text)["message"] if text.startswith("{") else text)
        assert "private" not in text
    quoted = form.format(logging.LogRecord("x", logging.ERROR, __file__, 1, "it failed: %r", (error,), None))
    assert type(error).__name__ in quoted
    assert "private" not in quoted


@FORMS
def test_other_errors_are_told_whole(form: logging.Formatter) -> None:
    error = ConnectionRefusedError(111, "Connection refused")
    text = form.format(logging.LogRecord("x", logging.ERROR, __file__, 1, "no answer: %s", (error,), None))
    assert "no answer: [Errno 111] Connection refused" in text


@FORMS
async def test_what_asyncio_says_of_what_was_left_behind(
    form: logging.Formatter, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> None:
        raise ValueError("private words")

    def callback(what: str) -> None:
        raise LookupError(what)

    loop = asyncio.get_running_loop()
    task = asyncio.create_task(fails(), name="the one")
    loop.call_soon(callback, "private words")
    await asyncio.wait([task])
    await asyncio.sleep(0)
    # As when nobody holds it any more.
    loop.call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    records = [record for record in caplog.records if record.name == "asyncio"]
    text = "\n".join(map(form.format, records))
    assert "Task exception was never retrieved" in text
    assert "name='the one'" in text
    assert "Exception in callback" in text
    assert "in fails" in text
    assert "ValueError" in text
    for line_of_code in ('raise ValueError("private words")', 'raise ValueError(\\"private words\\")'):
        text = text.replace(line_of_code, "")
    assert "private" not in text


@FORMS
def test_a_traceback_that_a_library_made_a_message_of(form: logging.Formatter) -> None:
    message = 'Traceback (most recent call last):\n  File "x.py", line 1, in f\nValueError: private words\n'
    text = form.format(logging.LogRecord("uvicorn.error", logging.ERROR, __file__, 1, message, (), None))
    assert "private" not in text


def test_what_another_formatter_has_made_of_an_exception_is_not_taken_over() -> None:
    error = ValueError("private words")
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "x", (), (ValueError, error, None))
    assert "private words" in logging.Formatter().format(record)
    assert "private words" not in TextFormatter().format(record)


UNCAUGHT = """
import sys, threading
from gateway.observability.logs import set_up_logs

class Object:
    def __del__(self):
        raise LookupError(sys.argv[2])

def fails():
    raise ValueError(sys.argv[2])

set_up_logs("INFO", sys.argv[1])
thread = threading.Thread(target=fails, name="the one")
thread.start()
thread.join()
Object()
fails()
"""


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_nobody_catches_is_logged_like_the_rest(form: str) -> None:
    done = subprocess.run([sys.executable, "-c", UNCAUGHT, form, "private words"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "the thread the one ends with an error" in done.stderr
    assert "the program ends with an error" in done.stderr
    assert done.stderr.count("ValueError") == 2
    assert "Exception ignored in Object.__del__" in done.stderr
    assert "LookupError" in done.stderr
    assert "in fails" in done.stderr
    assert "private" not in done.stderr
    if form == "json":
        assert [json.loads(line)["level"] for line in done.stderr.splitlines()] == ["ERROR", "ERROR", "CRITICAL"]


COMMAND = """
import logging, sys
from gateway.cli import main

def app():
    try:
        raise ValueError(sys.argv[1])
    except ValueError as error:
        logging.getLogger("x").exception("it is done again: %s", type(error).__name__)
    raise LookupError(sys.argv[1])

main.app = app
main.main()
"""


def test_a_command_that_keeps_no_log_tells_no_more() -> None:
    done = subprocess.run([sys.executable, "-c", COMMAND, "private words"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "it is done again: ValueError" in done.stderr
    assert "LookupError" in done.stderr
    assert "in app" in done.stderr
    assert "private" not in done.stderr
