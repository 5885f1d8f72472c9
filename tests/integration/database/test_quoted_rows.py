"""PostgreSQL quotes rows and parameters in its errors. None of that comes into a log, or into a span."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
import uvicorn
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import SpanKind
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from uvicorn.lifespan.on import LifespanOn

from contracts.receiver import receiving
from gateway.app import create_app
from gateway.bootstrap import build_gateway
from gateway.observability.instrumentation import restore_libraries
from gateway.observability.logs import JsonFormatter, TextFormatter
from gateway.observability.telemetry import build_tracing
from gateway.settings import Settings
from gateway.storage.database import Database, connect
from gateway.tasks.lifecycle.claim import Claim
from gateway.tasks.lifecycle.transitions import Transitions
from tests.conftest import PROGRAM
from workers.execution.isolated import IsolatedExecution
from workers.progress import ProgressReporter

SECRET = f"private-{secrets.token_hex(4)}"
TABLE = "CREATE TABLE kept (name text PRIMARY KEY, payload text CONSTRAINT brief CHECK (payload NOT LIKE 'private%'))"
TOO_LONG = "INSERT INTO kept VALUES ('a', $1)"


@pytest_asyncio.fixture
async def table(database: Database) -> Database:
    await database.execute(TABLE)
    return database


async def refused(db: Database) -> asyncpg.CheckViolationError:
    with pytest.raises(asyncpg.CheckViolationError) as raised:
        await db.execute(TOO_LONG, SECRET)
    assert SECRET in str(raised.value), "else there is nothing to hide"
    return raised.value


async def refused_key(db: Database) -> asyncpg.UniqueViolationError:
    await db.execute("INSERT INTO kept VALUES ($1, '')", SECRET)
    with pytest.raises(asyncpg.UniqueViolationError) as raised:
        await db.execute("INSERT INTO kept VALUES ($1, '')", SECRET)
    assert SECRET in str(raised.value)
    return raised.value


async def refused_by_sqlalchemy(db: Database) -> DBAPIError:
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(str(db.url), name="test"))
    with pytest.raises(DBAPIError) as raised:
        async with engine.connect() as connection:
            await connection.execute(text("INSERT INTO kept VALUES ('a', :payload)"), {"payload": SECRET})
    await engine.dispose()
    assert SECRET in str(raised.value), "in the parameters, and in the details of its cause"
    return raised.value


async def refused_value(db: Database) -> asyncpg.DataError:
    with pytest.raises(asyncpg.DataError) as raised:
        await db.execute("SELECT $1::text::uuid", SECRET)
    assert SECRET in str(raised.value)
    return raised.value


async def refused_argument(db: Database) -> asyncpg.DataError:
    with pytest.raises(asyncpg.DataError) as raised:
        await db.execute("SELECT $1::int", SECRET)
    assert SECRET in str(raised.value)
    return raised.value


def logged(records: list[logging.LogRecord], form: str) -> str:
    return "\n".join(map((JsonFormatter() if form == "json" else TextFormatter()).format, records))


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        (refused, 'CheckViolationError (23514): new row for relation "kept" violates check constraint "brief"'),
        (refused_key, 'UniqueViolationError (23505): duplicate key value violates unique constraint "kept_pkey"'),
        (refused_by_sqlalchemy, 'CheckViolationError (23514): new row for relation "kept" violates check'),
        (refused_value, "InvalidTextRepresentationError (22P02)"),
        (refused_argument, "DataError (22000)"),
    ],
)
async def test_in_whatever_way_it_comes_into_the_log(
    refuse: Any, said: str, form: str, table: Database, caplog: pytest.LogCaptureFixture
) -> None:
    error = await refuse(table)
    log = logging.getLogger("gateway.x")
    log.error("it is done again", exc_info=error)
    log.error("it is done again: %s", error)
    log.error("it is done again: %r", error)
    task = asyncio.create_task(fail(error))
    await asyncio.wait([task])
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    lines = logged([record for record in caplog.records if record.name in ("asyncio", "gateway.x")], form)
    assert SECRET not in lines
    assert lines.count("it is done again") == 3
    assert said in (json.loads(lines.splitlines()[0])["exception"] if form == "json" else lines)
    assert "in fail" in lines


async def fail(error: BaseException) -> None:
    raise error


async def test_an_application_that_cannot_start(
    table: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = build_gateway(Settings(database_url=str(table.url), console=False), engines={})

    async def start() -> None:
        await table.execute(TOO_LONG, SECRET)

    monkeypatch.setattr(gateway, "start", start)
    starting = LifespanOn(uvicorn.Config(create_app(gateway), lifespan="on", log_config=None))
    await starting.startup()
    assert starting.should_exit
    for form in ("json", "text"):
        lines = logged(caplog.records, form)
        assert SECRET not in lines
        assert "CheckViolationError (23514)" in lines


async def test_a_span(table: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url(""))
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        tracing = build_tracing(Resource.get_empty(), 1.0)
        assert tracing is not None
        try:
            carrier = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
            with (
                pytest.raises(asyncpg.CheckViolationError),
                tracing.operation("process", "probe", SpanKind.CONSUMER, carrier, {}),
                tracing.tracer.start_as_current_span("as others do"),
            ):
                await table.execute(TOO_LONG, SECRET)
            await asyncio.to_thread(tracing.close)
            await collector.hit()
        finally:
            restore_libraries()
    sent = b"".join(hit.body for hit in collector.hits)
    assert b"as others do" in sent
    assert b"CheckViolationError" in sent
    assert b"INSERT INTO kept" in sent, "statements are spans, too"
    assert SECRET.encode() not in sent


async def test_a_command(database: Database) -> None:
    """A migration that PostgreSQL refuses."""
    await database.execute("DROP SCHEMA taskgate CASCADE")
    await database.execute(f"""
        CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'no' USING ERRCODE = '23514', DETAIL = 'Failing row contains ({SECRET})';
        END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION refuse()
    """)
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "db", "migrate"),
        env={**os.environ, "TASKGATE_DATABASE_URL": str(database.url)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 1
    assert SECRET.encode() not in output + errors
    assert b"CheckViolationError (23514): no" in errors
    assert b"in migrate" in errors


HANDLERS = """
import asyncio
import logging


class Handler:
    task_type = "leaves"
    isolated = True

    async def process(self, payload, context):
        logging.getLogger("plug").error("said by the handler")
        await asyncio.wait([asyncio.create_task(fails(payload["secret"]))])


async def fails(secret):
    raise ValueError(secret)
"""


async def test_the_process_of_a_handler(
    database: Database,
    transitions: Transitions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "leaving.py").write_text(HANDLERS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    execution = IsolatedExecution(Settings(database_url=str(database.url), handlers="leaving"))
    claim = Claim("t1", 1, 1, "w1", None, None, None, "g", "leaves", None)
    try:
        await execution.run(claim, {"task_id": "t1", "secret": SECRET}, ProgressReporter(transitions, claim))
    finally:
        await execution.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert "said by the handler" in {line["message"] for line in lines}
    [left] = [line for line in lines if line["logger"] == "asyncio"]
    assert "ValueError" in left["exception"]
    assert SECRET not in json.dumps(lines)
